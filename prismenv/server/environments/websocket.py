"""One WebSocket: a session with one instance of an environment, in OpenEnv's dialect.

Theory of operation. A task reads what the client says, a few messages ahead; the session answers one after the other.
So a client that goes away is noticed while a step runs, and the step is cancelled; one that floods is read no further.
When the instance is taken away (its lease is over, the host stops), the client is told, and the connection closed.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from loguru import logger
from starlette.websockets import WebSocket

from prismenv.contracts.clock import Clock
from prismenv.contracts.episode import result_document
from prismenv.engine.host.host import EnvironmentHost
from prismenv.engine.host.instance import Instance
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
)
from prismenv.words.errors import EnvironmentException

NORMAL_CLOSURE = 1000
_OPENING_CODES = {"capacity_reached": "CAPACITY_REACHED", "stopping": "SESSION_ERROR"}
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode

Frame = dict[str, Any]  # an ASGI event


@dataclass(frozen=True, slots=True)
class SessionSetup:
    """What all sessions share."""

    host: EnvironmentHost
    meter: EnvironmentMeter
    limits: WireLimits
    clock: Clock


class OpenEnvSession:
    """The session of a connection that was accepted."""

    def __init__(self, websocket: WebSocket, setup: SessionSetup, environment: str, tenant: str) -> None:
        self._websocket = websocket
        self._setup = setup
        self._environment = environment
        self._tenant = tenant
        self._taken = ""  # why the instance was taken away
        self._serving = anyio.CancelScope()

    async def run(self) -> None:
        """Serve the client until it leaves, or is told that it has to."""
        send, receive = anyio.create_memory_object_stream[Frame](self._setup.limits.pending)
        async with send, receive, anyio.create_task_group() as tasks:
            tasks.start_soon(self._read, send, tasks.cancel_scope)
            await self._open_and_serve(receive)
            tasks.cancel_scope.cancel()

    async def _read(self, send: MemoryObjectSendStream[Frame], everything: anyio.CancelScope) -> None:
        while True:
            frame = dict(await self._websocket.receive())
            if frame["type"] == "websocket.disconnect":
                everything.cancel()
                return
            await send.send(frame)

    async def _open_and_serve(self, frames: MemoryObjectReceiveStream[Frame]) -> None:
        host = self._setup.host
        try:
            instance = await host.open(self._environment, self._tenant)
        except EnvironmentException as error:
            await self._end(self._not_opened(error))
            return
        instance.on_close = self._take_away
        try:
            with self._serving:
                await self._serve(instance, frames)
        finally:
            instance.on_close = None
            with anyio.CancelScope(shield=True):
                await host.release(instance)
        if self._taken:
            await self._end(error_answer("SESSION_ERROR", f"the session is over: {self._taken}", reason="closed"))

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

    async def _serve(self, instance: Instance, frames: MemoryObjectReceiveStream[Frame]) -> None:
        async for frame in frames:
            begun = self._setup.clock.monotonic()
            kind, said = await self._answer(instance, frame)
            outcome = said["data"]["code"] if said["type"] == "error" else "ok"
            self._setup.meter.called(self._environment, kind, outcome, self._setup.clock.monotonic() - begun)
            if kind == "close":
                await self._close()
                return
            if outcome in ENDING:
                await self._end(said)
                return
            await self._say(said)

    async def _answer(self, instance: Instance, frame: Frame) -> tuple[str, dict[str, Any]]:
        """What kind of message it was, and the answer."""
        kind = "unreadable"
        try:
            message = read_message(frame.get("text"))
            kind = message.type
            return kind, await _ANSWERS[kind](instance, message)
        except DialectException as error:
            return kind, error_answer(error.code, str(error), **error.more)
        except EnvironmentException as error:
            return kind, error_of(error)
        except Exception as error:  # noqa: BLE001 - boundary: a fault of ours, told in the log
            logger.opt(exception=error).error("a fault in answering {} of {}", kind, self._environment)
            return kind, error_answer("EXECUTION_ERROR", "internal error", reason="internal")

    async def _say(self, said: dict[str, Any]) -> None:
        with anyio.fail_after(self._setup.limits.send_seconds):
            await self._websocket.send({"type": "websocket.send", "text": _encode(said)})

    async def _end(self, said: dict[str, Any]) -> None:
        await self._say(said)
        await self._close()

    async def _close(self) -> None:
        await self._websocket.close(NORMAL_CLOSURE)


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
