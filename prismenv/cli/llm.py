"""`prismenv llm`: the group of commands about models. Each command is a module of its own."""

import typer

from prismenv.cli import llmtry

EPILOG = """Examples:

\b
  prismenv llm try challenge_designer --input concepts=loops --input difficulty_level=easy
"""


def register(app: typer.Typer, name: str) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Try a role's model.", no_args_is_help=True, rich_markup_mode=None, epilog=EPILOG)
    llmtry.register(group)
    app.add_typer(group, name=name)
