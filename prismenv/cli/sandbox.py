"""`prismenv sandbox`: the group of commands about the sandbox."""

import typer

from prismenv.cli import sandboxserve

EPILOG = """Examples:

\b
  prismenv sandbox serve
  prismenv sandbox serve --host 0.0.0.0 --token-file ~/.config/prismenv.token
"""


def register(app: typer.Typer, name: str) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="The sandbox by itself: serve it to other machines.",
        no_args_is_help=True,
        rich_markup_mode=None,
        epilog=EPILOG,
    )
    group.callback()(_group)  # with one command alone typer would take the group for it
    sandboxserve.register(group, "serve")
    app.add_typer(group, name=name)


def _group() -> None:
    """The sandbox by itself: serve it to other machines."""
