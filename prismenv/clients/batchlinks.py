"""How a client reaches many instances at once: a server over HTTP, or a host in this process."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from prismenv.clients.links import MAX_ANSWER_BYTES, error_told
from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.clock import Clock
from prismenv.contracts.configuration import build_config
from prismenv.contracts.episode import document_of
from prismenv.contracts.registry import environment_registry
from prismenv.contracts.services import Services, find_environment_block, open_default_services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.engine.host.batch import BatchStep, InstanceBatch
from prismenv.engine.host.host import EnvironmentHost, HostLimits
from prismenv.engine.host.named import NamedInstances
from prismenv.network.connections import Broken, ConnectionTrouble, HttpConnections, NotConnected, Request, TooSlow
from prismenv.words.errors import (
    ActionException,
    DeadlineException,
    HostException,
    ProtocolException,
)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0
_OK = 200
_READS = {"state": "state", "system_prompt": "system_prompt", "reward": "compute_reward", "close": "close"}

Outcomes = dict[str, Any]  # by id: a document, a value or an EnvironmentException


class BatchLink(ABC):
    """A way to many instances of one environment."""

    @abstractmethod
    async def open(self) -> None:
        """Make ready."""

    @abstractmethod
    async def call(self, kind: str, asked: Mapping[str, Any]) -> Outcomes:
        """One of reset, step, state, system_prompt, reward and close; `asked`: by id, what is asked of it."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of it; instances on a server stay, unless they were closed."""


class LocalBatchLink(BatchLink):
    """Instances in this process, all with the same services; None: the workspace's own, opened once."""

    def __init__(
        self, name: str, config: Mapping[str, Any] | EnvironmentConfig | None, services: Services | None, seed: int
    ) -> None:
        self._name = name
        self._config = config
        self._services = services
        self._seed = seed
        self._stack = AsyncExitStack()
        self._batch: InstanceBatch | None = None

    async def open(self) -> None:
        block = find_environment_block(self._name)
        model = environment_registry.get(self._name).config or EnvironmentConfig
        config = build_config(block if self._config is None else self._config, model, self._name)
        async with AsyncExitStack() as stack:
            services = self._services
            if services is None:
                services = await stack.enter_async_context(open_default_services(self._name, dict(config.items())))

            def make(name: str, seed: int) -> BaseEnvironment:
                return BaseEnvironment(name, config=config, services=services, seed=seed)

            limits = HostLimits(instances=10**6, lease_seconds=math.inf)
            host = EnvironmentHost(make, services.clock, limits, seed=self._seed)
            stack.push_async_callback(host.close)
            self._batch = InstanceBatch(NamedInstances(host), "", self._name)
            self._stack = stack.pop_all()

    async def call(self, kind: str, asked: Mapping[str, Any]) -> Outcomes:
        batch = self._batch
        if batch is None:
            raise _not_open()
        if kind not in ("reset", "step"):
            read: Callable[[Iterable[str]], Awaitable[Outcomes]] = getattr(batch, _READS[kind])
            return await read(asked)
        outcomes: Outcomes = {}
        if kind == "reset":
            outcomes |= await batch.reset(asked)
        else:
            outcomes |= await batch.step({name: BatchStep(each["action"]) for name, each in asked.items()})
        return {name: document_of(each) for name, each in outcomes.items()}

    async def close(self) -> None:
        self._batch = None
        await self._stack.aclose()


class HttpBatchLink(BatchLink):
    """Instances on a server of ours. A request that got no answer is sent again, and done once, for
    `reconnect_seconds`; None: it is not.
    """

    def __init__(  # noqa: PLR0913 - each says something
        self,
        url: str,
        path: str,
        *,
        token: str | None,
        timeout_seconds: float,
        reconnect_seconds: float | None,
        clock: Clock,
    ) -> None:
        self._url = url
        self._path = path
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_seconds = timeout_seconds
        self._reconnect_seconds = reconnect_seconds or 0.0
        self._clock = clock
        self._connections: HttpConnections | None = None

    async def open(self) -> None:
        self._connections = HttpConnections(self._url, self._headers)

    async def call(self, kind: str, asked: Mapping[str, Any]) -> Outcomes:
        body: dict[str, Any] = {"ids": list(asked)}
        if kind in ("reset", "step"):
            body = {f"{kind}s": asked, "request_id": self._clock.new_id("request")}
        try:
            sent = json.dumps(body, allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise ActionException(f"what is sent cannot be written as JSON: {error}") from error
        answer = await self._asked(Request("POST", f"{self._path}/batch/{kind}", body=sent))
        results, errors = answer.get("results"), answer.get("errors")
        if not isinstance(results, dict) or not isinstance(errors, dict):
            raise ProtocolException(f"{self._url} answered what is no batch", code="bad_result")
        found = {**results, **{name: error_told(told) for name, told in errors.items()}}
        missing = [name for name in asked if name not in found]
        if missing:
            raise ProtocolException(f"{self._url} says nothing of {missing[0]!r}", code="bad_result")
        return {name: found[name] for name in asked}

    async def _asked(self, request: Request) -> dict[str, Any]:
        end, pause = self._clock.monotonic() + self._reconnect_seconds, FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._once(request)
            except HostException as error:
                if error.code != "unreachable" or self._clock.monotonic() + pause > end:
                    raise
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _once(self, request: Request) -> dict[str, Any]:
        connections = self._connections
        if connections is None:
            raise _not_open()
        try:
            response = await connections.exchange(
                request, read_seconds=self._timeout_seconds, most_bytes=MAX_ANSWER_BYTES
            )
        except (NotConnected, Broken) as error:
            raise HostException(f"{self._url} cannot be reached: {error}", code="unreachable") from error
        except TooSlow as error:
            raise DeadlineException(f"no answer of {self._url} in {self._timeout_seconds:g} s") from error
        except ConnectionTrouble as error:
            raise ProtocolException(f"the answer of {self._url} is too long") from error
        try:
            told = json.loads(response.body)
        except ValueError as error:
            raise ProtocolException(f"{self._url} sent what is no JSON: {error}") from error
        if not isinstance(told, dict):
            raise ProtocolException(f"{self._url} sent what is no object")
        if response.status != _OK:
            detail, code = str(told.get("detail", "")), str(told.get("code", ""))
            raise HostException(f"{self._url}: {detail or response.status}", code=code or "refused")
        return told

    async def close(self) -> None:
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.aclose()


def _not_open() -> HostException:
    return HostException("the batch is not open: use `async with`, once each", code="closed")
