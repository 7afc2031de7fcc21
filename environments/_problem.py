"""One problem of a call while it is worked on, and how work on it may end early."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prismenv import AgentCommunicationException, ConfigurationException, Crew, FileSet, TrailRecord, Usage, Verdict


class ProblemEnded(Exception):
    """Work on a problem cannot go on; `fault` says whose doing it is, the text becomes the record's output."""

    def __init__(self, message: str, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(slots=True)
class Brief:
    """What a call asks for. `made` are the statements of the problems so far, those that were given first."""

    concepts: tuple[str, ...]
    difficulty: str
    made: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Problem:
    """One problem. `begun` is when the present attempt began, in seconds of the clock.

    `tests` is the suite as it was written, `judged_tests` as the last program was judged by it; `rewrites` counts how
    often the suite was asked for again. `report` is what judging the last program came to.
    """

    index: int
    crew: Crew
    begun: float
    statement: str | None = None
    tests: str | None = None
    judged_tests: str | None = None
    solution: str | FileSet | None = None
    report: str = ""
    rewrites: int = 0
    validation: list[str] = field(default_factory=list)
    analysis: str | None = None
    notes: dict[str, None] = field(default_factory=dict)
    records: list[TrailRecord] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a remark that the next record carries."""
        self.notes[text] = None

    @property
    def solution_text(self) -> str:
        """The last program as it is shown: of several files, all of them."""
        return self.solution.listing() if isinstance(self.solution, FileSet) else self.solution or ""

    @property
    def validation_report(self) -> str | None:
        """The validation of the suites so far: the only round's as it is, several under headings, None for none."""
        if len(self.validation) <= 1:
            return self.validation[0] if self.validation else None
        return "\n\n".join(f"# Round {number}\n{text}" for number, text in enumerate(self.validation, start=1))


def fault_of(error: AgentCommunicationException, unusable: str) -> str:
    """`unusable` where the model answered, but nothing of use; `infrastructure` where no answer came."""
    return "infrastructure" if error.usage is None else unusable


def unusable(role: str, times: int) -> AgentCommunicationException:
    """The error of a role that answered, but `times` times with nothing of use."""
    error = AgentCommunicationException(f"{times} answers, none holds a program", code="no_usable_answer", subject=role)
    error.usage = Usage()
    return error


def judged_fields(verdict: Verdict, program: str | FileSet, tests: str) -> dict[str, Any]:
    """The keys of a record that a verdict fills: what was judged, and what came of it."""
    return {
        "solution_code": program,
        "test_cases": tests,
        "success": verdict.success,
        "output": verdict.output,
        "tests_passed_num": verdict.tests_passed_num,
        "tests_failed_num": verdict.tests_failed_num,
        "tests_errored_num": verdict.tests_errored_num,
        "verdict": verdict,
        "fault": verdict.fault,
        "cpu_seconds": verdict.cpu_seconds,
    }


def concepts_of(concept: str | Sequence[str]) -> tuple[str, ...]:
    """One concept or several as a tuple; ConfigurationException for none, or what is no text."""
    given = (concept,) if isinstance(concept, str) else tuple(concept) if isinstance(concept, list | tuple) else ()
    if not given or not all(isinstance(name, str) and name.strip() for name in given):
        raise ConfigurationException(
            f"concept must be a name or a list of names, found {concept!r:.80}", code="bad_option", subject="concept"
        )
    return given


def difficulty_of(difficulty_level: Any) -> str:
    """A difficulty's name; ConfigurationException for what is no text, or blank."""
    if not isinstance(difficulty_level, str) or not difficulty_level.strip():
        raise ConfigurationException(
            f"difficulty_level must be the name of a difficulty, found {difficulty_level!r:.80}",
            code="bad_option",
            subject="difficulty_level",
        )
    return difficulty_level


def texts_of(name: str, given: Any) -> list[str]:
    """An option that is a text or a list of texts, blank ones left out; ConfigurationException for anything else."""
    texts = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ConfigurationException(
            f"option {name!r} must be a list of texts, found {given!r:.80}", code="bad_option", subject=name
        )
    return [text for text in texts if text.strip()]


def number_of(name: str, given: Any, usual: int) -> int:
    """An option that is a whole number of 1 or more, None for the usual one; else a ConfigurationException."""
    if given is None:
        return usual
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigurationException(
            f"option {name!r} must be a whole number of 1 or more, found {given!r:.80}", code="bad_option", subject=name
        )
    return given
