"""The chain of wrappers around each provider, put together from a recipe.

From the outside in; what is not configured is left out:

    record      outermost: it keeps what a session was told, so a replay needs nothing of what is below
    cache       what is known needs none of what follows
    retry       asks again; while it waits nothing is held: no place in a gate, no reservation
    limit       waits for a place in the gates of the model and of its provider
    hedge       within the place, so that the time in the queue is not taken for a slow answer; its second request
                takes a place of its own
    breaker     below the queue: who has waited still does not ask a service that has gone away meanwhile
    budget      reserves what the call may use at the last moment; what waits reserves nothing
    price       the cost of what was used, where the provider does not tell it
    boundary    innermost: what a provider's code raises becomes one of our errors
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from prismenv.contracts.archive import AnswerCache
from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.recipe import CallSettings, ModelLimits, Recipe
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderEntry
from prismenv.finding.prices import Price
from prismenv.network.retry import RetryPolicy
from prismenv.sessions.calls import breaker, gates, replay
from prismenv.sessions.calls.boundary import Boundary
from prismenv.sessions.calls.breaker import Breaker, Circuit
from prismenv.sessions.calls.budgeting import Budgeted
from prismenv.sessions.calls.caching import Cached
from prismenv.sessions.calls.expectation import Expectation
from prismenv.sessions.calls.gates import Gate
from prismenv.sessions.calls.hedging import Hedged
from prismenv.sessions.calls.limiting import Limited
from prismenv.sessions.calls.pricing import Priced
from prismenv.sessions.calls.recording import Recorded, Recording
from prismenv.sessions.calls.retrying import Retrying
from prismenv.sessions.references import find_provider, parse_model
from prismenv.words.errors import ConfigurationException
from prismenv.words.ledger import Ledger
from prismenv.words.nearness import did_you_mean


@dataclass(frozen=True, slots=True)
class CallResources:
    """What a run brings: the folder of relative files, prices by model, the ledger of its budget (None: no limits).

    `answers` None: nothing is cached.
    """

    clock: Clock
    folder: Path
    prices: Mapping[str, Price] = field(default_factory=dict)
    ledger: Ledger | None = None
    answers: AnswerCache | None = None


class CallChain:
    """What the transports of one run share around their providers. Made by `open_chain`."""

    def __init__(
        self, recipe: Recipe, providers: Mapping[str, ProviderEntry], resources: CallResources, stack: ExitStack
    ) -> None:
        self._settings = recipe.limits
        self._resources = resources
        self._clock = resources.clock
        self._stack = stack
        shared = type(resources.clock) is SystemClock  # runs with another clock have a time of their own
        self._gates = gates.SHARED if shared else gates.GateSet(resources.clock)
        self._breakers = breaker.SHARED if shared else breaker.BreakerSet()
        self._models = _limits_of_models(recipe.limits, providers)
        self._recording: Recording | None = None
        if recipe.record is not None:
            self._recording = Recording(resources.folder / recipe.record, resources.clock)
            stack.callback(self._recording.close)

    def wrap(self, reference: ModelReference, entry: ProviderEntry, provider: ChatTransport) -> ChatTransport:
        """The provider's transport within its wrappers."""
        settings, expectation = self._settings, Expectation()
        transport: ChatTransport = Boundary(provider)
        price = self._resources.prices.get(str(reference))
        if price is not None:
            transport = Priced(transport, price)
        if self._resources.ledger is not None:
            transport = Budgeted(transport, self._resources.ledger, expectation, price)
        if entry.remote and settings.breaker_failures is not None:
            transport = Circuit(transport, self._breaker(reference, settings.breaker_failures), self._clock)
        places = self._gates_of(reference, entry)
        if settings.hedge_seconds is not None and not entry.fixed:
            transport = Hedged(transport, places, expectation, self._clock, settings.hedge_seconds)
        if places:
            transport = Limited(transport, places, expectation)
        if not entry.fixed:
            transport = Retrying(transport, self._clock, RetryPolicy(tries=settings.tries))
        if self._resources.answers is not None:
            transport = self._cached(transport, self._resources.answers, reference, entry)
        if self._recording is not None:
            self._refuse_itself(reference, self._recording.path)
            transport = Recorded(transport, self._recording, str(reference), self._clock)
        return transport

    def _cached(
        self, transport: ChatTransport, answers: AnswerCache, reference: ModelReference, entry: ProviderEntry
    ) -> ChatTransport:
        if entry.remote:
            return Cached(transport, answers, reference, self._clock)
        logger.warning("cache: {} is no service; what it answers is not cached", reference)
        return transport

    def _breaker(self, reference: ModelReference, failures: int) -> Breaker:
        name = str(ModelReference(reference.provider, "", reference.url)).rstrip("/")
        return self._stack.enter_context(self._breakers.using(name, failures, self._settings.breaker_seconds))

    def _gates_of(self, reference: ModelReference, entry: ProviderEntry) -> list[Gate]:
        """The gates of the model and of its provider; a service's model has one in any case, which slows it down."""
        of_model = self._models.get(reference, ModelLimits() if entry.remote else None)
        of_provider = self._settings.providers.get(reference.provider)
        address = reference.url or ""
        found = []
        for limits, key in (
            (of_model, (reference.provider, address, reference.model)),
            (of_provider, (reference.provider, address)),
        ):
            if limits is not None:
                gate = self._gates.gate(*key)
                gate.join(limits)
                self._stack.callback(gate.leave, limits)
                found.append(gate)
        return found

    def _refuse_itself(self, reference: ModelReference, path: Path) -> None:
        if reference.provider == replay.NAME and _is_same(self._resources.folder / reference.model, path):
            raise ConfigurationException(
                f"record: {path} is what is replayed; name another file", subject=str(path)
            ).at("record")


def _is_same(one: Path, other: Path) -> bool:
    """True where both name one file, by whatever links."""
    return one.resolve() == other.resolve()


def _limits_of_models(
    settings: CallSettings, providers: Mapping[str, ProviderEntry]
) -> dict[ModelReference, ModelLimits]:
    """Limits by model. ConfigurationException, with the key, for a provider or a model that cannot be."""
    for name in settings.providers:
        if name not in providers:
            raise ConfigurationException(
                f"limits.providers.{name}: there is no provider {name!r}{did_you_mean(name, providers)}; "
                f"there are: {', '.join(sorted(providers))}",
                code="unknown_provider",
                subject=name,
            ).at("limits", "providers", name)
    found = {}
    for name, limits in settings.models.items():
        try:
            reference = parse_model(name, providers)
            find_provider(reference, providers)
        except ConfigurationException as error:
            error.at("limits", "models", name)
            raise
        found[reference] = limits
    return found


@contextmanager
def open_chain(recipe: Recipe, providers: Mapping[str, ProviderEntry], resources: CallResources) -> Iterator[CallChain]:
    """The chain of a recipe; its files are closed and its limits given up at the end. Raises ConfigurationException."""
    with ExitStack() as stack:
        yield CallChain(recipe, providers, resources, stack)
