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
from prismenv.answers.syntax import read
from prismenv.words.fileset import FileSet

FEWEST = 2  # one file is a program, and extract_code finds it whatever it is called
_PATH = r"(?:\./)?[\w-][\w.-]*(?:/[\w-][\w.-]*)*\.[A-Za-z]\w{0,9}"
_IN_INFO = re.compile(rf"(?:^|[\s:=\"'{{])({_PATH})(?=$|[\s\"'}}:])")
_ABOVE = re.compile(
    rf"(?:[-*+#>]+\s*)?(?:\d+[.)]\s*)?[*`\s]*(?:(?:file|filename|path)\b[\s:]*)?[*`\s:]*({_PATH})[*`\s]*(?:\([^()]*\))?[*\s:]*",
    re.IGNORECASE,
)
_SPOKEN = re.compile(rf"[^`]*`({_PATH})`[^`]*:\s*")
_COMMENT = re.compile(
    rf"\s*(?:#|//|--|;|/\*|<!--)\s*(?:(?:file|filename|path)\s*:\s*)?({_PATH})\s*(?:\*/|-->)?\s*", re.IGNORECASE
)
_TESTS = re.compile(r"(?:.*/)?(?:tests?/.*|test_[^/]*|[^/]*_tests?\.py|tests\.py|conftest\.py)")
_MARKED = re.compile(r"\sentry$")
_LONGEST_LINE = 500


def extract_files(text: str, *, entry: str | None = None, given: Mapping[str, str] | None = None) -> FileSet | None:
    """The files of an answer; None where it labels fewer than two, or where they are no solution together.

    `given` are files that are there anyway: those of the answer take their places, and a single one is enough then.
    `entry` is the file whose names the tests find. Where there is none of that name it is the one that is marked
    (`python title="bank.py" entry`), one of a usual name (FileSet says which), else the answer's first module.
    """
    blocks = _labelled(text)
    if len(blocks) < (1 if given else FEWEST) or read(text) is not None:  # a program, whose texts hold such blocks
        return None
    files = {**(given or {}), **{path: block.text.rstrip("\n") + "\n" for path, block in blocks.items()}}
    marked = [path for path, block in blocks.items() if _MARKED.search(block.info)]
    modules = [path for path in blocks if path.endswith(".py")]
    for chosen in (*[each for each in (entry, *marked) if each in files], None, *modules[:1]):
        try:
            return FileSet(files=files, entry=chosen)
        except ValidationError:
            continue
    return None


def _labelled(text: str) -> dict[str, Block]:
    """The blocks that say which file they are, by path. Tests are left out."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    found: dict[str, Block] = {}
    for block in fenced_blocks(without_thoughts(text)):
        path = _path_of(block)
        if path and not _TESTS.fullmatch(path):
            found[path] = block
    return found


def _path_of(block: Block) -> str:
    first = block.text.partition("\n")[0]
    places = ((_IN_INFO.search, block.info), (_ABOVE.fullmatch, block.above), (_SPOKEN.fullmatch, block.above),
              (_COMMENT.fullmatch, first))  # fmt: skip
    for match, line in places:
        if len(line) < _LONGEST_LINE and (said := match(line.strip())):
            return said[1].removeprefix("./")
    return ""
