"""The episode face of an environment: how its author's `reset`, `step`, `state` and the rest are called, whatever
their form, and what types they speak in. What an episode is allowed to do when is not known here; see engine/host.
"""

import dataclasses
import inspect
import json
from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any, cast, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.entry import call_author, said_by
from prismenv.contracts.episode import State, StepResult, as_step, plain
from prismenv.contracts.media import TEXT_KEY
from prismenv.contracts.rubric import RUBRIC_KEY, Rubric
from prismenv.contracts.tool import Tool, ToolAnswer, ToolFault, tools_of
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
LIST_TOOLS, CALL_TOOL = "list_tools", "call_tool"  # types of actions, where an environment has tools
_TOOL_ACTION_SCHEMAS: tuple[Mapping[str, Any], ...] = (
    {"type": "object", "properties": {"type": {"const": LIST_TOOLS}}, "required": ["type"]},
    {
        "type": "object",
        "properties": {
            "type": {"const": CALL_TOOL},
            "tool_name": {"type": "string"},
            "arguments": {"type": "object", "default": {}},
        },
        "required": ["type", "tool_name"],
    },
)
_RESET_PROPERTIES: Mapping[str, Any] = {  # anyOf: some models' APIs take no list of types, and refuse the tool
    "seed": {
        "anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}],
        "description": "What the episode is drawn from.",
    },
    "episode_id": {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 200}, {"type": "null"}]},
}
_ENGINE = "prismenv.contracts."  # classes from here are the engine's part of an environment, not an author's
MAX_RESULT_BYTES = 8 * 2**20  # of a tool


class EpisodeTypes:
    """The types that an environment's class declares: those of its step's action and result, and of its state; and its
    tools.

    None: it does not say, and any object of JSON will do. A class says it by its signatures, or by a mapping
    `episode_types` with some of `action`, `observation` and `state`.

    `action_is_object`: an action is an object of JSON. `steps`: it defines `step`. `episodes`: it defines `step` or
    `reset`; one that has tools alone has no episodes.
    """

    def __init__(self, cls: type[Any]) -> None:
        self.tools: Mapping[str, Tool] = tools_of(cast(Hashable, cls))
        self.steps = callable(getattr(cls, "step", None))
        self.episodes = self.steps or any(
            "reset" in vars(klass) for klass in cls.__mro__ if not klass.__module__.startswith(_ENGINE)
        )
        reset = getattr(cls, "reset", None)
        hints = _hints(reset)
        self._reset_options = {name: hints.get(name) for name in _named(reset) if name not in _RESET_PROPERTIES}
        step = _hints(getattr(cls, "step", None))
        parameters = [name for name in _parameters(getattr(cls, "step", None)) if name != "self"]
        self.action = _told(step.get(parameters[0]) if parameters else None)
        self.observation = _told(step.get("return"))
        state = cls.__dict__.get("state", getattr(cls, "state", None))
        self.state = _told(_hints(state.fget if isinstance(state, property) else state).get("return"))
        for key, kind in getattr(cls, "episode_types", {}).items():
            setattr(self, key, kind)
        self.action_is_object = self.action is str or _schema(self.action).get("type") == "object"
        self._reads_action = None if self.action in (None, str) else _adapter(self.action)

    def action_schema(self) -> dict[str, Any]:
        """JSON Schema of the author's own actions."""
        return dict(_TEXT_ACTION_SCHEMA) if self.action is str else _schema(self.action)

    def reset_schema(self) -> dict[str, Any]:
        """JSON Schema of what reset takes: the engine's `seed` and `episode_id`, and the author's options."""
        definitions: dict[str, Any] = {}
        properties: dict[str, Any] = dict(_RESET_PROPERTIES)
        for name, hint in self._reset_options.items():
            own = {} if hint is None else _schema(hint)
            definitions.update(own.pop("$defs", {}))
            properties[name] = own
        found: dict[str, Any] = {"type": "object", "properties": properties}
        return {**found, "$defs": definitions} if definitions else found

    @cached_property
    def text_field(self) -> str | None:
        """Where a policy's plain text belongs in an action; None: nowhere."""
        return text_field(self.schemas()["action"])

    def schemas(self) -> dict[str, Any]:
        """JSON Schemas of `action`, `observation` and `state`."""
        action = self.action_schema()
        observation = dict(_TEXT_OBSERVATION_SCHEMA) if self.observation is str else _schema(self.observation)
        if self.tools:
            action = _any_of([action, *_TOOL_ACTION_SCHEMAS] if self.steps else list(_TOOL_ACTION_SCHEMAS))
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
        self.types = types or EpisodeTypes(type(environment))
        if not self.types.steps and not self.types.tools:
            raise EnvironmentExecutionException(
                f"{environment.environment_name!r} has no episode face: it does not define reset and step, nor tools",
                code="no_episode_face",
                subject=environment.environment_name,
            )
        self._environment = cast(Any, environment)
        self._name = environment.environment_name

    async def reset(self, seed: int, options: Mapping[str, Any]) -> StepResult[Any]:
        """Begin an episode. Those of `seed` and `options` go to the author that its signature takes."""
        returned = await self._environment.reset(seed=seed, **options)
        if returned is None and not self.types.steps:
            returned = {}  # there may be nothing to see where tools are all there is
        return as_step(returned, self._name, "reset")

    async def step(self, action: Any) -> StepResult[Any]:
        """One step, with an action as `EpisodeTypes.read_action` gives it."""
        step = as_step(await call_author(self._name, "step", self._environment.step, action), self._name, "step")
        rubric = getattr(self._environment, "rubric", None)
        return await self._graded(rubric, action, step) if isinstance(rubric, Rubric) else step

    async def _graded(self, rubric: Rubric, action: Any, step: StepResult[Any]) -> StepResult[Any]:
        """The step with the rubric's reward, and in its info under `rubric` what each part gave."""
        if step.reward is not None:
            raise EnvironmentExecutionException(
                f"step of {self._name!r} gave a reward, which its rubric gives", code="bad_step", subject=self._name
            )
        score = await rubric.score(action, step.observation)
        return dataclasses.replace(step, reward=score.value, info={**step.info, RUBRIC_KEY: dict(score.parts)})

    async def call_tool(self, tool: Tool, arguments: Mapping[str, Any]) -> StepResult[ToolAnswer]:
        """What a tool comes to, with arguments as `Tool.read` gives them.

        What the author's code raises is an answer too, but for ActionException: then nothing happened.
        """
        try:
            returned = await call_author(self._name, tool.name, getattr(self._environment, tool.name), **arguments)
            step = (
                as_step(returned, self._name, tool.name) if isinstance(returned, StepResult) else StepResult(returned)
            )
            answer = ToolAnswer(tool.name, _bounded(step.observation, f"the result of the tool {tool.name!r}"))
        except ActionException:
            raise
        except EnvironmentException as error:
            cause = error.__cause__  # what the author's code raised, without where in the server it was
            told = said_by(cause) if cause is not None and error.code == "environment_raised" else error.message
            return StepResult(ToolAnswer(tool.name, error=ToolFault("execution_error", told)))
        return dataclasses.replace(step, observation=answer)

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
        return await read_member(self._name, self._environment, name)


async def read_member(environment_name: str, owner: Any, name: str) -> Any:
    """What a method, a property or an attribute of that name holds; None where there is none."""
    found = inspect.getattr_static(owner, name, None)
    if isinstance(found, property):
        return await call_author(environment_name, name, lambda: getattr(owner, name))
    member = getattr(owner, name, None)
    return await call_author(environment_name, name, member) if callable(member) else member


def _hints(function: Any) -> dict[str, Any]:
    if function is None:
        return {}
    try:
        return get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError, AttributeError):  # names that are there for a type checker alone
        return {}


def _parameters(function: Any) -> list[str]:
    return [] if function is None else list(inspect.signature(function).parameters)


def _named(function: Any) -> list[str]:
    """The parameters that a method takes by name."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    items = [] if function is None else inspect.signature(inspect.unwrap(function)).parameters.items()
    return [name for name, item in items if item.kind in kinds and name != "self"]


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
    try:
        return {"type": "object"} if adapter is None else adapter.json_schema()
    except PydanticInvalidForJsonSchema:  # it can be read from JSON, and no schema can tell how
        return {"type": "object"}


def _any_of(schemas: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of what fits one of several. What they refer to has to stand at the root."""
    definitions = {key: value for each in schemas for key, value in each.get("$defs", {}).items()}
    found: dict[str, Any] = {"anyOf": [{key: item for key, item in each.items() if key != "$defs"} for each in schemas]}
    return {**found, "$defs": definitions} if definitions else found


def text_field(action: Mapping[str, Any]) -> str | None:
    """Where a policy's plain text belongs, by the JSON Schema of an action: its only field that is needed, if that is

    text; else None. Of several kinds of actions the first that has one.
    """
    for each in (action, *action.get("anyOf", ())):
        needed = each.get("required", [])
        if len(needed) == 1 and each.get("properties", {}).get(needed[0], {}).get("type") == "string":
            return str(needed[0])
    return None


def _bounded(value: object, what: str) -> Any:
    """`value` as JSON has it; EnvironmentExecutionException where it cannot be, or is too long."""
    made = plain(value, what)
    if len(json.dumps(made)) > MAX_RESULT_BYTES:
        raise EnvironmentExecutionException(
            f"{what} is longer than {MAX_RESULT_BYTES:,} bytes", code="result_too_large"
        )
    return made


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
