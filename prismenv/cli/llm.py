"""`prismenv llm`: the LLM interface by itself."""

import typer

from prismenv.cli import llmserve

llm = typer.Typer(
    no_args_is_help=True,
    help="The LLM interface by itself: serve it to others.",
    epilog="Example:\n\n  prismenv llm serve --set models.default=simulated/weak",
)
llmserve.register(llm, "serve")


def register(app: typer.Typer, name: str) -> None:
    """Add the group."""
    app.add_typer(llm, name=name)
