"""`prismenv llm`: the group of commands about models. Each command is a module of its own."""

import typer

from prismenv.cli import llmserve, llmtry

EPILOG = """Examples:

\b
  prismenv llm try challenge_designer --input concepts=loops --input difficulty_level=easy
  prismenv llm serve --set models.default=simulated/weak
"""


def register(app: typer.Typer, name: str) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        help="The LLM interface by itself: try a role's model, serve all to others.",
        no_args_is_help=True,
        rich_markup_mode=None,
        epilog=EPILOG,
    )
    llmtry.register(group)
    llmserve.register(group, "serve")
    app.add_typer(group, name=name)
