"""MCP's methods on an instance, whatever they came by: HTTP with or without a session, or a message of a WebSocket.

The protocol's revisions that begin with `initialize` are spoken: their sessions are what an instance belongs to. The
one without sessions (2026-07-28) is declined in its own words, and clients that know both go back to these.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from prismenv import __version__
from prismenv.contracts.face import EpisodeTypes
from prismenv.engine.host.instance import Instance
from prismenv.server.environments.agenttools import call_tool, listed, require_tool
from prismenv.server.environments.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NO_RESOURCE,
    Call,
    RpcException,
    error_of,
    id_of,
    read_call,
    result_of,
)
from prismenv.words.errors import ActionException, EnvironmentException, HostException

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")  # oldest first
INITIALIZE, CREATE, END = "initialize", "openenv/session/create", "openenv/session/close"
TOOLS_LIST, TOOLS_CALL = "tools/list", "tools/call"
STATE_URI, PROMPT_URI = "episode://state", "episode://system-prompt"
_RESOURCES = (
    {
        "uri": STATE_URI,
        "name": "state",
        "description": "The state of the episode, its id and its number of steps.",
        "mimeType": "application/json",
    },
    {
        "uri": PROMPT_URI,
        "name": "system_prompt",
        "description": "What a policy is told before the first observation; empty where that is nothing.",
        "mimeType": "text/plain",
    },
)


def introduction(name: str, asked: Any, instructions: str) -> dict[str, Any]:
    """The answer to `initialize`: the version that both know, or our newest, and what there is here."""
    if not isinstance(asked, str):
        raise RpcException(INVALID_PARAMS, "protocolVersion must be text")
    return {
        "protocolVersion": asked if asked in VERSIONS else VERSIONS[-1],
        "capabilities": {"tools": {"listChanged": False}, "resources": {"listChanged": False, "subscribe": False}},
        "serverInfo": {"name": name, "version": __version__},
        "instructions": instructions,
    }


def answer_at_once(types: EpisodeTypes, call: Call) -> dict[str, Any] | None:
    """The answer to what needs no instance; None: it needs one."""
    if call.method == "ping":
        return {}
    lists: dict[str, Callable[[], dict[str, Any]]] = {
        TOOLS_LIST: lambda: {"tools": listed(types)},
        "resources/list": lambda: {"resources": list(_RESOURCES) if types.episodes else []},
        "resources/templates/list": lambda: {"resourceTemplates": []},
    }
    if call.method in lists:
        if call.params.get("cursor") is not None:
            raise RpcException(INVALID_PARAMS, "unknown cursor: everything is on one page")
        return lists[call.method]()
    if call.method not in _ON_INSTANCES:
        raise RpcException(METHOD_NOT_FOUND, f"there is no method {call.method!r:.80} here")
    return None


async def answer(instance: Instance, call: Call) -> dict[str, Any]:
    """The answer to any method but those that begin and end sessions; `close` is one of those.

    RpcException says why there is none; HostException: the instance is gone.
    """
    found = answer_at_once(instance.face.types, call)
    return await _ON_INSTANCES[call.method](instance, call.params) if found is None else found


def asked_tool(types: EpisodeTypes, params: Mapping[str, Any], *, own_only: bool = False) -> tuple[str, dict[str, Any]]:
    """Which tool is called, and with what. RpcException where there is no such, or the arguments are no object."""
    name = require_tool(types, params.get("name"), own_only=own_only)
    arguments = params.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise RpcException(INVALID_PARAMS, "arguments must be an object")
    return name, arguments or {}


def older(result: dict[str, Any]) -> dict[str, Any]:
    """The result of a tool as OpenEnv's own clients read it too: what it returned, under `data`.

    RpcException for one that says what went wrong: they know of no such results.
    """
    text = result["content"][0]["text"]
    if result["isError"]:
        wrong = result["structuredContent"]["error"]
        refused = wrong["code"] in (ActionException.default_code, "invalid_args")
        raise RpcException(INVALID_PARAMS if refused else INTERNAL_ERROR, text, wrong)
    return {**result, "data": json.loads(text) if "structuredContent" in result else text}


async def answer_frame(instance: Instance, message: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to JSON-RPC in a message of OpenEnv's WebSocket, which has the episode's calls of its own."""
    request_id = id_of(message)
    try:
        return result_of(request_id, await _in_frame(instance, read_call(message)))
    except RpcException as error:
        return error_of(request_id, error)


async def _in_frame(instance: Instance, call: Call | None) -> dict[str, Any]:
    if call is None:
        raise RpcException(INVALID_REQUEST, "nothing was asked")
    types = instance.face.types
    if call.method == CREATE:
        return {"session_id": instance.instance_id}
    if call.method == END:
        raise RpcException(INVALID_REQUEST, "the session of a WebSocket ends with it: send a message of type close")
    if call.method == TOOLS_LIST:
        return {"tools": listed(types, own_only=True)}
    if call.method == TOOLS_CALL:
        name, arguments = asked_tool(types, call.params, own_only=True)
        return older(await call_tool(instance, name, arguments))
    raise RpcException(METHOD_NOT_FOUND, f"there is no method {call.method!r:.80} here")


async def _call(instance: Instance, params: Mapping[str, Any]) -> dict[str, Any]:
    name, arguments = asked_tool(instance.face.types, params)
    return await call_tool(instance, name, arguments)


async def _read(instance: Instance, params: Mapping[str, Any]) -> dict[str, Any]:
    uri = params.get("uri")
    known = {each["uri"]: each["mimeType"] for each in _RESOURCES} if instance.face.types.episodes else {}
    if not isinstance(uri, str) or uri not in known:
        raise RpcException(NO_RESOURCE, f"there is no resource {uri!r:.200}", {"uri": str(uri)[:200]})
    try:
        if uri == STATE_URI:
            text = json.dumps(await instance.state(), ensure_ascii=False)
        else:
            text = await instance.system_prompt() or ""
    except HostException:
        raise
    except EnvironmentException as error:
        raise RpcException(INTERNAL_ERROR, str(error), {"code": error.code}) from error
    return {"contents": [{"uri": uri, "mimeType": known[uri], "text": text}]}


_ON_INSTANCES: dict[str, Callable[[Instance, Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
    TOOLS_CALL: _call,
    "resources/read": _read,
}
METHODS = (INITIALIZE, CREATE, END, TOOLS_LIST, "ping", "resources/list", "resources/templates/list", *_ON_INSTANCES)
