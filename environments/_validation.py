"""What a test validator's report says. It is a model's text: anything may stand in it."""

import json
import re
from collections.abc import Sequence

_NONE_FOUND = re.compile(
    r"\b(?:no|without|zero|0)\s+(?:\w+\s+){0,2}(?:issues?|problems?|errors?|defects?|faults?)\b"
    r"|\b(?:tests|suite)\s+(?:\w+\s+){0,2}(?:valid|sound|correct|fine|good|complete)\b",
    re.IGNORECASE,
)
_SPEAKS_OF_ISSUES = re.compile(
    r"\b(?:issues?|problems?|errors?|defects?|missing|lacks?|incorrect|wrong|invalid|fails?|should)\b", re.IGNORECASE
)


def finds_issues(report: str) -> bool | None:
    """Whether a report names issues; None where it says nothing definite.

    Reports are JSON objects or prose: prose names issues where it speaks of any and does not say that there are none.
    """
    found = _object(report)
    if found is None:
        return False if _NONE_FOUND.search(report) else True if _SPEAKS_OF_ISSUES.search(report) else None
    issues = found.get("issues")
    if isinstance(issues, list | dict | str):
        return bool(issues)
    valid = found.get("valid")
    return not valid if isinstance(valid, bool) else None


def round_report(failures: Sequence[str], report: str) -> str:
    """What one round of checks came to: the validator's report as it is, after what the engine found."""
    if not failures:
        return report
    checks = "## Checks of the engine\n" + "\n".join(f"- {failure}" for failure in failures)
    return f"{checks}\n\n## Validator\n{report}" if report else checks


def _object(text: str) -> dict[str, object] | None:
    """The JSON object of a text, whatever stands around it."""
    for candidate in (text, text[text.find("{") : text.rfind("}") + 1]):
        try:
            value = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None
