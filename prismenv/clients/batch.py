"""Many instances of an environment, wherever they are: reset and step them in one call, each with its own outcome.

async with EnvironmentBatch("http://127.0.0.1:8000", "environment_echo") as batch:   # on a server
async with EnvironmentBatch.local("environment_echo") as batch:                      # in this process
    first = await batch.reset({"a": {"seed": 1}, "b": {"seed": 2}})
    next = await batch.step({"a": {"message": "hi"}, "b": {"message": "ho"}})
"""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from prismenv.clients.batchlinks import BatchLink, HttpBatchLink, LocalBatchLink
from prismenv.clients.blocking import BlockingForm
from prismenv.clients.links import fits_header
from prismenv.clients.reading import ResultReader, action_document, read_by
from prismenv.contracts.clock import SystemClock
from prismenv.contracts.episode import StepResult
from prismenv.contracts.services import Services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.words.errors import ConfigurationException, EnvironmentException, ProtocolException

ObservationT = TypeVar("ObservationT")
TIMEOUT_SECONDS = 330.0


class EnvironmentBatch(Generic[ObservationT]):
    """Instances by names that the caller chooses, made by their first reset, on a server of ours or in this process.

    Every call gives a mapping with the names that were asked for, in their order, and for each what it came to or the
    EnvironmentException that it raised, as EnvironmentClient would: one that fails is no failure of the others. What
    concerns them all (no such environment, no server, no valid token) is raised.

    `url` is a server's, `environment` a name there; None: the address is that of one environment. `token` None: none.
    `observation`: the type that observations are read into; None: mappings. `reconnect_seconds`: for so long a request
    that got no answer is sent again, and done once; None: it is not. Instances on a server stay for their lease when
    the batch is left, unless `close` was called.
    """

    def __init__(  # noqa: PLR0913 - each is optional
        self,
        url: str,
        environment: str | None = None,
        *,
        observation: type[ObservationT] | None = None,
        token: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        reconnect_seconds: float | None = None,
    ) -> None:
        if token is not None and not fits_header(token):
            raise ConfigurationException("token must be printable ASCII characters without blanks", code="bad_token")
        scheme, _, rest = url.rstrip("/").partition("://")
        if scheme.lower() not in ("http", "https") or not rest or "@" in rest:  # not shown: there may be a secret in it
            raise ConfigurationException(
                "url must be an address such as http://127.0.0.1:8000, without user and password",
                code="bad_url",
                subject="url",
                hint="A token is given as token=…",
            )
        path = "" if environment is None else f"/environments/{environment}"
        link = HttpBatchLink(
            url.rstrip("/"),
            path,
            token=token,
            timeout_seconds=timeout_seconds,
            reconnect_seconds=reconnect_seconds,
            clock=SystemClock(),
        )
        self._prepare(link, observation)

    @classmethod
    def local(
        cls,
        environment: str,
        *,
        observation: type[ObservationT] | None = None,
        config: Mapping[str, Any] | EnvironmentConfig | None = None,
        services: Services | None = None,
        seed: int = 0,
    ) -> Self:
        """The same without a server. `config`, `services` and `seed` are BaseEnvironment's."""
        batch = cls.__new__(cls)
        batch._prepare(LocalBatchLink(environment, config, services, seed), observation)  # noqa: SLF001 - its own
        return batch

    def _prepare(self, link: BatchLink, observation: Any) -> None:
        self._link = link
        self._reader: ResultReader[ObservationT] = ResultReader(observation)

    async def __aenter__(self) -> Self:
        await self._link.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._link.close()

    async def reset(
        self, resets: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, StepResult[ObservationT] | EnvironmentException]:
        """Begin an episode of each: by name what its reset takes, such as `{"seed": 1}`."""
        asked = {name: dict(options) for name, options in resets.items()}
        return self._results(await self._link.call("reset", asked))

    async def step(self, actions: Mapping[str, Any]) -> dict[str, StepResult[ObservationT] | EnvironmentException]:
        """One step of each: mappings, texts, pydantic models or dataclasses by name."""
        asked = {name: {"action": action_document(action)} for name, action in actions.items()}
        return self._results(await self._link.call("step", asked))

    async def state(self, names: Iterable[str]) -> dict[str, dict[str, Any] | EnvironmentException]:
        """The state of each, with `episode_id` and `step_count`."""
        return await self._link.call("state", dict.fromkeys(names))

    async def system_prompt(self, names: Iterable[str]) -> dict[str, str | EnvironmentException | None]:
        """What a policy is to be told before the first observation of each; None: nothing."""
        return await self._link.call("system_prompt", dict.fromkeys(names))

    async def compute_reward(self, names: Iterable[str]) -> dict[str, float | EnvironmentException | None]:
        """The reward of each episode so far. None: nothing was measured."""
        return await self._link.call("reward", dict.fromkeys(names))

    async def close(self, names: Iterable[str]) -> dict[str, EnvironmentException | None]:
        """Let go of these instances; one that is not there is no error."""
        return await self._link.call("close", dict.fromkeys(names))

    def sync(self) -> "SyncEnvironmentBatch[ObservationT]":
        """The same for code that is not async: `with batch.sync() as batch: batch.reset({"a": {}})`."""
        return SyncEnvironmentBatch(self)

    def _results(self, outcomes: dict[str, Any]) -> dict[str, StepResult[ObservationT] | EnvironmentException]:
        return {name: self._result(each) for name, each in outcomes.items()}

    def _result(self, outcome: Any) -> StepResult[ObservationT] | EnvironmentException:
        if isinstance(outcome, EnvironmentException):
            return outcome
        try:
            return read_by(self._reader.read, outcome)
        except ProtocolException as error:
            return error


class SyncEnvironmentBatch(BlockingForm, Generic[ObservationT]):
    """An EnvironmentBatch for code that is not async. Its event loop runs in a thread of its own."""

    _hint = "the batch is not open: use `with batch.sync() as batch`"

    def __init__(self, batch: EnvironmentBatch[ObservationT]) -> None:
        self._batch = batch
        super().__init__(batch)

    def reset(
        self, resets: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, StepResult[ObservationT] | EnvironmentException]:
        """See EnvironmentBatch.reset."""
        return self._open.call(self._batch.reset, resets)

    def step(self, actions: Mapping[str, Any]) -> dict[str, StepResult[ObservationT] | EnvironmentException]:
        """See EnvironmentBatch.step."""
        return self._open.call(self._batch.step, actions)

    def state(self, names: Iterable[str]) -> dict[str, dict[str, Any] | EnvironmentException]:
        """See EnvironmentBatch.state."""
        return self._open.call(self._batch.state, names)

    def system_prompt(self, names: Iterable[str]) -> dict[str, str | EnvironmentException | None]:
        """See EnvironmentBatch.system_prompt."""
        return self._open.call(self._batch.system_prompt, names)

    def compute_reward(self, names: Iterable[str]) -> dict[str, float | EnvironmentException | None]:
        """See EnvironmentBatch.compute_reward."""
        return self._open.call(self._batch.compute_reward, names)

    def close(self, names: Iterable[str]) -> dict[str, EnvironmentException | None]:
        """See EnvironmentBatch.close."""
        return self._open.call(self._batch.close, names)
