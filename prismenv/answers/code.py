"""Code out of a model's answer, whatever shape it came in.

What is tried, in this order:

1. The whole text, when it is a program: it is given back as it is.
2. Fenced blocks. Those labelled with another language are left out while others are there, and so are thoughts
   (`<think>`). Where an answer tag holds blocks, only the last such tag counts.
3. What stands in `<code>`, `<solution>`, `<answer>` and the like.
4. The runs of lines that parse, so that prose around code without any fence is dropped.

Of several pieces that parse, those that define functions or classes are joined in their order, but a later piece that
defines a name again takes the earlier piece's place: models correct themselves. Pieces that only bind names which the
chosen ones read (imports, constants) stay; examples of use do not, nor do tests beside a solution. Where no piece
parses, the last block labelled with the language is the answer, error and all: what is wrong in it is the model's.

Work is linear in the length of the text: every character is handed to the parser a bounded number of times.
"""

import ast
import re
import textwrap
from collections.abc import Mapping, Sequence

from prismenv.answers.fences import Block, fenced_blocks, tagged, without_thoughts
from prismenv.answers.syntax import Source, bound, definitions, loaded, parse, read

PYTHON_LABELS = frozenset({"python", "py", "python3", "py3", "python-repl", "ipython", "ipython3", "sage"})
# What blocks of other languages are called beside the language's own name.
LABELS: Mapping[str, tuple[str, ...]] = {
    "bash": ("sh", "shell", "shellscript", "console"),
    "c": ("c99", "c11", "c17", "gcc"),
    "cpp": ("c++", "cc", "cxx", "c++17", "c++20"),
    "javascript": ("js", "node", "nodejs", "mjs", "cjs"),
    "rust": ("rs",),
    "typescript": ("ts",),
    "yaml": ("yml", "json"),
}
_LOOKS_LIKE_CODE = re.compile(
    r"^[ \t]*(?:(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(|class[ \t]+\w+.*:|import[ \t]+\w|from[ \t]+[\w.]+[ \t]+import\b|"
    r"return\b|@\w+[ \t]*$|(?:for|while|if|elif|with|try|except)\b.*:[ \t]*$)",
    re.MULTILINE,
)
_DEFINES = re.compile(r"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+\w", re.MULTILINE)
_GOES_ON = re.compile(r"^(?:[ \t]|[)\]}]|(?:else|elif|except|finally)\b|'''|\"\"\")")
_STARTS = re.compile(r"^(?:@|[A-Za-z_\"'(\[{#*])")
_FENCE_LINE = re.compile(r"^[ \t]*```", re.MULTILINE)
_MAY_GO_ON = re.compile(r"'{3}|\"{3}|\\\n")  # what lets a text of a program go on in the next line
_MOST_UNITS = 5_000  # an answer without fences has no more statements and paragraphs; keeps garbage cheap
_WIDEST_JOIN = 40  # how many units may make one statement, such as a text in triple quotes that begins at the margin
_MOST_JOINS = 400  # how often that is tried in one answer


def extract_code(text: str, language: str = "python") -> str | None:
    """The code of an answer, None where it holds none.

    A program is given back unchanged but for its line ends, so extracting twice changes nothing. For languages other
    than Python nothing is parsed: the last block with that label, or one of LABELS, or else the last without any, is
    taken.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").removeprefix("\ufeff")
    if not text or text.isspace():
        return None
    if language.lower() not in PYTHON_LABELS:
        return _other_language(text, language.lower())
    if not _is_surely_no_program(text) and read(text) is not None:
        return text
    said = without_thoughts(text)
    return _from_pieces(said) or (_from_pieces(text) if said != text else None)


def _is_surely_no_program(text: str) -> bool:
    """True where a fence stands at the beginning of a line that cannot be within a text: do not parse for nothing."""
    fence = _FENCE_LINE.search(text)
    return fence is not None and not _MAY_GO_ON.search(text, 0, fence.start())


def _from_pieces(text: str) -> str | None:
    blocks = _answer_blocks(text)
    if len(blocks) == 1 and _stands_as_it_is(blocks[0]):
        return blocks[0].text
    sources = _sources([block.text for block in blocks])
    if not sources and not blocks:
        sources = _sources([block for block in tagged(text) if block.strip()])
    if sources:
        return _joined(_chosen(sources))
    if found := _salvaged(blocks):
        return found
    return None if blocks else _from_lines(text)


def _answer_blocks(text: str) -> list[Block]:
    """The blocks that may hold the answer: no other language's, as long as one is left."""
    blocks = fenced_blocks(text)
    if len(blocks) > 1:
        for inside in reversed(tagged(text)):
            if within := fenced_blocks(inside):
                blocks = within
                break
    ours = [block for block in blocks if block.label in PYTHON_LABELS]
    plain = [block for block in blocks if not block.label]
    if ours and not any(_DEFINES.search(block.text) for block in ours):
        ours += [block for block in plain if _DEFINES.search(block.text)]
    return ours or plain or [block for block in blocks if _LOOKS_LIKE_CODE.search(block.text)]


def _stands_as_it_is(block: Block) -> bool:
    """True for a block that is the answer alone whether it parses or not; the usual one, so it is not parsed."""
    likely = block.label in PYTHON_LABELS or _LOOKS_LIKE_CODE.search(block.text) is not None
    return block.closed and likely and textwrap.dedent(block.text) == block.text


def _sources(texts: Sequence[str]) -> list[Source]:
    found = (read(text) or read(textwrap.dedent(text)) for text in texts)
    return [source for source in found if source is not None]


def _chosen(sources: list[Source]) -> list[Source]:
    """The pieces that make up the program, in order."""
    if len(sources) == 1:
        return sources
    defining = [(source, definitions(source.tree)) for source in sources]
    defining = [(source, names) for source, names in defining if names]
    if not defining:
        return sources
    kept: list[Source] = []
    taken: set[str] = set()
    for source, names in reversed(defining):
        if not names & taken:
            kept.append(source)
            taken |= names
    if solutions := [source for source in kept if not _is_suite(source)]:
        kept = solutions
    needed = set().union(*(loaded(source.tree) - bound(source.tree) for source in kept))
    supplying = [source for source in sources if not definitions(source.tree) and bound(source.tree) & needed]
    return [source for source in sources if source in kept or source in supplying]


def _is_suite(source: Source) -> bool:
    return all(name.lower().startswith("test") for name in definitions(source.tree)) or "unittest" in loaded(
        source.tree
    )


def _joined(sources: Sequence[Source]) -> str:
    if len(sources) == 1:
        return sources[0].text
    return "\n\n\n".join(source.text.strip("\n") for source in sources) + "\n"


def _salvaged(blocks: Sequence[Block]) -> str | None:
    """From blocks of which none parses: the part before the text was cut off or went over into prose, or the last."""
    for block in reversed(blocks):
        if not block.closed and (found := _from_lines(block.text)):
            return found
    likely = [block for block in blocks if block.label in PYTHON_LABELS or _LOOKS_LIKE_CODE.search(block.text)]
    return textwrap.dedent(likely[-1].text) if likely else None


def _from_lines(text: str) -> str | None:
    """The runs of lines that parse and define something, chosen and joined as blocks are."""
    if not _DEFINES.search(text) and "lambda" not in text:
        return None
    runs = _runs(textwrap.dedent(text).split("\n"))
    sources = _sources(["\n".join(run) for run in runs])
    if not any(definitions(source.tree) for source in sources):
        return None
    return _joined(_chosen(sources))


def _runs(lines: list[str]) -> list[list[str]]:
    """Neighbouring units that parse, prose left out; a unit is a line at the margin with what belongs to it."""
    units = _units(lines)
    runs: list[list[str]] = [[]]
    at = joins = 0
    while at < min(len(units), _MOST_UNITS):
        width = _statement_width(units[at])
        if width is None:
            width, tried = _joined_width(units, at, _MOST_JOINS - joins)
            joins += tried
        if width:
            runs[-1].extend(line for unit in units[at : at + width] for line in unit)
        elif runs[-1]:
            runs.append([])
        at += width or 1
    return [run for run in runs if any(line.strip() for line in run)]


def _units(lines: list[str]) -> list[list[str]]:
    units: list[list[str]] = []
    decorated = False
    for line in lines:
        goes_on = not line.strip() or _GOES_ON.match(line) or decorated
        if units and goes_on:
            units[-1].append(line)
        else:
            units.append([line])
        decorated = line.startswith("@") or (decorated and not line.strip())
    return units


def _statement_width(unit: list[str]) -> int | None:
    """1 for a unit that is a statement or a comment, 0 for prose, None for the beginning of a longer statement."""
    first = unit[0]
    if not _STARTS.match(first):
        return 0
    if first.startswith("#") and not any(line.strip() for line in unit[1:]):
        return 0 if first.startswith(("# ", "## ", "### ")) and first.rstrip().endswith(":") else 1
    text = "\n".join(unit)
    tree = parse(text)
    if tree is not None:
        return 1 if _is_statement(tree, text) else 0
    opens = "'''" in text or '"""' in text or text.rstrip().endswith(("(", "[", "{", "\\", ","))
    return None if opens else 0


def _joined_width(units: list[list[str]], at: int, most: int) -> tuple[int, int]:
    """How many units from `at` on make one statement (0: none do), and how many joins were tried."""
    text = "\n".join(units[at])
    last = min(_WIDEST_JOIN, len(units) - at, most)
    for width in range(2, last + 1):
        text += "\n" + "\n".join(units[at + width - 1])
        if (tree := parse(text)) is not None:
            return (width if _is_statement(tree, text) else 0), width
    return 0, max(last, 1)


def _is_statement(tree: ast.Module, text: str) -> bool:
    return not tree.body or read(text) is not None or (isinstance(tree.body[0], ast.Expr) and '"""' in text)


def _other_language(text: str, language: str) -> str | None:
    blocks = fenced_blocks(without_thoughts(text)) or fenced_blocks(text)
    if blocks:
        labels = (language, *LABELS.get(language, ()))
        fitting = [block for block in blocks if block.label in labels] or [b for b in blocks if not b.label]
        return fitting[-1].text if fitting else None
    inside = [part for part in tagged(text) if part.strip()]
    return inside[-1] if inside else text
