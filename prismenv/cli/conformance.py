"""`prismenv conformance`: whether a server does what a protocol says."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import anyio
import typer

from prismenv.cli.output import print_json, say
from prismenv.cli.places import JsonOption
from prismenv.cli.tokens import token_sources
from prismenv.conformance.check import Finding, Suite, examine
from prismenv.conformance.mcp import MCP
from prismenv.conformance.openenv import OPENENV
from prismenv.conformance.prismbench import PRISMBENCH
from prismenv.conformance.wire import Subject, Wire
from prismenv.network.keys import read_key
from prismenv.words.errors import ConfigurationException

EPILOG = """The address is what a client of the protocol is given. The checks open sessions and take steps; those of
prismbench run two challenges.

Exit code: 0 all checks passed or were skipped, 1 one failed, 2 bad usage, 3 nobody answers at the address.

Examples:

\b
  prismenv conformance http://127.0.0.1:8000/environments/environment_echo --protocol openenv
  prismenv conformance http://127.0.0.1:8000/environments/environment_echo/mcp --protocol mcp --json
  prismenv conformance http://127.0.0.1:8000 --protocol prismbench --environment environment_coding_challenge
  prismenv conformance http://127.0.0.1:9000 --protocol openenv --action '{"message": "hello"}'
"""
EXIT_FAILED = 1
_MARKS = {"passed": ("passed ", "green"), "failed": ("FAILED ", "red"), "skipped": ("skipped", "yellow")}
_SUITES = {suite.protocol: suite for suite in (OPENENV, PRISMBENCH, MCP)}


class Protocol(StrEnum):
    """The protocols that have checks."""

    OPENENV = "openenv"
    PRISMBENCH = "prismbench"
    MCP = "mcp"


_ENDPOINTS = {Protocol.MCP: "/mcp", Protocol.OPENENV: "/ws"}


def conformance(
    url: Annotated[str, typer.Argument(help="The server's address.")],
    protocol: Annotated[Protocol, typer.Option(help="The protocol that it has to speak.")],
    only: Annotated[list[str] | None, typer.Option("--check", help="Only this check; repeatable.")] = None,
    environment: Annotated[str | None, typer.Option(help="PrismBench's: the environment to ask for.")] = None,
    action: Annotated[
        str | None, typer.Option(metavar="JSON", help="OpenEnv's: a valid action; default: the least of its schema.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option(help="A file with the token that the server wants.")] = None,
    token_variable: Annotated[str | None, typer.Option(help="A variable with that token.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long a check may take.")] = 300.0,
    as_json: JsonOption = False,
) -> None:
    """Check that a server, ours or another's, does what a protocol says, over the wire alone."""
    sources = token_sources(
        [] if token_file is None else [token_file], [] if token_variable is None else [token_variable]
    )
    if len(sources) > 1:
        raise ConfigurationException("--token-file and --token-variable name one token each: give one of them")
    token = read_key(sources[0], Path.cwd(), os.environ).value if sources else None
    subject = Subject(_address(url, protocol), token, environment, _action(action), seconds)
    suite = _chosen(_SUITES[protocol.value], only)
    found = anyio.run(examine, suite.checks, lambda: Wire(subject), seconds)
    _show(suite.protocol, found, as_json=as_json)
    raise typer.Exit(EXIT_FAILED if any(each.result == "failed" for each in found) else 0)


def _address(url: str, protocol: Protocol) -> str:
    """The server's address, without the endpoint that the protocol's checks append."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationException(
            "URL: it must be an address such as http://127.0.0.1:8000", code="bad_url", subject="url"
        )
    return url.rstrip("/").removesuffix(_ENDPOINTS.get(protocol, "/"))


def _action(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigurationException(f"--action: it is no JSON: {error}", code="bad_option") from error
    if not isinstance(found, dict):
        raise ConfigurationException("--action: it must be a JSON object", code="bad_option")
    return found


def _chosen(suite: Suite, only: Sequence[str] | None) -> Suite:
    known = [check.name for check in suite.checks]
    for name in only or ():
        if name not in known:
            raise ConfigurationException(
                f"--check {name!r}: there is no such check of {suite.protocol}; there are {', '.join(known)}",
                code="unknown_check",
            )
    chosen = Suite(suite.protocol)
    chosen.checks = [check for check in suite.checks if not only or check.name in only]
    return chosen


def _show(protocol: str, found: Sequence[Finding], *, as_json: bool) -> None:
    counts = {result: sum(each.result == result for each in found) for result in _MARKS}
    if as_json:
        print_json({"protocol": protocol, **counts, "checks": [asdict(each) for each in found]})
        return
    for each in found:
        mark, style = _MARKS[each.result]
        say(f"{mark}  {each.check}: {each.claim}", style)
        if each.result == "failed":
            say(f"         sent      {each.sent}\n         expected  {each.expected}\n         got       {each.got}")
        elif each.result == "skipped":
            say(f"         it needs  {each.expected}")
    say(f"{protocol}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", "bold")


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(conformance)
