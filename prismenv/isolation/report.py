"""The readable report of a judged run: what a person reads and what the next prompt holds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from prismenv.words.verdict import CaseResult

ALL_PASSED = "All tests passed."
DETAILS_CHARACTERS = 24_000
PRINTED_CHARACTERS = 8_000
ADDRESS = re.compile(r"(?<= at )0x[0-9a-fA-F]{6,16}\b")


@dataclass(frozen=True, slots=True)
class Section:
    """The details of one test, or of what kept all of them from running."""

    title: str
    text: str


def repeatable(text: str) -> str:
    """`text` without the memory addresses of default representations, which differ from run to run.

    Half of a surrogate pair, which is no text to anybody who encodes it, is shown by its number.
    """
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return ADDRESS.sub("0x…", text) if " at 0x" in text else text


def printable(data: bytes) -> str:
    """Output as text: what is no UTF-8 is shown as replacement characters, NULs as their symbol."""
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\0", "\u2400")


def clipped(text: str, most: int) -> str:
    """`text`, its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half} characters left out) ...\n{text[-half:]}"


def headline(message: str, cases: Sequence[CaseResult]) -> str:
    """One line: how many of the tests ended how, after the reason if there is one."""
    counts = {outcome: sum(case.outcome == outcome for case in cases) for outcome in dict.fromkeys(_OUTCOMES)}
    words = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in counts.items() if count)
    total = f"{len(cases)} test{'' if len(cases) == 1 else 's'}: {words}." if cases else ""
    return "\n".join(line for line in (message, total) if line)


_OUTCOMES = ("passed", "failed", "errored", "timed_out", "skipped", "argument_rewritten")


def render(
    message: str, cases: Sequence[CaseResult], sections: Sequence[Section], printed: str, *, passed: bool
) -> str:
    """The whole report; exactly ALL_PASSED for a pass that printed nothing."""
    parts = [ALL_PASSED if passed else headline(message, cases)]
    details = "\n\n".join(f"--- {section.title}\n{section.text}" for section in sections)
    if details and not passed:
        parts.append(clipped(details, DETAILS_CHARACTERS))
    if printed.strip():
        parts.append(f"--- printed output\n{clipped(printed.rstrip(), PRINTED_CHARACTERS)}")
    return "\n\n".join(parts)
