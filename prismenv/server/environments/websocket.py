"""One WebSocket: a session with one instance of an environment, in OpenEnv's dialect.

Theory of operation. A task reads what the client says, a few messages ahead; the session answers one after the other.
So a client that goes away is noticed while a step runs, and the step is cancelled; one that floods is read no further.
When the instance is taken away (its lease is over, the host stops), the client is told, and the connection closed.

A client that asked for a `session` may come back to it. When its connection is lost, the step that runs goes on to its
end, what waits behind it is not begun, and the instance is kept for whoever shows the session's id and token.
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
from prismenv.engine.host.kept import Holder, KeptInstances
from prismenv.server.environments.limits import WireLimits
from prismenv.server.environments.meter import EnvironmentMeter
from prismenv.server.environments.openenv import (
    ENDING,
    DialectException,
    Message,
    answer,
    error_answer,
    error_of,
    no_mcp,
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
    kept: KeptInstances
    meter: EnvironmentMeter
    limits: WireLimits
    clock: Clock


class OpenEnvSession(Holder):
    """The session of a connection: a new one, or one that was claimed before it runs."""

    def __init__(self, websocket: WebSocket, setup: SessionSetup, environment: str, tenant: str) -> None:
        self._websocket = websocket
        self._setup = setup
        self._environment = environment
        self._tenant = tenant
        self._over = ""  # why there is no more to be said to this client
        self._session_id = ""  # of a session that is kept
        self._handed_over = False
        self._lost = False  # the connection
        self._ended = False  # by the client's wish, or by an error that ends a session
        self._instance: Instance | None = None
        self._serving = anyio.CancelScope()
        self._reading = anyio.CancelScope()

    def claim(self, session_id: str, token: str) -> None:
        """Come back to a session; HostException `session_lost` where there is none of that id and token."""
        kept = self._setup.kept
        self._instance = kept.take(self._tenant, self._environment, session_id, token, self)
        self._session_id = session_id

    async def run(self) -> None:
        """Serve the client until it leaves, or is told that it has to."""
        send, receive = anyio.create_memory_object_stream[Frame](self._setup.limits.pending)
        async with send, receive, anyio.create_task_group() as tasks:
            tasks.start_soon(self._read, send, tasks.cancel_scope)
            await self._open_and_serve(receive)
            tasks.cancel_scope.cancel()

    def take_away(self, why: str) -> None:
        self._over = f"the session is over: {why}"
        self._serving.cancel()

    def hand_over(self) -> None:
        self._handed_over = True
        self._over = "the session goes on over another connection"
        self._reading.cancel()

    async def _read(self, send: MemoryObjectSendStream[Frame], everything: anyio.CancelScope) -> None:
        with send, self._reading:
            while True:
                frame = dict(await self._websocket.receive())
                if frame["type"] == "websocket.disconnect":
                    self._lost = True
                    if not self._session_id:
                        everything.cancel()
                    return
                await send.send(frame)

    async def _open_and_serve(self, frames: MemoryObjectReceiveStream[Frame]) -> None:
        host = self._setup.host
        instance = self._instance
        if instance is None:
            try:
                instance = self._instance = await host.open(self._environment, self._tenant)
            except EnvironmentException as error:
                await self._end(self._not_opened(error))
                return
            instance.on_close = self.take_away
        try:
            with self._serving:
                await self._serve(instance, frames)
        finally:
            if self._session_id:
                self._setup.kept.let_go(self._session_id, self)
            else:
                instance.on_close = None
            if self._ended or not self._session_id:
                with anyio.CancelScope(shield=True):
                    await host.release(instance)
        if self._over and not self._lost:
            reason = "resumed_elsewhere" if self._handed_over else "closed"
            await self._end(error_answer("SESSION_ERROR", self._over, reason=reason))

    def _not_opened(self, error: EnvironmentException) -> dict[str, Any]:
        host = self._setup.host
        code = _OPENING_CODES.get(error.code, "FACTORY_ERROR")
        told = {"reason": error.code}
        counts: dict[str, Any] = {}
        if code == "CAPACITY_REACHED":
            counts = {"active_sessions": host.active, "max_sessions": host.limits.instances}
        return error_answer(code, str(error), **counts, **told)

    async def _serve(self, instance: Instance, frames: MemoryObjectReceiveStream[Frame]) -> None:
        async for frame in frames:
            if self._handed_over:
                return
            if self._lost and not _says_close(frame):
                continue
            begun = self._setup.clock.monotonic()
            kind, said = await self._answer(instance, frame)
            outcome = said["data"]["code"] if said["type"] == "error" else "ok"
            self._setup.meter.called(self._environment, kind, outcome, self._setup.clock.monotonic() - begun)
            self._ended = kind == "close" or outcome in ENDING
            if self._lost or self._handed_over:  # nobody is there to be answered
                continue
            if kind == "close":
                await self._close()
                return
            if self._ended:
                await self._end(said)
                return
            await self._say(said)

    async def _answer(self, instance: Instance, frame: Frame) -> tuple[str, dict[str, Any]]:
        """What kind of message it was, and the answer."""
        try:
            message = read_message(frame.get("text"))
        except DialectException as error:
            return "unreadable", error_answer(error.code, str(error), **error.more)
        said = await self._said(instance, message)
        if message.request_id is not None:
            said["request_id"] = message.request_id
        return message.type, said

    async def _said(self, instance: Instance, message: Message) -> dict[str, Any]:
        kind = message.type
        try:
            return self._keep(instance) if kind == "session" else await _ANSWERS[kind](instance, message)
        except EnvironmentException as error:
            return error_of(error)
        except Exception as error:  # noqa: BLE001 - boundary: a fault of ours, told in the log
            logger.opt(exception=error).error("a fault in answering {} of {}", kind, self._environment)
            return error_answer("EXECUTION_ERROR", "internal error", reason="internal")

    def _keep(self, instance: Instance) -> dict[str, Any]:
        """Keep the instance for whoever shows what is answered."""
        self._session_id, token = self._setup.kept.keep(instance, self, self._session_id)
        told = {"session_id": self._session_id, "token": token, "lease_seconds": instance.lease_seconds}
        return answer("session", told)

    async def _say(self, said: dict[str, Any]) -> None:
        with anyio.fail_after(self._setup.limits.send_seconds):
            await self._websocket.send({"type": "websocket.send", "text": _encode(said)})

    async def _end(self, said: dict[str, Any]) -> None:
        await self._say(said)
        await self._close()

    async def _close(self) -> None:
        await self._websocket.close(NORMAL_CLOSURE)


def _says_close(frame: Frame) -> bool:
    try:
        return read_message(frame.get("text")).type == "close"
    except DialectException:
        return False


async def _reset(instance: Instance, message: Message) -> dict[str, Any]:
    return answer("observation", result_document(await instance.reset(message.data, request_id=message.request_id)))


async def _step(instance: Instance, message: Message) -> dict[str, Any]:
    return answer("observation", result_document(await instance.step(message.data, request_id=message.request_id)))


async def _state(instance: Instance, _message: Message) -> dict[str, Any]:
    return answer("state", await instance.state())


async def _system_prompt(instance: Instance, _message: Message) -> dict[str, Any]:
    return answer("system_prompt", {"system_prompt": await instance.system_prompt()})


async def _compute_reward(instance: Instance, _message: Message) -> dict[str, Any]:
    return answer("compute_reward", {"reward": await instance.compute_reward()})


async def _mcp(_instance: Instance, message: Message) -> dict[str, Any]:
    return no_mcp(message.data)


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
