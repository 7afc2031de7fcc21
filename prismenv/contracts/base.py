"""The base class of every environment: agents, sandbox, sessions, folders and deadlines, so that authors need none."""

import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self, cast

import anyio
import anyio.to_thread

from prismenv.contracts.configuration import build_config, refuse_slips
from prismenv.contracts.entry import (
    ENTRY_METHODS,
    Method,
    accepted_options,
    ask_validation,
    call_author,
    is_entry,
    make_entry,
    own_options,
    refuse_option_slips,
    run_node,
)
from prismenv.contracts.environment import Environment
from prismenv.contracts.execution import NodeExecution, current_execution, execution_of, told_by
from prismenv.contracts.folder import OwnFolder
from prismenv.contracts.handle import Crew, CrewSettings, OwnInterface, make_crew, open_crew
from prismenv.contracts.health import check_health
from prismenv.contracts.interface import InterfaceClient
from prismenv.contracts.judging import Judging
from prismenv.contracts.observer import NodeObserver, SilentObserver
from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.progress import Progress
from prismenv.contracts.registry import Registration, environment_registry
from prismenv.contracts.requests import concepts_of, positive_option, whole_option
from prismenv.contracts.services import Services, find_environment_block, open_default_services
from prismenv.contracts.settings import HOST_MAX_ATTEMPTS, HOST_TIMEOUT_SECONDS, EnvironmentConfig
from prismenv.contracts.tool import tools_of
from prismenv.contracts.turn import Turn
from prismenv.contracts.workflow import Workflow
from prismenv.words.errors import (
    EnvironmentException,
    EnvironmentExecutionException,
    RegistryException,
)
from prismenv.words.fileset import FileSet
from prismenv.words.records import ChallengeResults, TrailRecord
from prismenv.words.seeding import derive_random, derive_seed
from prismenv.words.verdict import Verdict

_ENGINE_STATE = frozenset(
    {
        "_calls",
        "_crew",
        "_exit",
        "_folder",
        "_given_services",
        "_initialized",
        "_observer",
        "_own_interface",
        "_seed",
        "_services",
        "_starting",
    }
)
_form_classes: dict[int, tuple[Registration, type["BaseEnvironment"]]] = {}


def _registered(name: str) -> Registration:
    """The registration of `name`; loads the workspace's plugins when nobody did yet."""
    if name not in environment_registry:
        find_environment_block(name)
    return environment_registry.get(name)


def _class_of(registration: Registration) -> type["BaseEnvironment"]:
    """The class behind a registration; functions become the methods of a class that is made once."""
    if registration.cls is not None:
        return cast(type[BaseEnvironment], registration.cls)
    known = _form_classes.get(id(registration))
    if known is None:
        _refuse_clashes(registration.methods, f"{registration.name!r} at {registration.where}")
        made = type(registration.name, (BaseEnvironment,), {"__module__": "prismenv_plugins", **registration.methods})
        known = _form_classes[id(registration)] = (registration, made)  # held, so that its id stays its own
    return known[1]


def _refuse_clashes(members: Iterable[str], whose: str) -> None:
    """RegistryException where a helper has the name of something that the engine itself relies on."""
    for name in members:
        own = name in _ENGINE_STATE or name in vars(BaseEnvironment)
        if own and name.startswith("_") and not name.endswith("__"):
            raise RegistryException(
                f"the helper {name!r} of {whose} has a name that BaseEnvironment uses itself",
                code="name_taken",
                subject=name,
                hint="Give the helper another name.",
            )


class BaseEnvironment(Workflow, Judging, Progress, Environment):
    """An environment by its name: `BaseEnvironment("environment_coding_challenge")`, or a class that derives from this.

    `config` None takes the workspace's block for the name. `services` None opens the workspace's own at `initialize`
    and closes them at `close`. `seed` None is the same as 0. Further keywords that are keys of the configuration
    stand over it; others are kept in `options`.
    """

    def __new__(cls, environment_name: str = "", *_: Any, **__: Any) -> Self:
        if cls is BaseEnvironment:
            return cast(Self, object.__new__(_class_of(_registered(environment_name))))
        return object.__new__(cls)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _refuse_clashes(cls.__dict__, f"class {cls.__qualname__} in {cls.__module__}")
        for name in ENTRY_METHODS:
            method = cls.__dict__.get(name)
            if method is not None and not is_entry(method):
                setattr(cls, name, make_entry(name, method))

    def __init__(
        self,
        environment_name: str,
        *,
        config: Mapping[str, Any] | EnvironmentConfig | None = None,
        services: Services | None = None,
        observer: NodeObserver | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.environment_name = environment_name
        self._crew = Crew()
        self._initialized = False
        self._starting = Turn()
        self._seed = seed or 0
        self._calls = 0
        self._given_services = services
        self._services: Services | None = services
        self._observer = observer or SilentObserver()
        self._exit: AsyncExitStack | None = None
        self._own_interface: OwnInterface | None = None
        self._folder = OwnFolder(environment_name)
        if config is None:
            config = find_environment_block(environment_name)
        model = self._config_model()
        own = {name: value for name, value in kwargs.items() if name in model.model_fields}
        self.options = {name: value for name, value in kwargs.items() if name not in own}
        refuse_slips(self.options, model, environment_name)
        self.config = build_config({**config, **own} if own else config, model, environment_name)

    def _config_model(self) -> type[EnvironmentConfig]:
        if self.environment_name in environment_registry:
            return environment_registry.get(self.environment_name).config or EnvironmentConfig
        return EnvironmentConfig

    # What an author may override. The engine's part is in the entries below.

    async def initialize(self) -> None:
        """Make ready: agents have handles and the services are open when an author's own part runs."""

    async def execute_node(self, *_: Any, **kwargs: Any) -> ChallengeResults | dict[str, Any]:
        """Measure one node. Its keywords are `concept`, `difficulty_level` and the options of the call."""
        raise EnvironmentExecutionException(
            f"{self.environment_name!r} has no node face: it does not define execute_node",
            code="no_node_face",
            subject=self.environment_name,
            hint=f"It was called with {', '.join(kwargs) or 'nothing'}.",
        )

    async def reset(self) -> Any:
        """Bring the environment to a fresh start; what an author returns is the first observation."""
        return None

    async def close(self) -> None:
        """Let go of what the author holds; sessions, folder and services are the engine's."""

    async def health_check(self) -> dict[str, Any]:
        """Further checks of an author, added to the engine's: `{"checks": {name: "healthy" or "unhealthy: why"}}`."""
        return {}

    def planned_nodes(self) -> Sequence[PlannedNode] | None:
        """The nodes that the environment knows by itself; None: the search decides."""
        return None

    def agent_questions(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """What each role will be asked: by role, the names of the inputs of each kind of question.

        An agent file without a template for one of them is then an error before the run, with file and line; without
        this, it is one at the first such question.
        """
        return {}

    # The engine's parts.

    async def _enter_initialize(self, author: Method) -> None:
        async with self._starting:
            if not self._initialized:
                await self._start(author)

    async def _start(self, author: Method) -> None:
        token = current_execution.set(None)  # what an author opens here belongs to the instance, not to a call
        try:
            if self._services is None:
                opener = open_default_services(self.environment_name, dict(self.config.items()))
                stack = AsyncExitStack()
                self._services = await stack.enter_async_context(opener)
                self._exit = stack
            await self._validate()
            self._crew = make_crew(tuple(self.config.agents), self._crew_settings("", None))
            await call_author(self.environment_name, "initialize", author)
            self._initialized = True
        except BaseException:
            await self._release()
            raise
        finally:
            current_execution.reset(token)

    async def _validate(self) -> None:
        if (hook := getattr(self, "validate_config", None)) is not None:
            await ask_validation(self.environment_name, hook, self.config)
        for role, questions in self.agent_questions().items():
            for inputs in questions if role in self.config.agents else ():
                self.services.interface.require_template(role, inputs)

    async def _enter_execute_node(self, author: Method, /, *args: Any, **options: Any) -> ChallengeResults:
        if args:
            names = ("concept", "difficulty_level")
            options = {**dict(zip(names, args, strict=False)), **options}
        if "concepts" in options and "concept" not in options:
            options["concept"] = options.pop("concepts")
        if not self._initialized:
            await self.initialize()
        execution = self._begin(options)
        accepted = accepted_options(author, options, self.environment_name)
        return await run_node(self.environment_name, execution, author, accepted, self.services.clock.monotonic)

    def _begin(self, options: Mapping[str, Any]) -> NodeExecution:
        """The state of one call. A request's own values win over the configuration's, within the host's ceiling."""
        self._calls += 1
        first = self._calls == 1
        seed = whole_option(options, "seed", least=0)
        timeout = positive_option(options, "timeout")
        if timeout is None:
            task = positive_option(options, "task_timeout")
            timeout = self.config.timeout if task is None else min(task, self.config.timeout)
        attempts = whole_option(options, "max_attempts")
        return NodeExecution(
            owner=self,
            outer=current_execution.get(),
            seed=seed if seed is not None else self._seed if first else derive_seed(self._seed, self._calls),
            labels={
                "concepts": concepts_of(options.get("concept")),
                "difficulty": options.get("difficulty_level"),
            },
            timeout_seconds=min(timeout, HOST_TIMEOUT_SECONDS),
            max_attempts=min(attempts or self.config.max_attempts, HOST_MAX_ATTEMPTS),
        )

    async def _enter_reset(self, author: Method, /, *args: Any, **options: Any) -> Any:
        await self._fresh_start()
        if not self._initialized:
            await self.initialize()
        seed = whole_option(options, "seed", least=0)
        if seed is not None:
            self._seed = seed
        refuse_option_slips(author, options, self.environment_name)
        returned = await call_author(self.environment_name, "reset", author, *args, **own_options(author, options))
        return returned if hasattr(self, "step") or tools_of(type(self)) else None

    async def _enter_close(self, author: Method) -> None:
        try:
            await call_author(self.environment_name, "close", author)
        finally:
            await self._release()

    async def _enter_health_check(self, author: Method) -> dict[str, Any]:
        if not self._initialized:
            await self.initialize()
        try:
            own = await call_author(self.environment_name, "health_check", author)
        except EnvironmentException as error:
            own = {"checks": {"health_check": f"unhealthy: {error.message}"}}
        return await check_health(self.environment_name, self.services, tuple(self.config.agents), own)

    async def _fresh_start(self) -> None:
        await self._crew.close()
        if self._own_interface is not None:
            await self._own_interface.aclose()
        if self._folder.exists:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._folder.remove)

    async def _release(self) -> None:
        await self._fresh_start()
        self._initialized = False
        self._own_interface = None
        self._services = self._given_services
        stack, self._exit = self._exit, None
        if stack is not None:
            await stack.aclose()

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.close()

    # What authors use.

    @property
    def services(self) -> Services:
        """What the environment works with; EnvironmentExecutionException before `initialize`."""
        if self._services is None:
            raise EnvironmentExecutionException(
                f"{self.environment_name!r} is not initialised: use `async with`, or await initialize() first",
                code="not_initialised",
                subject=self.environment_name,
            )
        return self._services

    @property
    def agents(self) -> Crew:
        """A handle for each configured role, filled by `initialize`. Every call has sessions of its own."""
        execution = execution_of(self)
        if execution is None:
            return self._crew
        if execution.crew is None:
            execution.crew = make_crew(tuple(self.config.agents), self._crew_settings("", None))
        return execution.crew

    @property
    def interface_client(self) -> InterfaceClient:
        """The LLM interface, for sessions by hand; those that are left open end with `reset` or `close`."""
        if self._own_interface is None:
            self._own_interface = OwnInterface(self._crew_settings("by hand", None))
        return self._own_interface

    @property
    def seed(self) -> int:
        """The seed of the call that runs, else the instance's."""
        execution = execution_of(self)
        return self._seed if execution is None else execution.seed

    @property
    def max_attempts(self) -> int:
        """How many attempts the call that runs may make, else the configuration's."""
        execution = execution_of(self)
        return self.config.max_attempts if execution is None else execution.max_attempts

    def random(self, *purpose: object) -> random.Random:
        """A generator for that purpose, the same for the same seed."""
        return derive_random(self.seed, "environment", *purpose)

    def open_agents(self, scope: object, **labels: Any) -> AbstractAsyncContextManager[Crew]:
        """Fresh handles for one part of the work, such as one problem: own sessions, own seeds, closed at the end."""
        return open_crew(tuple(self.config.agents), self._crew_settings(scope, labels))

    def _crew_settings(self, scope: object, labels: Mapping[str, Any] | None) -> CrewSettings:
        def own_labels() -> Mapping[str, Any]:
            execution = execution_of(self)
            return {**(execution.labels if execution else {}), **(labels or {})}

        return CrewSettings(
            services=self.services,
            observer=self._observer,
            attempts=lambda: self.max_attempts,
            seed=lambda: derive_seed(self.seed, "agents", scope),
            labels=own_labels,
        )

    def _remember(self, solution: str | FileSet, tests: str, verdict: Verdict) -> None:
        execution = execution_of(self)
        if execution is not None:
            execution.judged.append((solution, tests, verdict))

    def add_attempt(self, **fields: Any) -> TrailRecord:
        """Make a trail record of these keys and tell whoever watches. Return it in the result's `data_trail`.

        It is also what is left of the attempt when time runs out. Keys that are not given come from the verdict
        (success, output, counts, fault), the call's seed, and the number of the problem's attempts so far.
        """
        execution = execution_of(self)
        number = 0 if execution is None else execution.attempts_of(fields.get("problem_index", 0))
        filled = {"seed": self.seed, "attempt_num": number, **told_by(fields.get("verdict"))}
        record = TrailRecord(**{**filled, **fields})
        if execution is not None:
            execution.trail.append(record)
        self._observer.attempt_judged(record)
        return record


for _name in ENTRY_METHODS:
    setattr(BaseEnvironment, _name, make_entry(_name, getattr(BaseEnvironment, _name)))
