"""What an agent can call on an instance: the author's tools, and those of the episode.

Results have MCP's shape. What goes wrong in a call is a result too (`isError`), for the agent is the one who can do
something about it; only a call of what is not there is an error of the protocol.
"""

import json
from collections.abc import Mapping
from typing import Any

from prismenv.contracts.episode import StepResult, plain, result_document
from prismenv.contracts.face import EpisodeTypes
from prismenv.contracts.tool import ToolAnswer
from prismenv.engine.host.instance import Instance
from prismenv.server.environments.jsonrpc import INVALID_PARAMS, RpcException
from prismenv.words.errors import ActionException, EnvironmentException, HostException
from prismenv.words.nearness import did_you_mean

RESET, STEP, STATE, CLOSE = "reset", "step", "state", "close"
_ABOUT = {
    RESET: "Begin a new episode, also in the middle of one, and see the first observation.",
    STEP: "Take one step of the episode with an action; see the observation, the reward, and whether it is done.",
    STATE: "Read the state of the episode, its id and its number of steps. Changes nothing.",
    CLOSE: "End the episode and the session, and give its place back. Nothing can be called after it.",
}
_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
_WRAPPED = "action"  # where an action stands that is no object
_META = "prismenv/"  # before our keys of a result's `_meta`


def episode_tools(types: EpisodeTypes) -> tuple[str, ...]:
    """Which of the episode's tools there are; none where the environment has no episodes."""
    if not types.episodes:
        return ()
    return (RESET, STEP, STATE, CLOSE) if types.steps else (RESET, STATE, CLOSE)


def listed(types: EpisodeTypes, *, own_only: bool = False) -> list[dict[str, Any]]:
    """The tools as MCP lists them. `own_only`: without the episode's."""
    found = [
        {"name": each.name, "description": each.description, "inputSchema": dict(each.schema)}
        for each in types.tools.values()
    ]
    for name in () if own_only else episode_tools(types):
        schema = dict(_NOTHING)
        if name in (RESET, STEP):
            schema = types.reset_schema() if name == RESET else step_schema(types)
        found.append({"name": name, "description": _ABOUT[name], "inputSchema": schema})
    return found


def step_schema(types: EpisodeTypes) -> dict[str, Any]:
    """The schema of step's arguments: the action itself where it is an object, else one that holds it."""
    schema = types.action_schema()
    if types.action_is_object:
        return schema
    definitions = schema.pop("$defs", None)
    found: dict[str, Any] = {"type": "object", "properties": {_WRAPPED: schema}, "required": [_WRAPPED]}
    return {**found, "$defs": definitions} if definitions else found


def require_tool(types: EpisodeTypes, name: Any, *, own_only: bool = False) -> str:
    """The name of a tool that there is; RpcException for any other."""
    known = [*types.tools, *(() if own_only else episode_tools(types))]
    if not isinstance(name, str):
        raise RpcException(INVALID_PARAMS, "name must be the name of a tool")
    if name not in known:
        raise RpcException(INVALID_PARAMS, f"unknown tool {name!r:.80}{did_you_mean(name, known)}")
    return name


async def call_tool(instance: Instance, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call a tool that there is, but for `close`, and give the result. HostException where the instance is gone."""
    try:
        if name == RESET:
            return told(result_document(await instance.reset(arguments)))
        if name == STEP:
            return told(result_document(await instance.step(_action_in(instance.face.types, arguments))))
        if name == STATE:
            require_nothing(STATE, arguments)
            return told(await instance.state())
        return _answered(await instance.call_tool(name, arguments))
    except HostException:
        raise
    except EnvironmentException as error:
        errors = list(error.errors) if isinstance(error, ActionException) else []
        return failed(error.code, str(error), errors)


def _action_in(types: EpisodeTypes, arguments: Mapping[str, Any]) -> Any:
    """The action in the arguments of `step`, as `step_schema` has it."""
    if types.action_is_object:
        return arguments
    if list(arguments) != [_WRAPPED]:
        raise ActionException(f"{STEP} takes one argument, {_WRAPPED!r}")
    return arguments[_WRAPPED]


def require_nothing(name: str, arguments: Mapping[str, Any]) -> None:
    """ActionException where a tool without arguments was given some."""
    if arguments:
        raise ActionException(f"{name} takes no arguments")


def told(value: Any) -> dict[str, Any]:
    """A result: text as it is, anything else as JSON and as an object."""
    if isinstance(value, str):
        return {"content": [{"type": "text", "text": value}], "isError": False}
    whole = value if isinstance(value, dict) else {"result": value}
    text = json.dumps(value, ensure_ascii=False)
    return {"content": [{"type": "text", "text": text}], "structuredContent": whole, "isError": False}


def failed(code: str, message: str, errors: list[Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """A result that says what went wrong. `errors`: the fields of an action that are."""
    wrong: dict[str, Any] = {"code": code, "message": message, **({"errors": errors} if errors else {})}
    text = [{"type": "text", "text": message}]
    return {"content": text, "structuredContent": {"error": wrong}, "isError": True}


def _answered(result: StepResult[ToolAnswer]) -> dict[str, Any]:
    answer = result.observation
    if answer.error is not None:
        return failed(answer.error.error_type, answer.error.message)
    found = told(answer.result)
    if result.done or result.reward is not None:
        found["_meta"] = {
            f"{_META}reward": result.reward,
            f"{_META}done": result.done,
            f"{_META}truncated": result.truncated,
        }
    if result.info:
        found.setdefault("_meta", {})[f"{_META}info"] = plain(dict(result.info), "an info")
    return found
