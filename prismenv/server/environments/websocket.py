"""One WebSocket: a session with one instance of an environment, in OpenEnv's dialect.

Theory of operation. The connection reads what the client says, a few messages ahead; the session, one task, answers one
after the other. A client that goes away while a step runs is noticed by the connection, and the step is cancelled; one
that floods is read no further. When the instance is taken away (its lease is over, the host stops), the client is told,
and the connection closed.

A client that asked for a `session` may come back to it. When its connection is lost, the step that runs goes on to its
end, what waits behind it is not begun, and the instance is kept for whoever shows the session's id and token.
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
from prismenv.engine.host.kept import Holder, KeptInstances
from prismenv.server.admission import Admission
from prismenv.server.body import read_in_turn
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
from prismenv.server.environments.talking import ClientConnection, WokenException
from prismenv.words.errors import EnvironmentException

NORMAL_CLOSURE = 1000
_OPENING_CODES = {"capacity_reached": "CAPACITY_REACHED", "stopping": "SESSION_ERROR"}
_FAILED = "EXECUTION_ERROR"


@dataclass(frozen=True, slots=True)
class SessionSetup:
    """What all sessions share."""

    host: EnvironmentHost
    kept: KeptInstances
    meter: EnvironmentMeter
    limits: WireLimits
    clock: Clock
    admission: Admission


class OpenEnvSession(Holder):
    """The session of a connection: a new one, or one that was claimed before it runs."""

    def __init__(self, connection: ClientConnection, setup: SessionSetup, environment: str, tenant: str) -> None:
        self._connection = connection
        self._setup = setup
        self._environment = environment
        self._tenant = tenant
        self._over = ""  # why there is no more to be said to this client
        self._session_id = ""  # of a session that is kept
        self._handed_over = False
        self._lost = False  # the connection
        self._ended = False  # by the client's wish, or by an error that ends a session
        self._instance: Instance | None = None
        self._there = anyio.CancelScope()
        self._serving = anyio.CancelScope()

    def claim(self, session_id: str, token: str) -> None:
        """Come back to a session; HostException `session_lost` where there is none of that id and token."""
        kept = self._setup.kept
        self._instance = kept.take(self._tenant, self._environment, session_id, token, self)
        self._session_id = session_id

    async def run(self) -> None:
        """Serve the client until it leaves, or is told that it has to."""
        connection = self._connection
        with self._there:
            connection.on_gone = self._lose
            if connection.gone:
                self._lose()
            try:
                await self._open_and_serve()
            except TimeoutError:  # it takes no answers
                connection.leave()
        connection.on_gone = None

    def take_away(self, why: str) -> None:
        self._over = f"the session is over: {why}"
        self._serving.cancel()

    def hand_over(self) -> None:
        self._handed_over = True
        self._over = "the session goes on over another connection"
        self._connection.wake()

    def _lose(self) -> None:
        """The client is gone: a session that is kept ends what it is at, any other at once."""
        self._lost = True
        if self._session_id:
            self._connection.wake()
        else:
            self._there.cancel()

    async def _open_and_serve(self) -> None:
        host = self._setup.host
        instance = self._instance
        if instance is None:
            try:
                instance = self._instance = await host.open(self._environment, self._tenant)
            except EnvironmentException as error:
                await self._end(written(self._not_opened(error)))
                return
            instance.on_close = self.take_away
        try:
            with self._serving:
                await self._serve(instance)
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
            await self._end(written(error_answer("SESSION_ERROR", self._over, reason=reason)))

    def _not_opened(self, error: EnvironmentException) -> dict[str, Any]:
        host = self._setup.host
        code = _OPENING_CODES.get(error.code, "FACTORY_ERROR")
        told = {"reason": error.code}
        counts: dict[str, Any] = {}
        if code == "CAPACITY_REACHED":
            counts = {"active_sessions": host.active, "max_sessions": host.limits.instances}
        return error_answer(code, str(error), **counts, **told)

    async def _serve(self, instance: Instance) -> None:
        now, called, admission = self._setup.clock.monotonic, self._setup.meter.called, self._setup.admission
        while not self._handed_over:
            if self._lost:  # a session that is kept: of what waits only a goodbye counts
                self._ended = self._ended or any(map(_says_close, self._connection.unread()))
                return
            try:
                text = await self._connection.next_message()
            except WokenException:
                continue
            if admission.rates is not None:
                await admission.next_turn(self._tenant)
            begun = now()
            kind, outcome, said = await self._answer(instance, text)
            called(self._environment, kind, outcome, now() - begun)
            self._ended = kind == "close" or outcome in ENDING
            if kind == "close":
                self._connection.end(NORMAL_CLOSURE)
                return
            if self._ended:
                await self._end(said)
                return
            if not self._handed_over:
                await self._say(said)

    async def _answer(self, instance: Instance, text: str | None) -> tuple[str, str, str]:
        """What kind of message it was, what became of it, and the answer."""
        kind = "unreadable"
        named: dict[str, Any] = {}
        try:
            message = read_message(None) if text is None else await read_in_turn(read_message, text)
            kind = message.type
            if message.request_id is not None:
                named["request_id"] = message.request_id
            said = self._keep(instance) if kind == "session" else await _ANSWERS[kind](instance, message)
            return kind, "ok", written({**said, **named})
        except DialectException as error:
            return kind, error.code, written(error_answer(error.code, str(error), **error.more))
        except EnvironmentException as error:
            said = error_of(error)
            return kind, said["data"]["code"], written({**said, **named})
        except Exception as error:  # noqa: BLE001 - boundary: a fault of ours, told in the log
            logger.opt(exception=error).error("a fault in answering {} of {}", kind, self._environment)
            return kind, _FAILED, written({**error_answer(_FAILED, "internal error", reason="internal"), **named})

    def _keep(self, instance: Instance) -> dict[str, Any]:
        """Keep the instance for whoever shows what is answered."""
        self._session_id, token = self._setup.kept.keep(instance, self, self._session_id)
        told = {"session_id": self._session_id, "token": token, "lease_seconds": instance.lease_seconds}
        return answer("session", told)

    async def _say(self, said: str) -> None:
        self._connection.say(said)
        if self._connection.full:
            with anyio.fail_after(self._setup.limits.send_seconds):
                await self._connection.drained()

    async def _end(self, said: str) -> None:
        await self._say(said)
        self._connection.end(NORMAL_CLOSURE)


def _says_close(text: str | None) -> bool:
    try:
        return read_message(text).type == "close"
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
