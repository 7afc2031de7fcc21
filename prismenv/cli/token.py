"""`prismenv token`: a new token for a server of environments."""

import secrets
from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from prismenv.cli.output import print_error, print_json
from prismenv.cli.places import JsonOption
from prismenv.finding.tokenfile import Scope, TokenEntry, add_token, digest_of
from prismenv.finding.yamlfile import YamlDocument, validate
from prismenv.words.errors import ConfigurationException

EPILOG = """The token is printed once and kept nowhere; the file holds its digest. To take a token back, take its entry
out and start the server again.

Examples:

\b
  prismenv token trainer --file tokens.yaml
  prismenv token dashboard --file tokens.yaml --scope read --requests-per-second 5
  prismenv serve --host 0.0.0.0 --tokens tokens.yaml
"""
_BYTES = 32


def token(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    file: Annotated[Path, typer.Option("--file", "-f", help="The file of tokens, made where there is none.")],
    scope: Annotated[
        str, typer.Option(help="read: what there is; run: episodes and challenges too; admin: counters too.")
    ] = "run",
    requests_per_second: Annotated[float | None, typer.Option(min=0.001, help="How often it may ask.")] = None,
    message_bytes: Annotated[int | None, typer.Option(min=1, help="The longest message or body.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token, print it, and write its digest into a file for `prismenv serve --tokens`."""
    if scope not in get_args(Scope):
        raise ConfigurationException(
            f"--scope must be {', '.join(get_args(Scope))}, found {scope!r:.40}", code="bad_scope"
        )
    made = secrets.token_hex(_BYTES)
    limits = {"requests_per_second": requests_per_second, "message_bytes": message_bytes}
    told = {"name": name, "sha256": digest_of(made), "scope": cast("Scope", scope), **limits}
    add_token(file, validate(TokenEntry, YamlDocument(file, told, {})))
    if as_json:
        print_json({"name": name, "scope": scope, "token": made, "file": str(file)})
        return
    print_error(f"wrote the digest of {name!r} into {file}; this is the token, shown once:")
    typer.echo(made)


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(token)
