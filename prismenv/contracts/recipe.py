"""A recipe: everything that one run is made of."""

import sys
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from prismenv.contracts.keys import KeySource
from prismenv.words.limits import Limits
from prismenv.words.mapping import FrozenModel, PlainNumbers, number_only
from prismenv.words.verdict import DEFAULT_VERDICT, Isolation, VerdictMode

USUAL_IMAGE = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


class LocalInterface(FrozenModel):
    """The LLM interface inside this process.

    Sessions in the `store` (the run's) survive the process, and several processes may speak in them by turns.
    """

    type: Literal["local"] = "local"  # this one
    sessions: Literal["memory", "store"] = "memory"  # where conversations are kept
    session_idle_seconds: Annotated[float | None, BeforeValidator(number_only)] = Field(
        default=86_400.0, gt=0, description="a session that nobody used for so long is forgotten; None: never"
    )


class HttpInterface(FrozenModel):
    """The LLM interface as a service: `prismenv llm serve`, or one in PrismBench's shapes.

    `dialect: auto` asks the service which it speaks.
    """

    type: Literal["http"]  # this one
    url: str  # the service's address, such as http://host:8000
    dialect: Literal["auto", "full", "message", "task"] = "auto"  # full: prismenv's own; the others: PrismBench's
    timeout: Annotated[float, BeforeValidator(number_only)] = Field(default=120.0, gt=0)  # seconds for one interaction
    token_variable: str | None = None  # name of the environment variable that holds the bearer token; None: no token


def _local_by_default(value: Any) -> Any:
    """Settings without a type are the local interface's, unless they speak of an address."""
    if isinstance(value, dict) and not {"type", "url"} & value.keys():
        return {"type": "local", **value}
    return value


InterfaceSettings = Annotated[
    LocalInterface | HttpInterface, Field(discriminator="type"), BeforeValidator(_local_by_default)
]


class StopSettings(PlainNumbers, FrozenModel):
    """When the adaptive policy knows enough, whatever `search.nodes` and the budget say.

    A cell is known when it is decided on which side of the threshold (or of 0, for a difference) it lies, or when its
    credible interval is no wider than `interval` to either side. `interval` None: only `search.nodes` ends it.
    """

    interval: float | None = Field(default=0.1, gt=0, lt=1)  # half the width of a credible interval
    share: float = Field(default=0.95, gt=0, le=1)  # of cells that have to be known
    confidence: float = Field(default=0.9, gt=0, lt=1)  # of the intervals


class MctsSettings(PlainNumbers, FrozenModel):
    """How the policy `mcts` chooses."""

    selection: Literal["uct", "puct"] = "uct"  # puct: what looks hard by its concepts is tried first
    exploration: float = Field(default=0.7, ge=0)  # c of the bound: how much is tried that was seldom tried
    virtual_loss: float = Field(default=1.0, ge=0)  # visits without success that a measurement under way counts as
    widening: float = Field(default=1.0, gt=0)  # a node has fewer steps below it than this, times a power of its visits
    widening_power: float = Field(default=0.5, ge=0, le=1)  # that power
    discount: float = Field(default=0.85, gt=0, le=1)  # below 1: what is hard counts less with each step from the roots
    leaves: int = Field(default=8, ge=1)  # measurements under way at once


class SearchSettings(PlainNumbers, FrozenModel):
    """What is measured.

    `concepts` and `difficulties` None take the ones of `tree` (a file of the workspace's configs, by stem or path), or
    the environment's own nodes where it has some and no tree is named. `nodes` None: the policy's own end.
    """

    policy: str = "grid"  # `prismenv list policies` shows what there is
    tree: str | None = None  # a file of configs, by stem or path
    concepts: tuple[str, ...] | None = None  # what is measured
    difficulties: tuple[str, ...] | None = None  # the easiest first
    pairs: bool = False  # every pair of concepts as well
    repeats: int = Field(default=1, ge=1)  # how often each node is measured
    nodes: int | None = Field(default=None, ge=1)  # how many are measured
    threshold: float = Field(default=0.5, gt=0, lt=1)  # success below it is a weakness; for `policy: adaptive`
    objective: Literal["threshold", "ability", "difference"] = "threshold"  # what is looked for; for `policy: adaptive`
    reference: str | None = None  # the run whose model this one is compared with, for `objective: difference`
    stop: StopSettings = Field(default_factory=StopSettings)  # when enough is known; for `policy: adaptive`
    window: int = Field(default=64, ge=1)  # how far results may run ahead of the one that is told next
    max_concepts: int = Field(default=4, ge=1)  # of a node of a tree search
    experiment: str = "experiment_configs"  # which phases a tree search goes through: a file of configs
    phases: str = "phase_configs"  # how it goes about them: a file of configs
    then: tuple[str, ...] = ()  # phases after a policy without any; [phase_3]: what was hard, in depth
    formulas: Literal["corrected", "original"] = "corrected"  # original: PrismBench's, kept within 0 and 1
    mcts: MctsSettings = Field(default_factory=MctsSettings)  # for the policy `mcts`


class BudgetSettings(PlainNumbers, FrozenModel):
    """Where a run stops by itself; None is no limit."""

    nodes: int | None = Field(default=None, ge=1)  # finished nodes
    wall_seconds: float | None = Field(default=None, gt=0)  # seconds of this sitting
    tokens: int | None = Field(default=None, ge=1)  # of all model calls
    cost_usd: float | None = Field(default=None, gt=0)  # a run whose calls name no price fails


IsolationChoice = Literal["auto", "full", "unprivileged", "docker", "portable"]


class DockerSettings(PlainNumbers, FrozenModel):
    """Where `isolation: docker` finds its engine, and what its containers are. `auto` never takes docker."""

    image: str = USUAL_IMAGE  # one with this Python; it is not fetched: docker pull
    images: dict[str, str] = Field(default_factory=dict)  # language to the image with its tools, and this Python too
    python: str = "python3"  # what it is called in the image
    user: str = Field(default="65534:65534", pattern=r"[1-9]\d*:[1-9]\d*")  # who runs there: numbers, never 0
    cpus: float = Field(default=1.0, gt=0)  # processors that one container may use
    start_seconds: float = Field(default=30.0, gt=0)  # a container serves by then, or does not fit
    socket: str | None = None  # the engine's; None: DOCKER_HOST, or /var/run/docker.sock


class SessionSettings(PlainNumbers, FrozenModel):
    """How many interpreters of `Sandbox.open` there may be."""

    most: int = Field(default=64, ge=1)  # open at once
    memory_bytes: int = Field(default=4 * 2**30, ge=16 * 2**20)  # that all open ones may hold together
    idle_seconds: float = Field(default=1800.0, gt=0)  # one that nobody used for so long is ended


class SandboxSettings(FrozenModel):
    """How code is run. `require` refuses to start with a weaker kind than named; None takes what there is.

    With `url` it is run by `prismenv sandbox serve` there: `isolation` and `require` then speak of that machine, and
    `ceiling` is its owner's alone.
    """

    isolation: IsolationChoice = "auto"  # auto: the strongest that there is
    require: Isolation | None = None  # the weakest kind that will do
    verdict: VerdictMode = DEFAULT_VERDICT  # split: tests and solution in processes of their own; shared: in one
    limits: dict[str, Any] = Field(default_factory=dict)  # over the language's own limits
    sessions: SessionSettings = Field(default_factory=SessionSettings)  # interpreters that are kept open
    packages: tuple[str, ...] = ()  # installed packages that solutions and tests may import, as pip names them
    ceiling: Limits | None = None  # None: the host's own
    url: str | None = None  # the address of a sandbox's service, such as http://host:8020; None: this machine's own
    token: KeySource | None = None  # where the service's bearer token is, not the token
    timeout_seconds: Annotated[float, BeforeValidator(number_only)] = Field(default=1800.0, gt=0)  # for one call to it
    docker: DockerSettings = Field(default_factory=DockerSettings)  # for `isolation: docker`


class ConcurrencySettings(PlainNumbers, FrozenModel):
    """How much happens at once. `sandboxes` None: one for each processor."""

    nodes: int = Field(default=8, ge=1)  # worked on at once
    sandboxes: int | None = Field(default=None, ge=1)  # programs run at once


class ModelLimits(PlainNumbers, FrozenModel):
    """What a provider or a model may be asked, by all runs of the process together; None is no limit."""

    concurrency: int | None = Field(default=None, ge=1)  # calls at once
    requests_per_minute: int | None = Field(default=None, ge=1)  # in every window of 60 seconds
    tokens_per_minute: int | None = Field(default=None, ge=1)  # prompts and answers, in every window of 60 seconds


class CallSettings(PlainNumbers, FrozenModel):
    """How models are asked, and how much. The strictest limits of all runs of the process hold.

    `breaker_failures` None: a service that does not answer is asked all the same. `hedge_seconds` None: nothing is
    asked twice.
    """

    timeout_seconds: float = Field(default=300.0, gt=0)  # for a question, with all waits and repetitions
    tries: int = Field(default=3, ge=1)  # calls for a question, where failures may pass (408, 409, 429, 5xx, no answer)
    breaker_failures: int | None = Field(default=10, ge=1)  # so many unanswered calls in a row stop further ones
    breaker_seconds: float = Field(default=10.0, gt=0)  # for so long; then one call sees whether it answers again
    hedge_seconds: float | None = Field(default=None, gt=0)  # after so long a second request; the first answer wins
    providers: dict[str, ModelLimits] = Field(default_factory=dict)  # by provider, all its models together
    models: dict[str, ModelLimits] = Field(default_factory=dict)  # by provider/model, as in `models`


class OutputSettings(FrozenModel):
    """Where results go. `store` is a file or a SQLAlchemy URL; None: `.prismenv/prismenv.db` in the project folder."""

    store: str | None = None  # a file, sqlite:/// and a path, or postgresql://USER@HOST/DATABASE
    keep_calls: bool = True  # prompts and answers of every model call
    stream: bool = False  # answers' text as `model_tokens` events while it comes, for whoever watches the run


class Recipe(PlainNumbers, FrozenModel):
    """One run, resolved: nothing is left to defaults elsewhere, so it can be run again as it is."""

    name: str  # the file's, where it does not say
    description: str = ""  # for `prismenv list`
    environment: str = "environment_coding_challenge"  # its name
    config: dict[str, Any] = Field(default_factory=dict)  # over the environment's block in environment_config.yaml
    options: dict[str, Any] = Field(default_factory=dict)  # to execute_node, untouched
    data: str | None = None  # a data file, for environments that read one
    models: dict[str, str] = Field(default_factory=dict)  # role or `default` -> provider/model
    keys: dict[str, KeySource] = Field(default_factory=dict)  # provider -> where its key is, not the key
    interface: InterfaceSettings = Field(default_factory=LocalInterface)  # how models are reached
    limits: CallSettings = Field(default_factory=CallSettings)  # how models are asked, and how much
    cache: bool = False  # answers of services are kept in the store, and questions that it knows answered from there
    record: str | None = None  # a file that keeps every question to a model and its answer, for `replay/FILE`
    search: SearchSettings = Field(default_factory=SearchSettings)  # what is measured
    budget: BudgetSettings = Field(default_factory=BudgetSettings)  # where the run stops
    sandbox: SandboxSettings = Field(default_factory=SandboxSettings)  # how code is run
    concurrency: ConcurrencySettings = Field(default_factory=ConcurrencySettings)  # how much at once
    output: OutputSettings = Field(default_factory=OutputSettings)  # where results go
    seed: int = 0  # the same seed gives the same trail
