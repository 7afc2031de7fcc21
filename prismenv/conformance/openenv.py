"""What a server of OpenEnv's protocol has to do, over its WebSocket and over plain HTTP."""

from collections.abc import Mapping
from typing import Any

from prismenv.conformance.check import Mismatch, NotApplicable, Suite, require
from prismenv.conformance.sample import sample
from prismenv.conformance.wire import Talk, Wire

OPENENV = Suite("openenv")
NORMAL_CLOSURE = 1000
_FULL = "CAPACITY_REACHED"


async def _action(wire: Wire) -> dict[str, Any]:
    """A valid action: the one that was given, else the least that the server's schema takes."""
    if wire.subject.action is not None:
        return dict(wire.subject.action)
    answer = await wire.ask("GET", "/schema")
    schema = answer.document.get("action") if isinstance(answer.document, Mapping) else None
    made = sample(schema) if isinstance(schema, Mapping) else None
    if not isinstance(made, dict):
        raise NotApplicable("an action, which /schema does not tell: give one with --action")
    return made


async def _reset(talk: Talk, data: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return _observed(await talk.ask("reset", dict(data or {})))


def _observed(message: Mapping[str, Any]) -> dict[str, Any]:
    """The data of an observation, whose shape is checked."""
    data = message.get("data")
    require(message.get("type") == "observation", 'a message of type "observation"')
    require(isinstance(data, dict), "data that is an object")
    assert isinstance(data, dict)  # noqa: S101 - for mypy
    require(isinstance(data.get("observation"), dict), "data.observation that is an object")
    reward = data.get("reward")
    require(reward is None or (isinstance(reward, int | float) and not isinstance(reward, bool)), "a number or null")
    require("reward" in data and isinstance(data.get("done"), bool), "data.reward, and data.done true or false")
    return data


async def _steps(talk: Talk) -> int:
    message = await talk.ask("state")
    data = message.get("data")
    require(message.get("type") == "state", 'a message of type "state"')
    require(isinstance(data, dict) and "episode_id" in data, "data with an episode_id")
    count = data.get("step_count") if isinstance(data, dict) else None
    if not isinstance(count, int) or isinstance(count, bool):
        raise Mismatch("a step_count that is an integer")
    return count


async def _refused(talk: Talk, said: Any, code: str) -> None:
    """The message is answered with that error, and the session goes on."""
    await talk.say(said)
    _require_error(await talk.hear(), code)
    answer = await talk.ask("state")
    require(answer.get("type") == "state", f"the session to go on after {code}")


async def _ended(wire: Wire, said: Any) -> None:
    """The message is answered with SESSION_ERROR, and the connection closed."""
    async with wire.talk() as talk:
        await _reset(talk)
        await talk.say(said)
        _require_error(await talk.hear(), "SESSION_ERROR")
        require(await talk.closed() == NORMAL_CLOSURE, f"the connection to be closed with {NORMAL_CLOSURE}")


def _require_error(message: Mapping[str, Any], code: str) -> None:
    data = message.get("data")
    require(message.get("type") == "error" and isinstance(data, dict), f"an error with the code {code}")
    assert isinstance(data, dict)  # noqa: S101 - for mypy
    require(data.get("code") == code, f"the code {code}")
    require(isinstance(data.get("message"), str) and data["message"], "a message that says what is wrong")


@OPENENV.check("health", "GET /health says that the server is healthy")
async def _health(wire: Wire) -> None:
    answer = await wire.ask("GET", "/health")
    require(answer.status == 200, "status 200")  # noqa: PLR2004
    require(isinstance(answer.document, dict) and answer.document.get("status") == "healthy", '{"status": "healthy"}')


@OPENENV.check("schema", "GET /schema has JSON Schemas of action, observation and state")
async def _schema(wire: Wire) -> None:
    answer = await wire.ask("GET", "/schema")
    found = answer.document if isinstance(answer.document, dict) else {}
    require(all(isinstance(found.get(key), dict) for key in ("action", "observation", "state")), "three objects")


@OPENENV.check("metadata", "GET /metadata names the environment")
async def _metadata(wire: Wire) -> None:
    answer = await wire.ask("GET", "/metadata")
    named = isinstance(answer.document, dict) and isinstance(answer.document.get("name"), str)
    require(named and "description" in answer.document, "an object with name and description")


@OPENENV.check("reset", "reset over the WebSocket gives an observation that is not done")
async def _begins(wire: Wire) -> None:
    async with wire.talk() as talk:
        require((await _reset(talk))["done"] is False, "done false")


@OPENENV.check("reset_bare", "reset needs no data")
async def _begins_bare(wire: Wire) -> None:
    async with wire.talk() as talk:
        _observed(await talk.ask("reset"))


@OPENENV.check("episode_id", "an episode has the id that reset names")
async def _episode_id(wire: Wire) -> None:
    async with wire.talk() as talk:
        await _reset(talk, {"seed": 1, "episode_id": "conformance-1"})
        answer = await talk.ask("state")
        data = answer.get("data")
        require(isinstance(data, dict) and data.get("episode_id") == "conformance-1", "the episode_id conformance-1")


@OPENENV.check("step", "a step gives an observation, and the state counts it")
async def _step(wire: Wire) -> None:
    action = await _action(wire)
    async with wire.talk() as talk:
        await _reset(talk)
        before = await _steps(talk)
        _observed(await talk.ask("step", action))
        require(await _steps(talk) == before + 1, f"a step_count of {before + 1}")


@OPENENV.check("reset_again", "reset in the middle of an episode begins a new one, whose steps are counted anew")
async def _again(wire: Wire) -> None:
    action = await _action(wire)
    async with wire.talk() as talk:
        await _reset(talk)
        await talk.ask("step", action)
        await _reset(talk)
        require(await _steps(talk) == 0, "a step_count of 0")


@OPENENV.check("seed", "the same seed gives the same first observation")
async def _seed(wire: Wire) -> None:
    async with wire.talk() as talk:
        first = (await _reset(talk, {"seed": 7}))["observation"]
        require((await _reset(talk, {"seed": 7}))["observation"] == first, f"the observation {first!r:.200}")


@OPENENV.check("invalid_json", "what is no JSON is told so, and the session goes on")
async def _invalid_json(wire: Wire) -> None:
    async with wire.talk() as talk:
        await _reset(talk)
        await _refused(talk, "{", "INVALID_JSON")


@OPENENV.check("unknown_type", "an unknown type is told so, and the session goes on")
async def _unknown_type(wire: Wire) -> None:
    async with wire.talk() as talk:
        await _reset(talk)
        await _refused(talk, {"type": "no-such-type"}, "UNKNOWN_TYPE")


@OPENENV.check("unknown_key", "an unknown key beside type and data is refused, and the session goes on")
async def _unknown_key(wire: Wire) -> None:
    async with wire.talk() as talk:
        await _reset(talk)
        await _refused(talk, {"type": "reset", "data": {}, "no_such_key": 1}, "VALIDATION_ERROR")


@OPENENV.check("wrong_action", "an action that is none is refused, and the episode goes on")
async def _wrong_action(wire: Wire) -> None:
    action = await _action(wire)
    async with wire.talk() as talk:
        await _reset(talk)
        before = await _steps(talk)
        await _refused(talk, {"type": "step", "data": []}, "VALIDATION_ERROR")
        require(await _steps(talk) == before, f"a step_count of {before}: nothing was done")
        _observed(await talk.ask("step", action))


@OPENENV.check("binary", "a binary frame ends the session")
async def _binary(wire: Wire) -> None:
    await _ended(wire, b"\x00\x01")


@OPENENV.check("no_object", "JSON that is no object ends the session")
async def _no_object(wire: Wire) -> None:
    await _ended(wire, "[]")


@OPENENV.check("close", "close closes the connection in good order")
async def _close(wire: Wire) -> None:
    async with wire.talk() as talk:
        await _reset(talk)
        await talk.say({"type": "close"})
        require(await talk.closed() == NORMAL_CLOSURE, f"the connection to be closed with {NORMAL_CLOSURE}")


@OPENENV.check("isolation", "two sessions know nothing of each other")
async def _isolation(wire: Wire) -> None:
    action = await _action(wire)
    async with wire.talk() as one, wire.talk() as other:
        await _reset(one)
        begun = await other.ask("reset", {})
        data = begun.get("data")
        if begun.get("type") == "error" and isinstance(data, dict) and data.get("code") == _FULL:
            raise NotApplicable("room for a second session")
        await one.ask("step", action)
        require(await _steps(other) == 0, "a step_count of 0 in the session that did nothing")


@OPENENV.check("http_reset", "POST /reset gives an observation")
async def _http_reset(wire: Wire) -> None:
    answer = await wire.ask("POST", "/reset", {})
    require(answer.status == 200, "status 200")  # noqa: PLR2004
    _observed({"type": "observation", "data": answer.document})


@OPENENV.check("http_step", "POST /step takes an action, and refuses a body without one with 422")
async def _http_step(wire: Wire) -> None:
    action = await _action(wire)
    await wire.ask("POST", "/reset", {})
    answer = await wire.ask("POST", "/step", {"action": action})
    require(answer.status == 200, "status 200")  # noqa: PLR2004
    _observed({"type": "observation", "data": answer.document})
    require((await wire.ask("POST", "/step", {})).status == 422, "status 422")  # noqa: PLR2004


@OPENENV.check("http_state", "GET /state has episode_id and step_count")
async def _http_state(wire: Wire) -> None:
    found = (await wire.ask("GET", "/state")).document
    require(isinstance(found, dict) and {"episode_id", "step_count"} <= found.keys(), "episode_id and step_count")


@OPENENV.check("mcp_message", "a message of type mcp is answered with JSON-RPC of the same id")
async def _mcp_message(wire: Wire) -> None:
    async with wire.talk() as talk:
        await _reset(talk)
        answer = await talk.ask("mcp", {"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {}})
        data = answer.get("data")
        require(answer.get("type") == "mcp" and isinstance(data, dict), 'a message of type "mcp"')
        assert isinstance(data, dict)  # noqa: S101 - for mypy
        require(data.get("jsonrpc") == "2.0" and data.get("id") == 7, "JSON-RPC with the id 7")  # noqa: PLR2004
        require(("result" in data) != ("error" in data), "a result or an error")
