"""What a model is told of a failed attempt: whole in itself, whatever its session remembers."""

import re

from prismenv import FileSet

MOST_REPORT = 8_000  # characters; the beginning says what failed, the end how it ended
MOST_PROGRAM = 60_000
_TICKS = re.compile(r"`{3,}")


def capped(text: str, most: int = MOST_REPORT) -> str:
    """`text`, with its middle left out where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    head = most * 2 // 3
    tail = most - head
    return f"{text[:head]}\n[... {len(text) - most:,} characters left out ...]\n{text[-tail:]}"


def fenced(program: str, language: str = "python") -> str:
    """A program as a block, in a fence that does not occur in it."""
    longest = max((len(found) for found in _TICKS.findall(program)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{program.rstrip()}\n{fence}"


def attempt_feedback(statement: str, program: str | FileSet, report: str, language: str) -> str:
    """What the solver is asked with after a failed attempt."""
    shown = fenced(capped(program, MOST_PROGRAM), language) if isinstance(program, str) else program.listing()
    return f"## Challenge\n{statement}\n\n## Your last program\n{shown}\n\n## Report of its tests\n{capped(report)}"


def suite_feedback(tests: str, report: str, language: str) -> str:
    """What the test generator is asked again with."""
    suite = fenced(capped(tests, MOST_PROGRAM), language)
    return f"The last suite cannot be used as it is.\n{capped(report)}\n\nThe last suite was:\n{suite}"
