"""The options of `prismenv serve` that say who may use the server, and how often."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

TokenListsOption = Annotated[
    list[Path] | None,
    typer.Option("--tokens", help="A file of tokens' digests, scopes and limits (`prismenv token`); repeatable."),
]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Let other machines in without a token: they run programs here.")
]
RateOption = Annotated[
    float | None, typer.Option(min=0.001, help="Requests of one token a second, where its entry says nothing.")
]
OriginsOption = Annotated[
    list[str] | None, typer.Option("--allow-origin", help="Whose pages may use the server; repeatable.")
]
HostsOption = Annotated[
    list[str] | None, typer.Option("--allow-host", help="A name that browsers may reach it by; repeatable.")
]


def admission_of(
    hosts: Sequence[str] | None, origins: Sequence[str] | None, *, insecure: bool, requests_per_second: float | None
) -> dict[str, Any]:
    """What of the server's settings says who may use it; origins as they were written."""
    return {
        "hosts": frozenset(hosts or ()),
        "origins": tuple(origins or ()),
        "insecure": insecure,
        "requests_per_second": requests_per_second,
    }
