"""One solution before one suite: the rounds that it takes, and the audit of a suite that did not load."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from prismenv.isolation.judgement import Finding, Judgement, find, weigh
from prismenv.isolation.launch import Ending
from prismenv.isolation.transcript import Transcript
from prismenv.words.limits import Limits
from prismenv.words.verdict import Isolation, Verdict, VerdictMode

MOST_RESTARTS = 3  # fresh guests after a test that exceeded its own time limit
LEAST_SECONDS = 0.01
REWRITTEN = "it passes only with an argument that the solution changed in place, and that nothing reads afterwards"

# Runs a guest on a payload under limits and returns how it ended; the transcript has then heard all of it.
Launcher = Callable[[dict[str, Any], Limits, Transcript], Awaitable[Ending]]


@dataclass(frozen=True, slots=True)
class Trial:
    """`payload` holds solution, tests and the solution's module names; see `Source.payload`."""

    launch: Launcher
    new_nonce: Callable[[], str]
    payload: dict[str, Any]
    limits: Limits
    harness_hash: str
    isolation: Isolation
    verdict_mode: VerdictMode

    async def verdict(self) -> Verdict:
        """Run the rounds and weigh them."""
        judgement = Judgement(self.limits, self.harness_hash, self.isolation, self.verdict_mode)
        transcript, finding = await self._rounds(judgement)
        if judgement.suspects:
            finding = await self._without_writing_back(finding, judgement)
        if finding.needs_audit:
            finding = await self._audited(finding, transcript, judgement)
        return judgement.verdict(finding, transcript.expected)

    async def _rounds(self, judgement: Judgement) -> tuple[Transcript, Finding]:
        first, ending = await self._round(self.limits)
        judgement.take(first, ending)
        finding = find(first, ending, judgement)
        for _ in range(MOST_RESTARTS):
            left = self.limits.wall_seconds - judgement.wall_seconds
            all_told = len(judgement.reports) == len(judgement.names)
            if ending.stopped_by != "test_wall_seconds" or all_told or left < LEAST_SECONDS:
                break
            limits = self.limits.model_copy(update={"wall_seconds": left})
            transcript, ending = await self._round(limits, sorted(judgement.reports))
            if transcript.names not in ([], first.names):
                break  # other tests than before: what is still open cannot be told apart and stays timed out
            judgement.take(transcript, ending)
            finding = find(transcript, ending, judgement)
        return first, finding

    async def _without_writing_back(self, finding: Finding, judgement: Judgement) -> Finding:
        """Run the suspected tests once more, afresh, where what the solution changes in place stays with it."""
        others = [index for index in range(len(judgement.names)) if index not in judgement.suspects]
        transcript, ending = await self._round(self.limits, others, read_only=True)
        judgement.cpu_seconds += ending.cpu_seconds
        if ending.status is None:
            return find(transcript, ending, judgement)
        for index in judgement.suspects:
            again = transcript.reports.get(index)
            if again is None or again.outcome not in ("passed", "skipped"):
                judgement.reports[index] = replace(
                    judgement.reports[index], outcome="argument_rewritten", message=REWRITTEN, detail=REWRITTEN
                )
        if finding.outcome != "passed":
            return finding
        return weigh(judgement.names, judgement.reports, extras=len(judgement.extras))

    async def _round(
        self, limits: Limits, skip: list[int] | None = None, *, read_only: bool = False
    ) -> tuple[Transcript, Ending]:
        nonce = self.new_nonce()
        transcript = Transcript(nonce)
        given = {"nonce": nonce, "skip": skip or [], "audit": False, "read_only": read_only}
        payload = {**self.payload, **given}
        return transcript, await self.launch(payload, limits, transcript)

    async def _audited(self, finding: Finding, transcript: Transcript, judgement: Judgement) -> Finding:
        """Load the suite against a stub in a guest that never sees the solution: whose fault was it?"""
        nonce = self.new_nonce()
        audit = Transcript(nonce)
        payload = {**self.payload, "solution": "", "files": {}, "nonce": nonce, "skip": [], "audit": True}
        ending = await self.launch(payload, self.limits, audit)
        judgement.cpu_seconds += ending.cpu_seconds
        if transcript.ended_as == "unimported":
            if audit.failure.message != transcript.failure.message:
                return finding  # without the solution it loads, or fails of something else
            return Finding("invalid_tests", "tests", finding.message, finding.detail)
        if audit.finished and len(audit.names) <= len(transcript.names) and judgement.names:
            return weigh(judgement.names, judgement.reports, extras=len(judgement.extras))
        return finding
