"""Reads the Test Anything Protocol, versions 12 to 14, from what a program printed.

Only test points at the left margin count: those of subtests are summed up by their parent's. Whatever else is printed
between them is no part of the protocol and is passed over.
"""

import re

from prismenv.isolation.testresults import TestResults
from prismenv.words.verdict import CaseOutcome

_PLAN = re.compile(r"1\.\.(\d{1,9})(?:\s*#\s*(?P<why>.*))?\s*$")
_POINT = re.compile(r"(?P<bad>not )?ok\b(?:[ \t]+(?P<number>\d{1,9}))?(?P<rest>.*)$")
_DIRECTIVE = re.compile(r"(?<!\\)#\s*(?P<word>skip|todo)\b\S*\s*(?P<why>.*)$", re.IGNORECASE)


def read_tap(text: str) -> TestResults:
    """The results that `text` holds; `problem` says why they are not whole."""
    results = TestResults()
    lines = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line.startswith("Bail out!"):
            results.problem = f"it gave up: {line.removeprefix('Bail out!').strip()[:300] or 'without a reason'}"
            break
        if plan := _PLAN.match(line):
            _take_plan(results, int(plan[1]))
        elif (point := _POINT.match(line)) and point["rest"][:1] in ("", " ", "\t", "#"):
            detail, at = _diagnosis(lines, at)
            _take_point(results, point, detail)
    if results.expected is None and not results.problem:
        results.problem = "it printed no plan such as 1..3, so nobody knows how many tests there are"
    elif results.expected is not None and len(results.names) > results.expected and not results.problem:
        results.problem = f"it planned {results.expected} tests and reported {len(results.names)}"
    results.lengthen()
    return results


def _take_plan(results: TestResults, count: int) -> None:
    if results.expected is not None:
        results.problem = results.problem or "it printed two plans"
        return
    results.expected = count


def _take_point(results: TestResults, point: re.Match[str], detail: str) -> None:
    number = point["number"]
    if number is not None and int(number) != len(results.names) + 1:
        results.problem = results.problem or f"test {number} was reported where test {len(results.names) + 1} was due"
    rest = point["rest"]
    directive = _DIRECTIVE.search(rest)
    name = rest[: directive.start()] if directive else rest
    name = name.strip().removeprefix("-").strip().replace("\\#", "#")
    outcome: CaseOutcome = "failed" if point["bad"] else "passed"
    if directive and (directive["word"].lower() == "skip" or point["bad"]):
        outcome, detail = "skipped", directive["why"]
    results.add(name, outcome, detail or ("it failed" if outcome == "failed" else ""))


def _diagnosis(lines: list[str], at: int) -> tuple[str, int]:
    """The indented block that follows a test point, and where the next line is."""
    if at >= len(lines) or lines[at].strip() != "---" or not lines[at].startswith(" "):
        return "", at
    for end in range(at + 1, len(lines)):
        if lines[end].strip() == "..." and lines[end].startswith(" "):
            return "\n".join(line.removeprefix("  ") for line in lines[at + 1 : end]), end + 1
        if lines[end] and not lines[end].startswith(" "):
            break
    return "", at
