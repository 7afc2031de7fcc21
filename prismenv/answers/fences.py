"""Fenced blocks and answer tags of a model's text, found in one pass over its lines.

More is taken for a fence than Markdown allows, because models write more: an opening fence behind prose on its line, a
closing one behind code, blocks in lists and quotations, blocks that end with the text or where the next one opens.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

_RUN = re.compile(r"`{3,}|~{3,}")
# Tried once for each run of marks, and possessive, so that no length of a run makes it go back.
_INLINE = re.compile(r"(?<![`~])(`{3,}+|~{3,}+)[ \t]*+(?:(?:python3?|py)[ \t]++)?+([^`~\s][^`~]*+)\1")
_MARGIN = re.compile(r"^[ \t]*(?:>[ \t]?)*")
_BULLET = re.compile(r"^(?:[-*+]|\d+[.)])[ \t]+$")
_INFO = re.compile(r"^[ \t]*\{?[ \t.]*(?P<language>[\w+#.-]*)(?P<rest>.*)$")
_CODE_AFTER_LABEL = re.compile(r"^[ \t]+(?:(?:async[ \t]+)?def|class|import|from|@\w)\b")
_LONGEST_FENCE_LINE = 10_000  # longer lines hold no fence; keeps the patterns linear
_MOST_BLOCKS = 500  # the last ones are kept: an answer stands at the end
_MOST_LINES = 50_000  # likewise
_CODE_INDENT = 4  # a fence that stands so much deeper than its opening is text, such as an example in a docstring
_TAG = re.compile(r"<(code|solution|answer|python|program|final_answer|response)(?:\s[^<>\n]{0,200})?>", re.IGNORECASE)
_THOUGHT = re.compile(r"<(think|thinking|reasoning|scratchpad|analysis)(?:\s[^<>\n]{0,200})?>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its label in small letters (empty: none), its text, and whether it was closed.

    `info` is all that stands behind the opening fence, `above` the last line with anything before it.
    """

    label: str
    text: str
    closed: bool
    info: str = ""
    above: str = ""


@dataclass(frozen=True, slots=True)
class _Fence:
    before: str
    mark: str
    info: str


@dataclass(slots=True)
class _Open:
    fence: str
    label: str
    margin: str
    lines: list[str]
    info: str = ""
    above: str = ""


def fenced_blocks(text: str) -> list[Block]:
    """The blocks of `text` in their order; blocks without text are left out."""
    if "```" not in text and "~~~" not in text:
        return []
    lines = text.split("\n")[-_MOST_LINES:]
    blocks = deque((block for block in _scan(lines) if block.text.strip()), _MOST_BLOCKS)
    return list(blocks or deque(_inline_blocks(lines), _MOST_BLOCKS))


def tagged(text: str) -> list[str]:
    """What stands in `<code>`, `<solution>`, `<answer>` and the like, in order; an unclosed tag goes to the end."""
    return [inside for _start, _end, inside in _elements(text, _TAG)]


def without_thoughts(text: str) -> str:
    """`text` without `<think>` and the like; a closing tag alone takes everything before it away."""
    parts, at = [], 0
    for start, end, _inside in _elements(text, _THOUGHT):
        parts.append(text[at:start])
        at = end
    rest = "".join([*parts, text[at:]])
    return rest.rpartition("</think>")[2]


def _inline_blocks(lines: list[str]) -> Iterator[Block]:
    for line in lines:
        if len(line) < _LONGEST_FENCE_LINE and ("```" in line or "~~~" in line):
            yield from (Block("", found.group(2), closed=True) for found in _INLINE.finditer(line))


def _elements(text: str, opening: re.Pattern[str]) -> Iterator[tuple[int, int, str]]:
    """Start, end and inside of every element; linear, since each closing tag is looked for once."""
    if "<" not in text:
        return
    at = 0
    unclosed: set[str] = set()
    small = text.lower()
    if len(small) != len(text):  # a few letters change their number when made small
        small = text
    while found := opening.search(text, at):
        name, start, at = found.group(1).lower(), found.start(), found.end()
        closing = -1 if name in unclosed else small.find(f"</{name}>", at)
        if closing < 0:
            unclosed.add(name)
            continue
        inside = text[at:closing]
        at = closing + len(name) + 3
        yield start, at, inside
    if unclosed and (last := _last_opening(text, opening, unclosed)) is not None and last >= at:
        yield last, len(text), text[last:].partition(">")[2]


def _last_opening(text: str, opening: re.Pattern[str], names: set[str]) -> int | None:
    starts = [found.start() for found in opening.finditer(text) if found.group(1).lower() in names]
    return starts[-1] if starts else None


def _scan(lines: list[str]) -> Iterator[Block]:
    current: _Open | None = None
    above = ""
    for line in lines:
        found = _fence_of(line) if "```" in line or "~~~" in line else None
        if current is None:
            current = _opened(found, above) if found else None
            above = "" if found else line if line.strip() else above
        elif found and _is_inside(found, current):
            current.lines.append(line)
        elif found and _closes(found, current):
            if _margin_free(found.before):  # the fence stands behind the last line of code
                current.lines.append(found.before)
            yield _finished(current, closed=True)
            current = None
        elif found and found.info and not _margin_free(found.before) and _is_label(found.info):
            yield _finished(current, closed=False)  # the next block opens, so this one was never closed
            current = _opened(found)
            above = ""
        else:
            current.lines.append(line)
    if current is not None:
        yield _finished(current, closed=False)


def _fence_of(line: str) -> _Fence | None:
    """The fence of a line, None where there is none or more follows than a label."""
    run = _RUN.search(line) if len(line) < _LONGEST_FENCE_LINE else None
    if run is None or "`" in (info := line[run.end() :]) or "~" in info:
        return None
    return _Fence(line[: run.start()], run.group(), info.strip())


def _opened(found: _Fence, above: str = "") -> _Open:
    info = _INFO.match(found.info)
    label, rest = (info["language"].lower(), info["rest"]) if info else ("", "")
    margin = _MARGIN.match(found.before)
    opened = _Open(found.mark, label.strip("."), margin.group() if margin else "", [], found.info, above)
    if _CODE_AFTER_LABEL.match(rest):
        opened.lines.append(rest.strip())
    elif _CODE_AFTER_LABEL.match(f" {found.info}"):
        opened.label = ""
        opened.lines.append(found.info)
    return opened


def _is_inside(found: _Fence, current: _Open) -> bool:
    """True for a fence that is part of the block's text: too short to end it, or too deep."""
    blank = not found.before.strip()
    deep = blank and len(found.before) - len(current.margin) >= _CODE_INDENT
    return deep or (found.mark[0] == current.fence[0] and len(found.mark) < len(current.fence))


def _closes(found: _Fence, current: _Open) -> bool:
    same = found.mark[0] == current.fence[0] and len(found.mark) >= len(current.fence)
    return same and not found.info and (not _margin_free(found.before) or found.before.count('"""') % 2 == 0)


def _margin_free(before: str) -> str:
    """What stands before a fence beyond white space, quotation marks and a bullet."""
    rest = _MARGIN.sub("", before)
    return "" if _BULLET.match(rest) else rest.strip()


def _is_label(info: str) -> bool:
    return len(info.split()) <= 3  # noqa: PLR2004 - `python title="x" linenums`


def _finished(block: _Open, *, closed: bool) -> Block:
    lines = block.lines
    if block.margin:
        lines = [_without_margin(line, block.margin) for line in lines]
    return Block(block.label, "\n".join(lines), closed, block.info, block.above)


def _without_margin(line: str, margin: str) -> str:
    if line.startswith(margin):
        return line[len(margin) :]
    short = margin.rstrip()
    if ">" in short and line.startswith(short):
        return line[len(short) :]
    return line
