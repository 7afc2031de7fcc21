"""Which model answers for which role, and the open connections to them."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Self

from prismenv.contracts.keys import KeySource
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext, ProviderEntry
from prismenv.network.keys import agent_key
from prismenv.sessions.agentfile import AgentFile, unknown_role
from prismenv.sessions.calls.retrying import guarded
from prismenv.sessions.references import find_provider, parse_model
from prismenv.words.errors import ConfigurationException, EnvironmentException
from prismenv.words.nearness import nearest

Wrap = Callable[[ModelReference, ProviderEntry, ChatTransport], ChatTransport]

DEFAULT = "default"


class RoleTransports:
    """A ChatTransport for each role: call it with the role. An async context manager that closes them all.

    A model is opened when it is first asked for, once for all roles that share it; `check` opens early, so that what
    is wrong is said before a run starts.
    """

    def __init__(
        self,
        references: Mapping[str, ModelReference],
        agents: Mapping[str, AgentFile],
        providers: Mapping[str, ProviderEntry],
        context: ProviderContext,
        wrap: Wrap,
    ) -> None:
        self._wrap = wrap
        self._references = references
        self._agents = agents
        self._providers = providers
        self._context = context
        self._open: dict[tuple[ModelReference, KeySource | None], ChatTransport] = {}

    def reference(self, role: str) -> ModelReference:
        """The model of `role`: the recipe's for the role, its default, the agent file's own, in this order."""
        agent = self._agents.get(role)
        if agent is None:
            raise unknown_role(role, self._agents)
        chosen = self._references.get(role) or self._references.get(DEFAULT)
        if chosen is not None:
            return chosen
        if agent.model_provider and agent.model_name:
            return ModelReference(provider=agent.model_provider, model=agent.model_name, url=agent.api_base)
        raise ConfigurationException(
            f"no model for the role {role!r}: neither models.{role} nor models.default is set, and its agent file "
            f"names none",
            code="no_model",
            subject=role,
            hint=f"Set one: --set models.{role}=simulated/perfect, or --set models.default=simulated/perfect for all.",
        )

    def model(self, role: str) -> str:
        """The name by which the provider knows the model of `role`."""
        return self.reference(role).model

    def check(self, roles: Iterable[str]) -> None:
        """Open the models of `roles` now; raises ConfigurationException for the first that cannot be."""
        for role in roles:
            self(role)

    def __call__(self, role: str) -> ChatTransport:
        reference = self.reference(role)
        key = agent_key(role, self._agents[role].model_params)
        transport = self._open.get((reference, key))
        if transport is None:
            transport = self._open[reference, key] = self._opened(reference, key)
        return transport

    def _opened(self, reference: ModelReference, key: KeySource | None) -> ChatTransport:
        entry = find_provider(reference, self._providers)
        try:
            provider = entry.open(reference, replace(self._context, own_key=key))
        except EnvironmentException:
            raise
        except Exception as error:  # boundary: a provider's own code, often somebody else's
            raise ConfigurationException(
                f"the provider {entry.name!r} ({entry.origin}) could not open {reference}: "
                f"{type(error).__name__}: {error}",
                code="provider_failed",
                subject=str(reference),
            ) from error
        return self._wrap(reference, entry, provider)

    async def aclose(self) -> None:
        """Close every model that was opened, also when one of them fails to."""
        async with AsyncExitStack() as stack:
            for transport in self._open.values():
                stack.push_async_callback(transport.aclose)
            self._open = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def open_transports(
    models: Mapping[str, str],
    agents: Mapping[str, AgentFile],
    providers: Mapping[str, ProviderEntry],
    context: ProviderContext,
    wrap: Wrap | None = None,
) -> RoleTransports:
    """The transports for `models` (role or `default` to `provider/model`), as a recipe gives them.

    `wrap` puts around a provider's transport what its calls go through; None: what sessions need at the least.
    Raises ConfigurationException at once for a role, a reference or a provider that does not exist.
    """
    references: dict[str, ModelReference] = {}
    for role, text in models.items():
        try:
            if role != DEFAULT and role not in agents:
                raise _unknown_key(role, agents)
            references[role] = parse_model(text, providers)
            find_provider(references[role], providers)
        except ConfigurationException as error:
            error.at("models", role)
            raise
    return RoleTransports(
        references, agents, providers, context, wrap or (lambda _reference, _entry, it: guarded(it, context.clock))
    )


def _unknown_key(role: str, agents: Mapping[str, AgentFile]) -> ConfigurationException:
    near = nearest(role, [DEFAULT, *agents])
    if not near or role in getattr(agents, "broken", {}):
        return unknown_role(role, agents)
    return ConfigurationException(
        f"models.{role}: there is no role {role!r}; allowed: {DEFAULT}, {', '.join(sorted(agents))}",
        code="unknown_role",
        subject=role,
        hint=f"Did you mean models.{near}?",
    )
