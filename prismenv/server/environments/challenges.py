"""PrismBench's `/run-challenge`: one node measured for whoever asks."""

from collections.abc import Mapping
from typing import Any

import anyio

from prismenv.contracts.clock import Clock
from prismenv.contracts.episode import plain
from prismenv.contracts.requests import positive_option
from prismenv.contracts.settings import HOST_TIMEOUT_SECONDS
from prismenv.engine.host.host import EnvironmentHost
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.refusal import Refusal
from prismenv.words.errors import DeadlineException
from prismenv.words.seeding import derive_seed

USUAL = "environment_coding_challenge"
GRACE_SECONDS = 30.0  # an environment ends by itself at its timeout; one that does not is cut off so much later
NEEDED = ("concept", "difficulty_level")


class ChallengeRunner:
    """Runs whole challenges. Each takes a place of the host; a client that goes away cancels its own."""

    usual = USUAL

    def __init__(self, hosted: HostedEnvironments, host: EnvironmentHost, clock: Clock) -> None:
        self._hosted = hosted
        self._host = host
        self._clock = clock

    async def run(self, name: str, body: Mapping[str, Any], tenant: str) -> dict[str, Any]:
        """The result, `{"success", "data_trail", …}`. What is in the body beside the node are options of the call."""
        options = {"concept" if key == "concepts" else key: value for key, value in body.items()}
        for key in NEEDED:
            if key not in options:
                raise Refusal(422, "missing_option", f"{key}: it is missing")
        seed = derive_seed(self._host.seed, self._clock.new_id("challenge"))
        limit = min(positive_option(options, "timeout") or self._hosted.require(name).timeout, HOST_TIMEOUT_SECONDS)
        async with self._host.place(tenant):
            with anyio.move_on_after(limit + GRACE_SECONDS):
                async with self._hosted.make(name, seed) as environment:
                    result = await environment.execute_node(**options)
                    document: dict[str, Any] = plain(result, f"the result of {name!r}")
                    return document
        raise DeadlineException(f"{name!r} did not end within {limit + GRACE_SECONDS:g} s", subject=name)
