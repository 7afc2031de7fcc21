"""Whether the models can be asked: the truth, a few seconds old at most."""

from collections.abc import Callable, Sequence
from typing import Any

import anyio

from prismenv.contracts.clock import Clock
from prismenv.contracts.interface import InterfaceClient
from prismenv.words.errors import ConfigurationException, EnvironmentException

FRESH_SECONDS = 5.0
PING_SECONDS = 5.0


class HealthBoard:
    """Pings one role of each model. `model` names a role's model and raises ConfigurationException for one without.

    A role without a model is `not served`, which is no fault of the service's.
    """

    def __init__(
        self, interface: InterfaceClient, roles: Sequence[str], model: Callable[[str], str], clock: Clock
    ) -> None:
        self._interface = interface
        self._roles = roles
        self._model = model
        self._clock = clock
        self._lock = anyio.Lock()
        self._looked_at = float("-inf")
        self._found: dict[str, dict[str, Any]] = {}

    async def look(self) -> dict[str, dict[str, Any]]:
        """What is found for each role: `model`, `status` (healthy, unreachable, not served), `error` where one is."""
        async with self._lock:  # many ask at once, and the models are pinged once
            if self._clock.monotonic() - self._looked_at > FRESH_SECONDS:
                self._found = await self._look()
                self._looked_at = self._clock.monotonic()
            return self._found

    async def _look(self) -> dict[str, dict[str, Any]]:
        models: dict[str, str] = {}
        found: dict[str, dict[str, Any]] = {}
        for role in self._roles:
            try:
                models[role] = self._model(role)
            except ConfigurationException as error:
                found[role] = {"model": None, "status": "not served", "error": str(error)}
        asked = {model: role for role, model in models.items()}  # one role speaks for all that share its model
        errors: dict[str, str | None] = {}
        async with anyio.create_task_group() as pings:
            for model, role in asked.items():
                pings.start_soon(self._ping, model, role, errors)
        for role, model in models.items():
            why = errors[model]
            found[role] = {"model": model, "status": "unreachable" if why else "healthy", "error": why}
        return dict(sorted(found.items()))

    async def _ping(self, model: str, role: str, errors: dict[str, str | None]) -> None:
        errors[model] = f"no answer within {PING_SECONDS:g} s"
        try:
            with anyio.move_on_after(PING_SECONDS):
                await self._interface.ping(role)
                errors[model] = None
        except EnvironmentException as error:
            errors[model] = str(error)
