"""What a check is, and what it finds: a claim that a protocol makes, tried over the wire."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import anyio

from prismenv.conformance.wire import Wire, WireTrouble

Result = Literal["passed", "failed", "skipped"]


class Mismatch(Exception):
    """The server did something else; the message says what was expected."""


class NotApplicable(Exception):
    """The server cannot be asked for this; the message says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """`claim` is a sentence that holds of a server that conforms; `run` raises Mismatch where it does not."""

    name: str
    claim: str
    run: Callable[[Wire], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a check. `sent` and `got` are the last that went over the wire, cut; `expected` empty: it passed."""

    check: str
    claim: str
    result: Result
    sent: str = ""
    expected: str = ""
    got: str = ""


class Suite:
    """The checks of one protocol, in the order in which they are made."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.checks: list[Check] = []

    def check(
        self, name: str, claim: str
    ) -> Callable[[Callable[[Wire], Awaitable[None]]], Callable[[Wire], Awaitable[None]]]:
        """A decorator: the function below is a check."""

        def take(run: Callable[[Wire], Awaitable[None]]) -> Callable[[Wire], Awaitable[None]]:
            self.checks.append(Check(name, claim, run))
            return run

        return take


def require(condition: object, expected: str) -> None:
    """Mismatch unless the condition is true."""
    if not condition:
        raise Mismatch(expected)


async def examine(checks: Sequence[Check], make_wire: Callable[[], Wire], seconds: float) -> list[Finding]:
    """Make all checks one after the other, each with connections of its own and within that time.

    HostException where the server cannot be reached at all.
    """
    async with make_wire() as wire:
        await wire.require_server()
    return [await _find(check, make_wire(), seconds) for check in checks]


async def _find(check: Check, wire: Wire, seconds: float) -> Finding:
    try:
        with anyio.fail_after(seconds):
            async with wire:
                await check.run(wire)
    except NotApplicable as error:
        return Finding(check.name, check.claim, "skipped", wire.sent, str(error), wire.got)
    except Mismatch as error:
        return Finding(check.name, check.claim, "failed", wire.sent, str(error), wire.got)
    except WireTrouble as error:
        return Finding(check.name, check.claim, "failed", wire.sent, "an answer", str(error))
    except TimeoutError:
        return Finding(check.name, check.claim, "failed", wire.sent, f"an answer within {seconds:g} s", wire.got)
    return Finding(check.name, check.claim, "passed", wire.sent, "", wire.got)
