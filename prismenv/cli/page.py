"""A report as a page of sections, for terminals and as Markdown."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TextIO

from prismenv.cli.drawing import Screen, table
from prismenv.scoring.tables import TextTable
from prismenv.words.visible import visible

ReportFormat = Literal["text", "markdown", "json", "csv"]
_MARKDOWN = re.compile(r"([\\`*{}\[\]<>|#~!&]|(?<![^\W_])_|_(?![^\W_]))")  # `_` within a word is no markup
MOST_COLUMNS = 80  # of a heading
_LIST_START = re.compile(r"^(\s*)([-+]|\d+[.)])(?=\s)")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading (empty for none), lines, tables and lines below them.

    A table is a sequence of forms of itself, the widest first: a terminal takes the first that has room, Markdown the
    first of all.
    """

    title: str = ""
    lines: Sequence[str] = ()
    tables: Sequence[Sequence[TextTable]] = ()
    notes: Sequence[str] = ()

    @property
    def empty(self) -> bool:
        """True where there is nothing to show."""
        return not (self.lines or self.notes or any(forms and forms[0].rows for forms in self.tables))


def show_page(screen: Screen, sections: Sequence[Section]) -> None:
    """Draw the page on a terminal, or as text for a file."""
    for place, section in enumerate(section for section in sections if not section.empty):
        if place:
            screen.say()
        if section.title:
            screen.say(_rule(section.title, min(screen.width, MOST_COLUMNS)), "bold")
        for line in section.lines:
            _say(screen, line)
        for number, forms in enumerate(forms for forms in section.tables if forms[0].rows):
            if number or section.lines:
                screen.say()
            _draw(screen, forms)
        for line in section.notes:
            _say(screen, line)


def _rule(title: str, columns: int) -> str:
    return f"── {title} ".ljust(columns, "─")


def _say(screen: Screen, line: str) -> None:
    """Prose, broken between words; nothing in it is there to be copied whole."""
    screen.say(textwrap.fill(" ".join(line.split()), screen.width, subsequent_indent="  ", break_on_hyphens=False))


def _draw(screen: Screen, forms: Sequence[TextTable]) -> None:
    drawn = [table(form.title, form.header, form.rows, numeric=form.numeric) for form in forms]
    last = forms[-1]
    drawn.append(table(last.title, last.header, last.rows, numeric=last.numeric, tight=True))
    screen.draw(next(filter(screen.fits, drawn), drawn[-1]), blank=False)


def write_markdown(out: TextIO, title: str, sections: Sequence[Section]) -> None:
    """Write the page as GitHub's Markdown. Nothing that a model, a file or a recipe said is taken for markup."""
    out.write(f"# {escaped(title)}\n")
    for section in sections:
        if not section.empty:
            out.write("\n" + "\n".join(_markdown(section)) + "\n")


def _markdown(section: Section) -> Iterator[str]:
    if section.title:
        yield f"## {escaped(section.title)}"
    for line in section.lines:
        yield from ("", escaped(line))
    for forms in section.tables:
        form = forms[0]
        if not form.rows:
            continue
        if form.title:
            yield from ("", f"**{escaped(form.title)}**")
        yield ""
        yield _row(form.header)
        yield _row(["---:" if name in form.numeric else "---" for name in form.header], plain=True)
        yield from map(_row, form.rows)
    for line in section.notes:
        yield from ("", escaped(line))


def _row(cells: Sequence[str], *, plain: bool = False) -> str:
    return "| " + " | ".join(cell if plain else escaped(cell) for cell in cells) + " |"


def escaped(text: str) -> str:
    """Text as one line of Markdown that shows exactly it."""
    line = " ".join(visible(text).split())
    return _LIST_START.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", line))
