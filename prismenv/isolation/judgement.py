"""From what was told and how it ended to a verdict."""

import signal
from dataclasses import dataclass, field

from prismenv.isolation.launch import Ending
from prismenv.isolation.report import Section, printable, render, repeatable
from prismenv.isolation.transcript import CaseReport, Transcript
from prismenv.words.limits import Limits
from prismenv.words.verdict import CaseOutcome, CaseResult, Fault, Isolation, Outcome, Verdict, VerdictMode

LIMIT_OUTCOMES: dict[str, Outcome] = {
    "wall_seconds": "timed_out",
    "test_wall_seconds": "timed_out",
    "cpu_seconds": "timed_out",
    "memory_bytes": "out_of_memory",
    "output_bytes": "output_limit",
    "processes": "crashed",
}
LIMIT_WORDS = {
    "wall_seconds": "it took longer than {} s",
    "test_wall_seconds": "a test took longer than {} s",
    "cpu_seconds": "it used more than {} s of CPU time",
    "memory_bytes": "it used more than {} bytes of memory",
    "output_bytes": "it printed more than {} bytes",
    "processes": "it had more than {} processes",
}
# The first one found counts. An argument that was rewritten comes last: that outcome says that it alone stood between
# the solution and a pass.
BAD_OUTCOMES: tuple[Outcome, ...] = ("timed_out", "out_of_memory", "failed", "errored", "argument_rewritten")
NEVER_RAN = "it did not run"


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of the run as a whole. `needs_audit`: it must be known how the suite does with a stub first."""

    outcome: Outcome
    fault: Fault
    message: str = ""
    detail: str = ""
    needs_audit: bool = False


@dataclass(slots=True)
class Judgement:
    """Gathers the rounds of one judged run: more than one only where a test's own time limit ended a round."""

    limits: Limits
    harness_hash: str
    isolation: Isolation
    verdict_mode: VerdictMode
    names: list[str] = field(default_factory=list)
    reports: dict[int, CaseReport] = field(default_factory=dict)
    suspects: list[int] = field(default_factory=list)
    extras: list[tuple[str, str, str]] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    printed: list[bytes] = field(default_factory=list)
    limits_hit: dict[str, None] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_memory_bytes: int | None = None

    def take(self, transcript: Transcript, ending: Ending) -> None:
        """Add a round."""
        self.names = self.names or transcript.names
        self.reports.update(transcript.reports)
        self.suspects += [index for index in transcript.suspects if self.reports[index].outcome == "passed"]
        self.extras.extend((name, failure.message, failure.detail) for name, failure in transcript.extras)
        self.notes.update(dict.fromkeys(transcript.notes))
        self.printed.append(ending.stdout)
        self.cpu_seconds += ending.cpu_seconds
        self.wall_seconds += ending.wall_seconds
        self.peak_memory_bytes = max(self.peak_memory_bytes or 0, ending.peak_memory_bytes or 0) or None
        if ending.stopped_by in LIMIT_OUTCOMES:
            self.limits_hit[ending.stopped_by] = None
        if transcript.ended_as == "flooded":
            self.limits_hit["output_bytes"] = None
        outcome: CaseOutcome = "timed_out" if LIMIT_OUTCOMES.get(ending.stopped_by or "") == "timed_out" else "errored"
        if transcript.running is not None:
            why = cut_reason(transcript, ending, self.limits)
            self.reports[transcript.running] = CaseReport(outcome, why, why, out_of_memory=False, wall_seconds=None)
            begun = transcript.test_begun_at
            if begun is not None and transcript.begun_at is not None:
                wall = max(0.0, ending.wall_seconds - (begun - transcript.begun_at))
                self.reports[transcript.running] = CaseReport(outcome, why, why, False, wall)  # noqa: FBT003 - as above

    def verdict(self, finding: Finding, expected: list[str]) -> Verdict:
        """The verdict; tests that were expected or collected and did not run are errored cases."""
        cases, sections = self._cases(finding, expected)
        printed = repeatable(printable(b"".join(self.printed)))
        if any(report.out_of_memory for report in self.reports.values()) or finding.outcome == "out_of_memory":
            self.limits_hit["memory_bytes"] = None
        message = repeatable(finding.message)
        outcomes = [case.outcome for case in cases]
        return Verdict(
            outcome=finding.outcome,
            fault=finding.fault,
            cases=tuple(cases),
            output=render(message, cases, sections, printed, passed=finding.outcome == "passed"),
            message=message,
            notes=tuple(self.notes),
            limits_hit=tuple(self.limits_hit),
            cpu_seconds=self.cpu_seconds,
            wall_seconds=self.wall_seconds,
            peak_memory_bytes=self.peak_memory_bytes,
            isolation=self.isolation,
            verdict_mode=self.verdict_mode,
            harness_hash=self.harness_hash,
            tests_passed_num=outcomes.count("passed"),
            tests_failed_num=outcomes.count("failed") + outcomes.count("argument_rewritten"),
            tests_errored_num=outcomes.count("errored") + outcomes.count("timed_out"),
        )

    def _cases(self, finding: Finding, expected: list[str]) -> tuple[list[CaseResult], list[Section]]:
        sections = [Section("why", repeatable(finding.detail))] if finding.detail else []
        if finding.fault not in ("none", "candidate"):
            expected = []
        cases = []
        for index, name in enumerate(self.names or expected):
            report = self.reports.get(index)
            if report is None:
                outcome: CaseOutcome = "timed_out" if finding.outcome == "timed_out" else "errored"
                cases.append(CaseResult(name=name, outcome=outcome, message=f"{NEVER_RAN}: {finding.message}"))
                continue
            message, detail = repeatable(report.message), repeatable(report.detail)
            cases.append(
                CaseResult(
                    name=name,
                    outcome=report.outcome,
                    message=message,
                    wall_seconds=report.wall_seconds,
                    decided_by="solution" if report.decided_by_solution else "tests",
                )
            )
            if report.outcome not in ("passed", "skipped"):
                sections.append(Section(f"{report.outcome.replace('_', ' ')}: {name}", detail))
        for name, message, detail in self.extras:
            cases.append(CaseResult(name=name, outcome="errored", message=repeatable(message)))
            sections.append(Section(f"errored: {name}", repeatable(detail)))
        return cases, sections


def stop_reason(ending: Ending, limits: Limits) -> str:
    """Why the guest ended before it was done, in words."""
    if ending.stopped_by in LIMIT_WORDS:
        return LIMIT_WORDS[ending.stopped_by].format(f"{getattr(limits, ending.stopped_by):g}")
    if ending.stopped_by is not None or ending.status is None:
        return ending.message or f"it was ended ({ending.stopped_by})"
    if ending.status < 0:
        return f"its process was killed by signal {-ending.status}{_called(-ending.status)}"
    return f"its process left with exit code {ending.status} before the tests were done"


def _called(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


def cut_reason(transcript: Transcript, ending: Ending, limits: Limits) -> str:
    """Why the tests did not come to their end: what the judge said of it, or else how it ended."""
    if transcript.ended_as in ("forgery", "unsplit"):
        return transcript.failure.message
    if transcript.ended_as == "flooded":
        return LIMIT_WORDS["output_bytes"].format(f"{limits.output_bytes:g}")
    return stop_reason(ending, limits)


def find(transcript: Transcript, ending: Ending, judgement: Judgement) -> Finding:
    """What the last round makes of all of them. Death and limits are the candidate's once its code is being loaded."""
    if ending.status is None or ending.stopped_by == "start":
        return Finding("infrastructure_error", "infrastructure", ending.message or "the guest did not start in time")
    if ending.stopped_by is not None or transcript.lost or not transcript.finished:
        return _cut_short(transcript, ending, stop_reason(ending, judgement.limits))
    if transcript.ended_as in ("forgery", "flooded", "unsplit"):
        return _given_up(transcript, cut_reason(transcript, ending, judgement.limits))
    if transcript.ended_as == "collected":
        return _collected(transcript, judgement)
    return _unready(transcript)


def no_tests() -> Finding:
    """The finding for a suite that tests nothing."""
    hint = "tests are unittest.TestCase classes, functions named test_*, or a function check(candidate)"
    return Finding("no_tests", "tests", f"the suite holds no test: {hint}")


def _cut_short(transcript: Transcript, ending: Ending, why: str) -> Finding:
    if transcript.solution_begun or ending.of_partner:  # its text alone may be too much, before the suite is read
        if ending.stopped_by == "protocol":
            return Finding("forgery_attempt", "candidate", f"the harness' channel was written to: {why}")
        return Finding(LIMIT_OUTCOMES.get(ending.stopped_by or "", "crashed"), "candidate", why)
    if transcript.phase == "ready":
        return Finding("invalid_tests", "tests", f"the tests cannot be read: {why}")
    return Finding("infrastructure_error", "infrastructure", f"the guest ended while {transcript.phase}: {why}")


def _given_up(transcript: Transcript, why: str) -> Finding:
    """What the judge itself had to end the run for."""
    if transcript.ended_as == "forgery":
        return Finding("forgery_attempt", "candidate", f"the solution's process left the protocol: {why}")
    if transcript.ended_as == "flooded":
        return Finding("output_limit", "candidate", why)
    return Finding("invalid_tests", "tests", f"{why}; such a suite takes `verdict: shared`")


def _unready(transcript: Transcript) -> Finding:
    failure = transcript.failure
    if transcript.ended_as == "parsed":
        return no_tests()
    if transcript.ended_as == "invalid":
        return Finding("invalid_tests", "tests", f"the tests cannot be read: {failure.message}", failure.detail)
    if transcript.ended_as == "tampered":
        return Finding("failed", "candidate", failure.message, failure.detail)
    unloaded = transcript.ended_as == "unloaded"
    what = "the solution does not load" if unloaded else "the tests do not load with this solution"
    outcome: Outcome = "out_of_memory" if failure.out_of_memory else "errored"
    audit = not unloaded and not failure.out_of_memory
    return Finding(outcome, "candidate", f"{what}: {failure.message}", failure.detail, needs_audit=audit)


def _collected(transcript: Transcript, judgement: Judgement) -> Finding:
    if len(transcript.names) < len(transcript.expected):
        message = f"{len(transcript.expected)} tests were written, {len(transcript.names)} were left of them"
        return Finding("failed", "candidate", message, needs_audit=True)
    if not transcript.names:
        return no_tests()
    return weigh(judgement.names, judgement.reports, extras=len(judgement.extras))


def weigh(names: list[str], reports: dict[int, CaseReport], *, extras: int) -> Finding:
    """The finding of a run that came to its end."""
    missing = len(names) - len(reports)
    if missing:
        return Finding("crashed", "candidate", f"{missing} of {len(names)} tests gave no result")
    outcomes: set[Outcome | CaseOutcome] = {report.outcome for report in reports.values()}
    if any(report.out_of_memory for report in reports.values()):
        outcomes.add("out_of_memory")
    if extras:
        outcomes.add("errored")
    worst = next((outcome for outcome in BAD_OUTCOMES if outcome in outcomes), None)
    if worst is not None:
        return Finding(worst, "candidate")
    if "passed" not in outcomes:
        return Finding("no_tests", "tests", "every test was skipped")
    return Finding("passed", "none")
