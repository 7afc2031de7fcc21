"""The episode face of an environment: how its author's `reset`, `step`, `state` and the rest are called, whatever
their form, and what types they speak in. What an episode is allowed to do when is not known here; see engine/host.
"""

import dataclasses
import inspect
from collections.abc import Mapping
from functools import cached_property
from typing import Any, cast, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.entry import call_author
from prismenv.contracts.episode import TEXT_KEY, State, StepResult, as_step, plain
from prismenv.words.errors import ActionException, EnvironmentException, EnvironmentExecutionException
from prismenv.words.nearness import did_you_mean

TEXT_ACTION = "action_str"  # where an action that is text stands in an object
_TEXT_ACTION_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {TEXT_ACTION: {"type": "string"}},
    "required": [TEXT_ACTION],
    "additionalProperties": False,
}
_TEXT_OBSERVATION_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {TEXT_KEY: {"type": "string"}},
    "required": [TEXT_KEY],
}
_ERRORS_SHOWN = 20


class EpisodeTypes:
    """The types that an environment's class declares: those of its step's action and result, and of its state.

    None: it does not say, and any object of JSON will do.
    """

    def __init__(self, cls: type[Any]) -> None:
        step = _hints(getattr(cls, "step", None))
        parameters = [name for name in _parameters(getattr(cls, "step", None)) if name != "self"]
        self.action = _told(step.get(parameters[0]) if parameters else None)
        self.observation = _told(step.get("return"))
        state = cls.__dict__.get("state", getattr(cls, "state", None))
        self.state = _told(_hints(state.fget if isinstance(state, property) else state).get("return"))
        self._reads_action = None if self.action in (None, str) else _adapter(self.action)

    @cached_property
    def text_field(self) -> str | None:
        """Where a policy's plain text belongs in an action: its only field that is needed, if that is text."""
        schema = self.schemas()["action"]
        needed = schema.get("required", [])
        if len(needed) == 1 and schema["properties"][needed[0]].get("type") == "string":
            return str(needed[0])
        return None

    def schemas(self) -> dict[str, Any]:
        """JSON Schemas of `action`, `observation` and `state`."""
        action = dict(_TEXT_ACTION_SCHEMA) if self.action is str else _schema(self.action)
        observation = dict(_TEXT_OBSERVATION_SCHEMA) if self.observation is str else _schema(self.observation)
        return {"action": action, "observation": observation, "state": _schema(self.state or State)}

    def read_action(self, given: Any) -> Any:
        """The action as the author's step takes it; ActionException says what is wrong with it."""
        if self.action is str:
            return _text_of(given)
        if self._reads_action is None or (isinstance(self.action, type) and isinstance(given, self.action)):
            return given
        if dataclasses.is_dataclass(self.action) and isinstance(given, Mapping):
            _refuse_unknown(given, [field.name for field in dataclasses.fields(self.action)])
        try:
            return self._reads_action.validate_python(given)
        except (ValidationError, RecursionError) as error:
            raise _refused(error) from error


class EpisodeFace:
    """One environment's. EnvironmentExecutionException, code `no_episode_face`, where it has none."""

    def __init__(self, environment: BaseEnvironment, types: EpisodeTypes | None = None) -> None:
        if not callable(getattr(environment, "step", None)):
            raise EnvironmentExecutionException(
                f"{environment.environment_name!r} has no episode face: it does not define reset and step",
                code="no_episode_face",
                subject=environment.environment_name,
            )
        self._environment = cast(Any, environment)
        self._name = environment.environment_name
        self.types = types or EpisodeTypes(type(environment))

    async def reset(self, seed: int, options: Mapping[str, Any]) -> StepResult[Any]:
        """Begin an episode. Those of `seed` and `options` go to the author that its signature takes."""
        return as_step(await self._environment.reset(seed=seed, **options), self._name, "reset")

    async def step(self, action: Any) -> StepResult[Any]:
        """One step, with an action as `EpisodeTypes.read_action` gives it."""
        return as_step(await call_author(self._name, "step", self._environment.step, action), self._name, "step")

    async def state(self, episode_id: str | None, step_count: int) -> dict[str, Any]:
        """The author's state as an object of JSON, the engine's own keys filled where it does not have them."""
        found = await self._read("state")
        made = {} if found is None else plain(found, f"the state of {self._name!r}")
        if not isinstance(made, dict):
            made = {"value": made}
        own = {"episode_id": episode_id, "step_count": step_count}
        return {**own, **{key: value for key, value in made.items() if value is not None or key not in own}}

    async def system_prompt(self) -> str | None:
        """What the policy is told before the first observation; None: the environment has nothing to say."""
        found = await self._read("system_prompt")
        return None if found is None else str(found)

    async def compute_reward(self) -> float | None:
        """The author's reward of the whole episode; None: there is no such method, or nothing was measured."""
        found = await self._read("compute_reward")
        return None if found is None else as_step(StepResult("", found), self._name, "compute_reward").reward

    async def _read(self, name: str) -> Any:
        """What a method, a property or an attribute of that name holds; None where there is none."""
        found = inspect.getattr_static(self._environment, name, None)
        if isinstance(found, property):
            return await call_author(self._name, name, lambda: getattr(self._environment, name))
        member = getattr(self._environment, name, None)
        return await call_author(self._name, name, member) if callable(member) else member


def _hints(function: Any) -> dict[str, Any]:
    if function is None:
        return {}
    try:
        return get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError, AttributeError):  # names that are there for a type checker alone
        return {}


def _parameters(function: Any) -> list[str]:
    return [] if function is None else list(inspect.signature(function).parameters)


def _told(hint: Any) -> Any:
    """A type that says something about what is in it."""
    plain_types = (Any, object, dict, tuple, None, type(None), Mapping)
    origin = getattr(hint, "__origin__", None)
    if hint in plain_types or origin is tuple or (origin is not None and isinstance(origin, type) and origin is dict):
        return None
    if isinstance(origin, type) and issubclass(origin, StepResult):
        return _told(hint.__args__[0])
    return None if hint is StepResult else hint


def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(kind)
    except (PydanticSchemaGenerationError, PydanticUserError):  # a class of the author's own: actions pass as they are
        return None


def _schema(kind: Any) -> dict[str, Any]:
    adapter = None if kind is None else _adapter(kind)
    return {"type": "object"} if adapter is None else adapter.json_schema()


def _text_of(given: Any) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping) and isinstance(given.get(TEXT_ACTION), str):
        _refuse_unknown({key: value for key, value in given.items() if key != "metadata"}, [TEXT_ACTION])
        return cast(str, given[TEXT_ACTION])
    error = ActionException(f'the action must be text, or {{"{TEXT_ACTION}": text}}')
    error.errors = ({"loc": [TEXT_ACTION], "msg": "expected text", "type": "string_type"},)
    raise error


def _refuse_unknown(given: Mapping[str, Any], known: list[str]) -> None:
    for key in given:
        if key not in known:
            error = ActionException(f"the action has no {key!r:.80}{did_you_mean(str(key), known)}")
            error.errors = ({"loc": [str(key)[:80]], "msg": "unknown key", "type": "extra_forbidden"},)
            raise error


def _refused(error: ValidationError | RecursionError) -> EnvironmentException:
    if isinstance(error, RecursionError):
        return ActionException("the action is nested too deeply")
    found = error.errors(include_url=False, include_context=False, include_input=False)[:_ERRORS_SHOWN]
    told = [{"loc": list(item["loc"]), "msg": item["msg"], "type": item["type"]} for item in found]
    first = found[0]
    where = ".".join(map(str, first["loc"])) or "it"
    refusal = ActionException(f"the action: {where}: {first['msg'].lower()}")
    refusal.errors = told
    return refusal
