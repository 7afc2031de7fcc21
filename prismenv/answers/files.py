"""Several files out of one answer: blocks that say which file each of them is.

A block says it in its opening line (`python bank/rates.py`, `python title="bank/rates.py"`), in the line above it
(`**bank/rates.py**`, `### File: bank/rates.py`, ``Then `bank/rates.py`:``), or in a first line that is a comment of
nothing else (`# bank/rates.py`). Of two blocks of one file the later counts: models correct themselves. Files of tests
are left out: a solution is not judged by its own.
"""

import re
from collections.abc import Mapping

from pydantic import ValidationError

from prismenv.answers.fences import Block, fenced_blocks, without_thoughts
from prismenv.words.fileset import FileSet

FEWEST = 2  # one file is a program, and extract_code finds it whatever it is called
_PATH = r"(?:\./)?[\w-][\w.-]*(?:/[\w-][\w.-]*)*\.[A-Za-z]\w{0,9}"
_IN_INFO = re.compile(rf"(?:^|[\s:=\"'{{])({_PATH})(?=$|[\s\"'}}:])")
_ABOVE = re.compile(
    rf"(?:[-*+#>]+\s*|\d+[.)]\s*)?[*_`\s]*?(?:(?:file|filename|path)\b[\s:]*)?[*`\s:]*({_PATH})[*`\s]*(?:\([^()]*\))?[*\s:]*",
    re.IGNORECASE,
)
_SPOKEN = re.compile(rf"[^`]*`({_PATH})`[^`]*:\s*")
_COMMENT = re.compile(
    rf"\s*(?:#|//|--|;|/\*|<!--)\s*(?:(?:file|filename|path)\s*:\s*)?({_PATH})\s*(?:\*/|-->)?\s*", re.IGNORECASE
)
_TESTS = re.compile(r"(?:.*/)?(?:tests?/.*|test_[^/]*|[^/]*_tests?\.py|tests\.py|conftest\.py)")
_LONGEST_LINE = 500


def extract_files(text: str, *, entry: str | None = None, given: Mapping[str, str] | None = None) -> FileSet | None:
    """The files of an answer; None where it labels fewer than two, or where they are no solution together.

    `given` are files that are there anyway: those of the answer take their places, and a single one is enough then.
    `entry` is the file whose names the tests find, where there is one of that name; else it is found as FileSet says.
    """
    files = labelled_files(text)
    if len(files) < (1 if given else FEWEST):
        return None
    together = {**(given or {}), **files}
    try:
        return FileSet(files=together, entry=entry if entry in together else None)
    except ValidationError:
        return None


def labelled_files(text: str) -> dict[str, str]:
    """The blocks that say which file they are: their texts by path. Tests are left out."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    found: dict[str, str] = {}
    for block in fenced_blocks(without_thoughts(text)):
        path = _path_of(block)
        if path and not _TESTS.fullmatch(path):
            found.pop(path, None)
            found[path] = block.text.rstrip("\n") + "\n"
    return found


def _path_of(block: Block) -> str:
    first = block.text.partition("\n")[0]
    places = ((_IN_INFO.search, block.info), (_ABOVE.fullmatch, block.above), (_SPOKEN.fullmatch, block.above),
              (_COMMENT.fullmatch, first))  # fmt: skip
    for match, line in places:
        if len(line) < _LONGEST_LINE and (said := match(line.strip())):
            return said[1].removeprefix("./")
    return ""
