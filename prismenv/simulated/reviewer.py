"""The simulated roles that read and report: test validator, error analyser, pattern analyser."""

import ast
import json
import re

from prismenv.simulated.question import Question
from prismenv.simulated.stage import Stage

_FAILED = re.compile(r"(?m)^\W*(?:FAIL|ERROR|FAILED|failed|errored)\b\W+(test\w*)|\b(test_\w+)\b")
_ERROR = re.compile(r"\b([A-Z]\w*(?:Error|Exception|Exit|Interrupt)): ?(.{0,120})")
_TESTS = re.compile(r"def (test\w*)\(")
_MOST = 100_000  # characters of code or report that are read
_NAMED = 10  # tests that an analysis names

_HINTS = {
    "AssertionError": "the program runs but computes another result: check boundaries, initial values and conditions",
    "NameError": "a name is used that does not exist: check spelling and the function's name",
    "TypeError": "a value has another type than expected: check what is returned and what is passed on",
    "IndexError": "an index leaves its sequence: check the bounds of loops",
    "KeyError": "a key is missing: check how the mapping is filled",
    "RecursionError": "the recursion does not end: check its base case",
    "SyntaxError": "the program does not parse: write it down again, whole",
}


def validate_tests(question: Question, stage: Stage) -> str:
    """A report on a suite as JSON: `issues` is empty but for the profile's false alarms."""
    names = _TESTS.findall((question.text("test_cases") or question.last_turn())[:_MOST])
    issues = []
    if not names:
        issues.append({"test": None, "issue": "no test method was found"})
    elif question.random.random() < stage.profile.false_alarms:
        name = question.random.choice(names)
        issues.append({"test": name, "issue": "the expected value may not follow from the statement"})
    summary = f"{len(names)} tests read, {len(issues)} issues"
    return json.dumps({"valid": not issues, "issues": issues, "summary": summary}, indent=2)


def analyse_errors(question: Question, _: Stage) -> str:
    """Which tests failed, and a hint by the first kind of error in the report."""
    report = (question.text("test_output") or question.last_turn())[:_MOST]
    names = list(dict.fromkeys(first or second for first, second in _FAILED.findall(report)))
    error = _ERROR.search(report)
    lines = [f"Tests that the report names: {', '.join(names[:_NAMED])}." if names else "The report names no test."]
    if error:
        lines.append(f"First error: {error.group(1)}: {error.group(2).strip()}")
    hint = _HINTS.get(error.group(1) if error else "", "compare the program with the statement, one sentence at a time")
    return "\n".join([*lines, f"Hint: {hint}."])


def describe_patterns(question: Question, _: Stage) -> str:
    """What a solution is made of, by its syntax tree."""
    code = question.text("solution_code")[:_MOST]
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # hostile text can exhaust the parser
        return "The code does not parse, so there are no patterns to report."
    nodes = list(ast.walk(tree))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    facts = {
        "functions": len(functions),
        "recursive functions": sum(_calls_itself(function) for function in functions),
        "loops": _count(nodes, ast.For, ast.While),
        "branches": _count(nodes, ast.If, ast.IfExp, ast.Match),
        "comprehensions": _count(nodes, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
        "exception handlers": _count(nodes, ast.ExceptHandler),
        "raised exceptions": _count(nodes, ast.Raise),
        "imports": _count(nodes, ast.Import, ast.ImportFrom),
    }
    return "\n".join(["Patterns in the solution:", *(f"- {name}: {number}" for name, number in facts.items())])


def _count(nodes: list[ast.AST], *kinds: type[ast.AST]) -> int:
    return sum(isinstance(node, kinds) for node in nodes)


def _calls_itself(function: ast.FunctionDef) -> bool:
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return any(isinstance(called, ast.Name) and called.id == function.name for called in calls)
