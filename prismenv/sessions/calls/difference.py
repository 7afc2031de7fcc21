"""What a question differs in from the nearest one that is known."""

import difflib
import heapq
from collections.abc import Iterable, Mapping
from typing import Any

Question = Mapping[str, Any]

_COMPARED = 2000  # characters of a message
_CLOSELY = 12  # so many are compared closely, those that are most like it at a glance
_LINES = 16  # of a difference are shown
_WIDTH = 160  # characters of a line


def nearest_question(question: Question, known: Iterable[tuple[int, Question]]) -> tuple[int, Question] | None:
    """Of numbered questions the one that is most like `question`; None where none has its role."""
    last = question["messages"][-1]["content"][:_COMPARED]
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(last)

    def glance(candidate: tuple[int, Question]) -> tuple[bool, bool, float]:
        other = candidate[1]
        text = other["messages"][-1]["content"][:_COMPARED]
        turns = len(other["messages"]) == len(question["messages"])
        if text == last:
            return True, turns, float(other["labels"] == question["labels"])
        matcher.set_seq1(text)
        return False, turns, matcher.real_quick_ratio() + _shared_start(text, last)

    def closely(candidate: tuple[int, Question]) -> tuple[bool, float, int]:
        matcher.set_seq1(candidate[1]["messages"][-1]["content"][:_COMPARED])
        same = sum(candidate[1][key] == question[key] for key in ("messages", "params", "seed", "labels"))
        turns = len(candidate[1]["messages"]) == len(question["messages"])
        return turns, matcher.ratio(), same

    same_role = (candidate for candidate in known if candidate[1]["role"] == question["role"])
    promising = heapq.nlargest(_CLOSELY, same_role, key=glance)
    return max(promising, key=closely, default=None)


def _shared_start(one: str, other: str) -> float:
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return length / max(len(one), len(other), 1)


def differences(recorded: Question, asked: Question) -> list[str]:
    """Lines that say what is not the same, the first message that differs as a short unified diff."""
    lines = []
    if recorded["seed"] != asked["seed"]:
        lines.append(f"seed: recorded {recorded['seed']}, now {asked['seed']}")
    for part in ("params", "labels"):
        for key in sorted(recorded[part].keys() | asked[part].keys()):
            before, now = (_value(question[part], key) for question in (recorded, asked))
            if before != now:
                lines.append(f"{part}.{key}: recorded {before}, now {now}")
    return lines + _message_lines(recorded["messages"], asked["messages"])


def _value(values: Mapping[str, Any], key: str) -> str:
    return _cut(repr(values[key])) if key in values else "nothing"


def _message_lines(recorded: list[dict[str, str]], asked: list[dict[str, str]]) -> list[str]:
    pairs = zip(recorded, asked, strict=False)
    at = next((at for at, (before, now) in enumerate(pairs) if before != now), None)
    if at is None:
        if len(recorded) == len(asked):
            return []
        return [f"messages: recorded {len(recorded)}, now {len(asked)}; all that both have are the same"]
    before, now = recorded[at], asked[at]
    lines = [f"message {at + 1} of {len(asked)} ({now['role']}):"]
    if before["role"] != now["role"]:
        lines.append(f"role: recorded {before['role']}, now {now['role']}")
    diff = difflib.unified_diff(
        before["content"].splitlines(), now["content"].splitlines(), "recorded", "now", n=1, lineterm=""
    )
    shown = [_cut(line) for line in diff]
    if len(shown) > _LINES:
        shown[_LINES:] = [f"… {len(shown) - _LINES} more lines"]
    return lines + shown


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
