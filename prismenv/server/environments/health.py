"""Whether the environments could run now: the truth, a few seconds old at most."""

from typing import Any

import anyio

from prismenv.contracts.clock import Clock
from prismenv.contracts.health import NOT_CONFIGURED
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.words.errors import EnvironmentException

FRESH_SECONDS = 10.0
CHECK_SECONDS = 30.0


class EnvironmentHealth:
    """Asks each environment's own health check. Many ask at once, and it is looked once."""

    def __init__(self, hosted: HostedEnvironments, clock: Clock) -> None:
        self._hosted = hosted
        self._clock = clock
        self._lock = anyio.Lock()
        self._looked_at = float("-inf")
        self._found: dict[str, dict[str, Any]] = {}

    async def look(self) -> dict[str, dict[str, Any]]:
        """By environment: `environment`, `status` (healthy, degraded, unhealthy) and `checks`."""
        async with self._lock:
            if self._clock.monotonic() - self._looked_at > FRESH_SECONDS:
                found: dict[str, dict[str, Any]] = {}
                async with anyio.create_task_group() as looking:
                    for name in self._hosted.names:
                        looking.start_soon(self._ask, name, found)
                self._found = dict(sorted(found.items()))
                self._looked_at = self._clock.monotonic()
            return self._found

    async def _ask(self, name: str, found: dict[str, dict[str, Any]]) -> None:
        late = f"unhealthy: no answer within {CHECK_SECONDS:g} s"
        found[name] = {"environment": name, "status": "unhealthy", "checks": {"environment": late}}
        try:
            with anyio.move_on_after(CHECK_SECONDS):
                async with self._hosted.make(name, 0) as environment:
                    found[name] = await environment.health_check()
        except EnvironmentException as error:
            told = {"environment": f"unhealthy: {error.message}"}
            found[name] = {"environment": name, "status": "unhealthy", "checks": told}


def overall(found: dict[str, dict[str, Any]]) -> str:
    """`healthy` where all are, `unhealthy` where none could run, else `degraded`.

    Those that wait for the user to configure them say nothing of the others.
    """
    statuses = {each["status"] for each in found.values()}
    statuses = statuses - {NOT_CONFIGURED} or statuses
    return statuses.pop() if len(statuses) == 1 else "degraded"
