"""One WebSocket: a session with one instance of an environment, in OpenEnv's dialect.

Theory of operation. The connection reads what the client says, a few messages ahead; the session, one task, answers one
after the other. A client that goes away while a step runs is noticed by the connection, and the step is cancelled; one
that floods is read no further. When the instance is taken away (its lease is over, the host stops), the client is told,
and the connection closed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
from loguru import logger

from prismenv.contracts.clock import Clock
from prismenv.contracts.episode import result_document
from prismenv.engine.host.host import EnvironmentHost
from prismenv.engine.host.instance import Instance
from prismenv.server.admission import Admission
from prismenv.server.environments.connection import SessionConnection
from prismenv.server.environments.limits import WireLimits
from prismenv.server.environments.mcp import answer_frame
from prismenv.server.environments.meter import EnvironmentMeter
from prismenv.server.environments.openenv import (
    ENDING,
    DialectException,
    Message,
    answer,
    error_answer,
    error_of,
    read_message,
    written,
)
from prismenv.words.errors import EnvironmentException

NORMAL_CLOSURE = 1000
_OPENING_CODES = {"capacity_reached": "CAPACITY_REACHED", "stopping": "SESSION_ERROR"}
_FAILED = "EXECUTION_ERROR"


@dataclass(frozen=True, slots=True)
class SessionSetup:
    """What all sessions share."""

    host: EnvironmentHost
    meter: EnvironmentMeter
    limits: WireLimits
    clock: Clock
    admission: Admission


class OpenEnvSession:
    """The session of a connection that was accepted."""

    def __init__(self, connection: SessionConnection, setup: SessionSetup, environment: str, tenant: str) -> None:
        self._connection = connection
        self._setup = setup
        self._environment = environment
        self._tenant = tenant
        self._taken = ""  # why the instance was taken away
        self._serving = anyio.CancelScope()

    async def run(self) -> None:
        """Serve the client until it leaves, or is told that it has to."""
        connection = self._connection
        with anyio.CancelScope() as there:
            connection.on_gone = there.cancel
            if connection.gone:
                there.cancel()
            try:
                await self._open_and_serve()
            except TimeoutError:  # it takes no answers
                connection.leave()
        connection.on_gone = None

    async def _open_and_serve(self) -> None:
        host = self._setup.host
        try:
            instance = await host.open(self._environment, self._tenant)
        except EnvironmentException as error:
            await self._end(written(self._not_opened(error)))
            return
        instance.on_close = self._take_away
        try:
            with self._serving:
                await self._serve(instance)
        finally:
            instance.on_close = None
            with anyio.CancelScope(shield=True):
                await host.release(instance)
        if self._taken:
            said = error_answer("SESSION_ERROR", f"the session is over: {self._taken}", reason="closed")
            await self._end(written(said))

    def _not_opened(self, error: EnvironmentException) -> dict[str, Any]:
        host = self._setup.host
        code = _OPENING_CODES.get(error.code, "FACTORY_ERROR")
        told = {"reason": error.code}
        counts: dict[str, Any] = {}
        if code == "CAPACITY_REACHED":
            counts = {"active_sessions": host.active, "max_sessions": host.limits.instances}
        return error_answer(code, str(error), **counts, **told)

    def _take_away(self, why: str) -> None:
        self._taken = why
        self._serving.cancel()

    async def _serve(self, instance: Instance) -> None:
        now, called, admission = self._setup.clock.monotonic, self._setup.meter.called, self._setup.admission
        while True:
            text = await self._connection.next_message()
            if admission.rates is not None:
                await admission.next_turn(self._tenant)
            begun = now()
            kind, outcome, said = await self._answer(instance, text)
            called(self._environment, kind, outcome, now() - begun)
            if kind == "close":
                self._connection.end(NORMAL_CLOSURE)
                return
            if outcome in ENDING:
                await self._end(said)
                return
            await self._say(said)

    async def _answer(self, instance: Instance, text: str | None) -> tuple[str, str, str]:
        """What kind of message it was, what became of it, and the answer."""
        kind = "unreadable"
        try:
            message = read_message(text)
            kind = message.type
            return kind, "ok", written(await _ANSWERS[kind](instance, message))
        except DialectException as error:
            return kind, error.code, written(error_answer(error.code, str(error), **error.more))
        except EnvironmentException as error:
            said = error_of(error)
            return kind, said["data"]["code"], written(said)
        except Exception as error:  # noqa: BLE001 - boundary: a fault of ours, told in the log
            logger.opt(exception=error).error("a fault in answering {} of {}", kind, self._environment)
            return kind, _FAILED, written(error_answer(_FAILED, "internal error", reason="internal"))

    async def _say(self, said: str) -> None:
        self._connection.say(said)
        if self._connection.full:
            with anyio.fail_after(self._setup.limits.send_seconds):
                await self._connection.drained()

    async def _end(self, said: str) -> None:
        await self._say(said)
        self._connection.end(NORMAL_CLOSURE)


async def _reset(instance: Instance, message: Message) -> dict[str, Any]:
    return answer("observation", result_document(await instance.reset(message.data)))


async def _step(instance: Instance, message: Message) -> dict[str, Any]:
    return answer("observation", result_document(await instance.step(message.data)))


async def _state(instance: Instance, _message: Message) -> dict[str, Any]:
    return answer("state", await instance.state())


async def _system_prompt(instance: Instance, _message: Message) -> dict[str, Any]:
    return answer("system_prompt", {"system_prompt": await instance.system_prompt()})


async def _compute_reward(instance: Instance, _message: Message) -> dict[str, Any]:
    return answer("compute_reward", {"reward": await instance.compute_reward()})


async def _mcp(instance: Instance, message: Message) -> dict[str, Any]:
    return answer("mcp", await answer_frame(instance, message.data))


async def _goodbye(_instance: Instance, _message: Message) -> dict[str, Any]:
    return answer("close", {})


_ANSWERS: dict[str, Callable[[Instance, Message], Awaitable[dict[str, Any]]]] = {
    "reset": _reset,
    "step": _step,
    "state": _state,
    "system_prompt": _system_prompt,
    "compute_reward": _compute_reward,
    "mcp": _mcp,
    "close": _goodbye,
}
