"""A server of one environment as an ASGI application, for whoever runs servers of their own: `uvicorn module:app`."""

import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.configuration import build_config
from prismenv.contracts.registry import Registration, environment_registry
from prismenv.contracts.services import Services, find_environment_block, open_default_services
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.engine.host.host import EnvironmentHost, HostLimits
from prismenv.engine.host.kept import KeptInstances
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.admission import Admission
from prismenv.server.application import answered, fault, no_such_thing
from prismenv.server.environments.adapting import adapted, close_shared_author, name_of, shares_its_author
from prismenv.server.environments.application import EnvironmentApplication
from prismenv.server.environments.health import EnvironmentHealth
from prismenv.server.environments.limits import WireLimits
from prismenv.server.environments.meter import EnvironmentMeter
from prismenv.server.hosts import is_loopback
from prismenv.server.tokens import Tokens
from prismenv.words.errors import ConfigurationException


@dataclass(frozen=True, slots=True)
class OneEnvironment(HostedEnvironments):
    """An environment that need not be registered."""

    registration: Registration

    def make(self, name: str, seed: int) -> BaseEnvironment:
        cls: type[BaseEnvironment] | None = self.registration.cls
        if cls is None:
            return HostedEnvironments.make(self, name, seed)
        return cls(name, config=self.require(name), services=self.services, seed=seed)

    def faces(self, name: str) -> tuple[str, ...]:
        self.require(name)
        return self.registration.faces()

    def about(self, name: str) -> str:
        self.require(name)
        return (getattr(self.registration.cls, "__doc__", None) or "").strip()


def create_fastapi_app(  # noqa: PLR0913 - the first three are OpenEnv's, each other is optional
    env: Any,
    action_cls: Any = None,
    observation_cls: Any = None,
    *,
    state_cls: Any = None,
    env_name: str | None = None,
    max_concurrent_envs: int = 1024,
    config: Mapping[str, Any] | EnvironmentConfig | None = None,
    tokens: Iterable[str] = (),
    insecure: bool = False,
    services: Services | None = None,
    seed: int | None = None,
) -> Starlette:
    """An application that serves one environment at its root, over every protocol of `prismenv serve`.

    `env`: the name of an environment, its class, or any class or function that makes an object with `reset` and `step`,
    such as an environment of OpenEnv's. Such an object itself serves one session at a time. `action_cls`,
    `observation_cls` and `state_cls` are the types that it speaks in; None: what its signatures say. `env_name` None:
    the registered name, or one made of the class's.

    Without `tokens` only this machine is answered, unless `insecure`. `services` None: the workspace's own, opened when
    the application starts. `seed` is what episodes' seeds come from that name none; None: chance.

    ConfigurationException for what is no environment. The application has a lifespan: a test client is entered.
    """
    if isinstance(env, BaseEnvironment):
        env_name, config = env_name or env.environment_name, env.config if config is None else config
        env = type(env)
    registration, block = _registration(env, env_name, (action_cls, observation_cls, state_cls))
    model = registration.config or EnvironmentConfig
    taken = Tokens(tokens)
    admission = Admission(taken, local=not insecure and not taken)
    plan = _Plan(
        registration,
        build_config(block if config is None else config, model, registration.name),
        services,
        admission,
        HostLimits(instances=1 if shares_its_author(registration.cls) else max_concurrent_envs),
        secrets.randbits(63) if seed is None else seed,
    )
    return Starlette(
        lifespan=plan.lifespan,
        exception_handlers={HTTPException: no_such_thing, Exception: fault},
        middleware=[Middleware(_LocalOnly)] if admission.local else [],
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is served once the application is started. `services` None: the workspace's own."""

    registration: Registration
    settings: EnvironmentConfig
    services: Services | None
    admission: Admission
    limits: HostLimits
    seed: int

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Serve at the application's root, after the routes that it has; may be entered again when it was left."""
        name, clock = self.registration.name, SystemClock()
        async with AsyncExitStack() as stack:
            opened = self.services
            if opened is None:
                opened = await stack.enter_async_context(open_default_services(name, dict(self.settings.items())))
            hosted = OneEnvironment(opened, {name: self.settings}, self.registration)
            host = EnvironmentHost(hosted.make, clock, self.limits, seed=self.seed)
            before = list(app.router.routes)
            app.router.routes.extend(_application(hosted, host, self.admission, clock).routes)
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(host.sweep)
                    yield
                    group.cancel_scope.cancel()
            finally:
                app.router.routes[:] = before
                with anyio.CancelScope(shield=True):
                    await host.close()
                    await close_shared_author(self.registration.cls)


def _application(hosted: OneEnvironment, host: EnvironmentHost, admission: Admission, clock: Clock) -> Starlette:
    return EnvironmentApplication(
        hosted,
        host,
        EnvironmentMeter(),
        EnvironmentHealth(hosted, clock),
        admission,
        WireLimits(),
        clock,
        hosted.names[0],
        KeptInstances(clock, secrets.token_urlsafe),
    ).build()


def _registration(
    env: Any, env_name: str | None, types: tuple[Any, Any, Any]
) -> tuple[Registration, Mapping[str, Any]]:
    """The environment, and its block of the workspace's configuration."""
    told = dict(zip(("action", "observation", "state"), types, strict=True))
    if isinstance(env, str):
        block = find_environment_block(env)
        known = environment_registry.get(env)
        if known.cls is None:
            if any(types):
                raise ConfigurationException(
                    f"{env!r} is made of functions, whose signatures say its types", code="bad_environment", subject=env
                )
            return known, block
        return replace(known, name=env_name or env, cls=adapted(known.cls, told)), block
    known_names = [name for name in environment_registry.names() if environment_registry.get(name).cls is env]
    config = environment_registry.get(known_names[0]).config if known_names else None
    name = env_name or (known_names[0] if known_names else name_of(env))
    cls = adapted(env, told)
    block = find_environment_block(name)
    return Registration(name, cls, {}, config, cls.__module__, 0, cls.__module__), block


class _LocalOnly:
    """Answers this machine alone, whatever address the server listens on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] in ("http", "websocket") and client is not None and not is_loopback(client[0]):
            refusal = answered({"detail": "without a token the service is there for this machine only"}, 403)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)
