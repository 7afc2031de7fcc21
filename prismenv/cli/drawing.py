"""Tables and colours. Only what draws imports this: its library takes longer than many a command."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Literal, NoReturn

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from prismenv.words.visible import visible

BOX = box.SIMPLE_HEAD
PIPE_COLUMNS = 120  # width of tables where there is no terminal to ask, unless COLUMNS says otherwise
_ANY_COLUMNS = 10_000  # wider than any table that is meant to be read


class Screen(Console):
    """Draws colour on terminals only. A reader that went away is BrokenPipeError, and not rich's exit code."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError

    def say(self, text: str = "", style: str | None = None) -> None:
        """A line or more as it is; the terminal wraps it, so that it can be copied whole."""
        self.print(Text(visible(text), style=style or ""), soft_wrap=True)

    def fits(self, drawn: Table) -> bool:
        """True when no cell of the table has to be folded."""
        return Measurement.get(self, self.options.update(width=_ANY_COLUMNS), drawn).maximum <= self.width

    def draw(self, drawn: Table, *, blank: bool = True) -> None:
        """A table and an empty line; without the blanks at the ends of lines where no terminal shows it."""
        if self.is_terminal:
            self.print(drawn)
        else:
            with self.capture() as captured:
                self.print(drawn)
            self.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
        if blank:
            self.say()


def console(*, stderr: bool = False) -> Screen:
    """Standard output or error, as a screen."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS", "").isdigit() else PIPE_COLUMNS
    return Screen(stderr=stderr, highlight=False, emoji=False, markup=False, width=width)


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numeric: Sequence[str] = (),
    whole: Sequence[str] = (),
    tight: bool = False,
) -> Table:
    """A plain table; the columns named in `numeric` are set to the right, those in `whole` are never folded, so that
    they can be copied; a `tight` one has one space between columns. Cells are text, never markup."""
    drawn = Table(title=Text(visible(title), style="bold"), title_justify="left", box=BOX, pad_edge=False, padding=0)
    drawn.show_edge = False
    drawn.padding = (0, 0 if tight else 1, 0, 0)  # beside the one space that the box has
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in numeric else "left"
        drawn.add_column(Text(visible(column)), justify=justify, overflow="fold", no_wrap=column in whole)
    for row in rows:
        drawn.add_row(*(Text(visible(str(cell))) for cell in row))
    return drawn
