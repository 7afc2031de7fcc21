"""Compares what a program printed with what it should have."""

import math

from prismenv.isolation.casefile import ProgramSuite
from prismenv.isolation.report import clipped

USUAL_TOLERANCE = 1e-6
SHOWN_CHARACTERS = 1000


def agrees(got: str, wanted: str, suite: ProgramSuite) -> bool:
    """Whether the output is the one expected, as the suite compares."""
    if suite.compare == "exact":
        return got == wanted
    if suite.compare == "whitespace":
        return _stripped(got) == _stripped(wanted)
    tolerance = USUAL_TOLERANCE if suite.tolerance is None else suite.tolerance
    found, asked = got.split(), wanted.split()
    return len(found) == len(asked) and all(_near(*pair, tolerance) for pair in zip(found, asked, strict=True))


def difference(got: str, wanted: str, suite: ProgramSuite) -> str:
    """In one line: where the two differ first."""
    if suite.compare == "exact" and _stripped(got) == _stripped(wanted):
        return "the output differs in white space at the end of a line or of the output"
    found, asked = _stripped(got), _stripped(wanted)
    for number, line in enumerate(asked, 1):
        other = found[number - 1] if number <= len(found) else None
        if other is None:
            return f"line {number}: expected {_short(line)}, the output ends before it"
        if other != line and not (suite.compare == "float" and agrees(other, line, suite)):
            return f"line {number}: expected {_short(line)}, got {_short(other)}"
    return f"line {len(asked) + 1}: the output goes on with {_short(found[len(asked)])}" if found[len(asked) :] else ""


def both(got: str, wanted: str) -> str:
    """Expected and got, each clipped."""
    return f"expected:\n{_block(wanted)}\ngot:\n{_block(got)}"


def _stripped(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _near(got: str, wanted: str, tolerance: float) -> bool:
    if got == wanted:
        return True
    try:
        found, asked = _number(got), _number(wanted)
    except ValueError:
        return False
    if math.isnan(asked):
        return math.isnan(found)
    return math.isclose(found, asked, rel_tol=tolerance, abs_tol=tolerance)


def _number(word: str) -> float:
    """A number as other languages print it; Python's own would take `1_0` for ten, and digits of all alphabets."""
    if "_" in word or not word.isascii():
        raise ValueError(word)
    return float(word)


def _short(line: str) -> str:
    return repr(line if len(line) <= 80 else f"{line[:77]}...")  # noqa: PLR2004 - a line of a terminal


def _block(text: str) -> str:
    shown = clipped(text.rstrip("\n"), SHOWN_CHARACTERS)
    return "\n".join(f"  {line}" for line in shown.split("\n")) if shown else "  (nothing)"
