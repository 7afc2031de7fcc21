"""How the command line speaks: lines for people, one JSON document or JSON lines for machines.

Everything goes through `visible`: no control character of a model, a test or a file reaches a terminal.
"""

import importlib
import json
import os
import sys
from typing import Any

from prismenv.words.visible import visible

_DRAWING = "prismenv.cli.drawing"  # imported where a line may have a colour, and by commands that show tables
_COLOUR_VARIABLES = ("FORCE_COLOR", "TTY_COMPATIBLE")  # by which a pipe is taken for a terminal


def print_json(document: Any) -> None:
    """One JSON document on standard output, in ASCII: every encoding can carry it, and no terminal obeys it."""
    sys.stdout.write(json.dumps(document, default=str) + "\n")
    sys.stdout.flush()


def print_error(message: str) -> None:
    """A line for people on standard error."""
    say(message, stderr=True)


def say(text: str = "", style: str | None = None, *, stderr: bool = False) -> None:
    """A line or more as it is; in `style` on a terminal, which wraps it, so that it can be copied whole."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty() or any(os.environ.get(name) for name in _COLOUR_VARIABLES):
        importlib.import_module(_DRAWING).console(stderr=stderr).say(text, style)
        return
    stream.write(f"{visible(text)}\n")
    stream.flush()
