"""How a client reaches an instance of an environment: over a WebSocket, or in this process. Both speak of the same
calls, give the same documents, and raise the same exceptions.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import anyio

from prismenv.clients.schemas import fetched_schemas
from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.clock import SystemClock
from prismenv.contracts.episode import result_document
from prismenv.contracts.services import Services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.engine.host.instance import Instance
from prismenv.words.errors import (
    ActionException,
    ConfigurationException,
    DeadlineException,
    EnvironmentException,
    EnvironmentExecutionException,
    HostException,
    ProtocolException,
)

MAX_ANSWER_BYTES = 100 * 2**20
CONNECT_SECONDS = 10.0
CLOSE_SECONDS = 5.0
_OPTION_CODES = ("bad_option", "missing_option", "unknown_option")


class ConnectionLost(HostException):
    """The connection broke; whether the last call was done is not known."""


class Link(ABC):
    """A way to one instance. `call` takes and gives what OpenEnv's messages have under `data`."""

    @abstractmethod
    async def open(self) -> None:
        """Make the instance; HostException where there is none to be had."""

    @abstractmethod
    async def call(self, kind: str, data: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """One call: reset, step, state, system_prompt or compute_reward. None: the other side does not know it."""

    @abstractmethod
    async def schemas(self) -> dict[str, Any]:
        """JSON Schemas of its actions, observations and state; HostException where nobody tells them."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the instance."""


class LocalLink(Link):
    """An instance in this process. `services` None: the workspace's own, opened for it."""

    def __init__(
        self, name: str, config: Mapping[str, Any] | EnvironmentConfig | None, services: Services | None, seed: int
    ) -> None:
        self._name = name
        self._config = config
        self._services = services
        self._seed = seed
        self._instance: Instance | None = None

    async def open(self) -> None:
        environment = BaseEnvironment(self._name, config=self._config, services=self._services, seed=self._seed)
        clock = SystemClock() if self._services is None else self._services.clock
        instance = Instance(clock.new_id("instance"), environment, clock, seed=self._seed, lease_seconds=float("inf"))
        await environment.initialize()
        self._instance = instance

    async def call(self, kind: str, data: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        instance = self._instance
        if instance is None:
            raise _not_open()
        if kind == "reset":
            return result_document(await instance.reset(data))
        if kind == "step":
            return result_document(await instance.step(data))
        if kind == "state":
            return await instance.state()
        if kind == "system_prompt":
            return {"system_prompt": await instance.system_prompt()}
        return {"reward": await instance.compute_reward()}

    async def schemas(self) -> dict[str, Any]:
        if self._instance is None:
            raise _not_open()
        return self._instance.face.types.schemas()

    async def close(self) -> None:
        instance, self._instance = self._instance, None
        if instance is not None:
            await instance.close()


class WebSocketLink(Link):
    """An instance on a server. One call at a time; after one that was given up the connection is closed, for its answer
    may still come.
    """

    def __init__(
        self, address: str, token: str | None, timeout_seconds: float, headers: Mapping[str, str] | None = None
    ) -> None:
        if token is not None and not fits_header(token):  # not shown: what refuses it later would show it
            raise ConfigurationException(
                "token must be printable ASCII characters without blanks or line ends",
                code="bad_token",
                hint="One that was read from a file may end with a line end: .strip() it.",
            )
        self._address = address
        self._headers = dict(headers or {})
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_seconds = timeout_seconds
        self._connection: Any = None
        self._lock = anyio.Lock()

    async def open(self) -> None:
        try:
            from websockets.asyncio.client import connect  # noqa: PLC0415 - an extra's library is imported where it is used
            from websockets.exceptions import InvalidStatus, WebSocketException  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ConfigurationException(
                "an environment on a server needs websockets, which is not installed",
                code="missing_extra",
                subject="websockets",
                hint="Install it: pip install 'prismenv[client]'",
            ) from error
        parts = urlsplit(self._address)
        options: dict[str, Any] = {} if parts.hostname not in ("localhost", "127.0.0.1", "::1") else {"proxy": None}
        if self._headers:
            options["additional_headers"] = self._headers
        try:
            self._connection = await connect(
                self._address, open_timeout=CONNECT_SECONDS, max_size=MAX_ANSWER_BYTES, compression=None, **options
            )
        except InvalidStatus as error:
            raise _refused(error.response.status_code, bytes(error.response.body or b""), self._shown) from error
        except (OSError, TimeoutError, WebSocketException) as error:
            raise HostException(f"{self._shown} cannot be reached: {error}", code="unreachable") from error

    async def call(
        self, kind: str, data: Mapping[str, Any] | None = None, *, request_id: str | None = None
    ) -> dict[str, Any] | None:
        """See Link. `request_id` names the call, so that it may be sent again; for servers of ours alone."""
        message: dict[str, Any] = {"type": kind} if data is None else {"type": kind, "data": data}
        if request_id is not None:
            message["request_id"] = request_id
        try:
            text = json.dumps(message, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ActionException(f"what is sent cannot be written as JSON: {error}") from error
        async with self._lock:
            said = await self._exchange(kind, text)
        if said.get("type") != "error":
            found = said.get("data")
            return found if isinstance(found, dict) else {}
        data = said.get("data")
        told = data if isinstance(data, dict) else {}
        if told.get("code") == "UNKNOWN_TYPE":
            return None
        raise error_told(told)

    async def schemas(self) -> dict[str, Any]:
        return await fetched_schemas(self._address, self._headers)

    async def _exchange(self, kind: str, text: str) -> dict[str, Any]:
        connection = self._connection
        if connection is None:
            raise _not_open()
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

        done = False
        try:
            with anyio.fail_after(self._timeout_seconds):
                await connection.send(text)
                said = json.loads(await connection.recv())
            done = True
        except TimeoutError as error:
            raise DeadlineException(f"{kind}: no answer of {self._shown} in {self._timeout_seconds:g} s") from error
        except ConnectionClosed as error:
            raise ConnectionLost(f"{self._shown} closed the connection: {error}", code="closed") from error
        except ValueError as error:
            raise ProtocolException(f"{self._shown} sent what is no JSON: {error}") from error
        finally:
            if not done:
                self._connection = None
                with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_SECONDS):
                    await connection.close()
        if not isinstance(said, dict):
            raise ProtocolException(f"{self._shown} sent what is no object")
        return said

    @property
    def is_open(self) -> bool:
        """Whether it may be used; whether the other side is still there is not known."""
        return self._connection is not None

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415

        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            with suppress(ConnectionClosed):
                await connection.send('{"type": "close"}')
            await connection.close()

    @property
    def _shown(self) -> str:
        """The address without what may be a secret in it."""
        parts = urlsplit(self._address)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def error_told(told: Mapping[str, Any]) -> EnvironmentException:
    """The exception that an error of OpenEnv's dialect comes to, as it is in one process."""
    message, code = str(told.get("message", "")), str(told.get("code", ""))
    reason = str(told["reason"]) if isinstance(told.get("reason"), str) else None
    if code == "VALIDATION_ERROR":
        if reason in _OPTION_CODES:
            return ConfigurationException(message, code=reason)
        refused = ActionException(message, code=reason)
        errors = told.get("errors")
        refused.errors = tuple(each for each in errors if isinstance(each, dict)) if isinstance(errors, list) else ()
        return refused
    if code == "EXECUTION_ERROR":
        kind: Callable[..., EnvironmentException] = EnvironmentExecutionException
        if reason == DeadlineException.default_code:
            kind = DeadlineException
        return kind(message, code=reason or "environment_raised")
    if code in ("CAPACITY_REACHED", "SESSION_ERROR", "FACTORY_ERROR"):
        return HostException(message, code=reason or code.lower())
    return ProtocolException(message, code=reason or code.lower() or None)


def _refused(status: int, body: bytes, shown: str) -> EnvironmentException:
    """What a server said that did not open a WebSocket."""
    try:
        told = json.loads(body)
        detail, code = str(told["detail"]), str(told.get("code", ""))
    except (ValueError, KeyError, TypeError):
        detail, code = f"status {status}", ""
    return HostException(f"{shown}: {detail}", code=code or "refused")


def _not_open() -> HostException:
    return HostException(
        "the client is not open, or its connection was closed", code="closed", hint="Use `async with`, once each."
    )


def fits_header(token: str) -> bool:
    """Whether a token can stand in a header as it is."""
    return token.isascii() and token.isprintable() and token != "" and " " not in token
