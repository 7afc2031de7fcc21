"""What a server of MCP's streamable HTTP has to do, in the revisions that begin with `initialize`.

The subject's URL is that of the server, as for the other protocols: its endpoint is `/mcp` below it.
"""

from collections.abc import Mapping
from typing import Any

from prismenv.conformance.check import NotApplicable, Suite, require
from prismenv.conformance.wire import Answer, Wire

MCP = Suite("mcp")
VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
SESSION = "mcp-session-id"
_AT = "/mcp"
_ACCEPT = {"Accept": "application/json, text/event-stream"}
_OK, _ACCEPTED, _NOT_FOUND, _NOT_ALLOWED = 200, 202, 404, 405


class _Session:
    """A session of a server; one that gives no id has none, which is allowed."""

    def __init__(self, wire: Wire, answer: Answer) -> None:
        self._wire = wire
        self.id = answer.headers.get(SESSION)
        self.result: dict[str, Any] = answer.document["result"]
        self._number = 0

    @property
    def headers(self) -> dict[str, str]:
        own = {} if self.id is None else {SESSION: self.id}
        return {**_ACCEPT, **own, "MCP-Protocol-Version": str(self.result["protocolVersion"])}

    async def call(self, method: str, params: Any = None, request_id: Any = None) -> dict[str, Any]:
        """The answer to a call, whose id is checked."""
        self._number += 1
        asked = self._number if request_id is None else request_id
        message = {"jsonrpc": "2.0", "id": asked, "method": method, "params": params or {}}
        answer = await self._wire.ask("POST", _AT, message, headers=self.headers)
        return _answer_of(answer, asked)

    async def note(self, method: str) -> Answer:
        """A notification."""
        return await self._wire.ask("POST", _AT, {"jsonrpc": "2.0", "method": method}, headers=self.headers)


def _answer_of(answer: Answer, request_id: Any) -> dict[str, Any]:
    found = answer.document
    require(isinstance(found, dict) and found.get("jsonrpc") == "2.0", "an answer of JSON-RPC 2.0")
    assert isinstance(found, dict)  # noqa: S101 - for mypy
    require(found.get("id") == request_id and type(found.get("id")) is type(request_id), f"the id {request_id!r}")
    require(("result" in found) != ("error" in found), "a result or an error")
    return found


def _result(answer: Mapping[str, Any]) -> dict[str, Any]:
    found = answer.get("result")
    require(isinstance(found, dict), "a result that is an object")
    assert isinstance(found, dict)  # noqa: S101 - for mypy
    return found


async def _begun(wire: Wire, version: str = VERSIONS[-1], *, ready: bool = True) -> _Session:
    told = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "conformance", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": told}
    answer = await wire.ask("POST", _AT, message, headers=_ACCEPT)
    require(answer.status == _OK, "status 200")
    _result(_answer_of(answer, 0))
    session = _Session(wire, answer)
    require(isinstance(session.result.get("protocolVersion"), str), "a protocolVersion")
    if ready:
        await session.note("notifications/initialized")
    return session


async def _ended(wire: Wire, session: _Session) -> Answer | None:
    """Give the session back; None: it has none."""
    return None if session.id is None else await wire.ask("DELETE", _AT, headers=session.headers)


@MCP.check("initialize", "initialize tells version, capabilities and the server's name")
async def _initialize(wire: Wire) -> None:
    session = await _begun(wire)
    info = session.result.get("serverInfo")
    require(isinstance(session.result.get("capabilities"), dict), "capabilities that are an object")
    require(isinstance(info, dict) and isinstance(info.get("name"), str), "a serverInfo with a name")
    require(session.id is None or (session.id.isascii() and session.id.isprintable()), "an id of visible ASCII")
    await _ended(wire, session)


@MCP.check("version", "a version that the server knows is taken as it is")
async def _version(wire: Wire) -> None:
    session = await _begun(wire, "2025-06-18")
    require(session.result["protocolVersion"] == "2025-06-18", "the version 2025-06-18")
    await _ended(wire, session)


@MCP.check("unknown_version", "a version that nobody knows is answered with one that the server knows")
async def _unknown_version(wire: Wire) -> None:
    session = await _begun(wire, "1999-01-01", ready=False)
    require(session.result["protocolVersion"] != "1999-01-01", "another version")
    await _ended(wire, session)


@MCP.check("notification", "a notification is accepted with 202 and no body")
async def _notification(wire: Wire) -> None:
    session = await _begun(wire, ready=False)
    answer = await session.note("notifications/initialized")
    require(answer.status == _ACCEPTED and not answer.body, "status 202 and no body")
    await _ended(wire, session)


@MCP.check("ping", "ping is answered with an empty object, under ids of both kinds")
async def _ping(wire: Wire) -> None:
    session = await _begun(wire)
    for request_id in (7, "seven"):
        require(_result(await session.call("ping", request_id=request_id)) == {}, "{}")
    await _ended(wire, session)


@MCP.check("tools", "tools/list has tools with names and schemas of objects")
async def _tools(wire: Wire) -> None:
    session = await _begun(wire)
    if "tools" not in session.result["capabilities"]:
        raise NotApplicable("a server that says that it has tools")
    tools = _result(await session.call("tools/list")).get("tools")
    require(isinstance(tools, list), "tools that are a list")
    for each in tools if isinstance(tools, list) else ():
        schema = each.get("inputSchema") if isinstance(each, dict) else None
        require(isinstance(schema, dict) and schema.get("type") == "object", 'an inputSchema of type "object"')
        require(isinstance(each.get("name"), str) and each["name"], "a name")
    await _ended(wire, session)


@MCP.check("unknown_tool", "a tool that there is not is an error")
async def _unknown_tool(wire: Wire) -> None:
    session = await _begun(wire)
    answer = await session.call("tools/call", {"name": "no-such-tool", "arguments": {}})
    failed = "error" in answer or _result(answer).get("isError") is True
    require(failed, "an error, or a result with isError")
    await _ended(wire, session)


@MCP.check("unknown_method", "a method that there is not is the error -32601")
async def _unknown_method(wire: Wire) -> None:
    session = await _begun(wire)
    error = (await session.call("no/such/method")).get("error")
    require(isinstance(error, dict) and error.get("code") == -32601, "the code -32601")  # noqa: PLR2004
    require(isinstance(error, dict) and isinstance(error.get("message"), str), "a message")
    await _ended(wire, session)


@MCP.check("bad_json", "a body that is no JSON is refused")
async def _bad_json(wire: Wire) -> None:
    session = await _begun(wire)
    answer = await wire.ask("POST", _AT, b"{", headers=session.headers)
    require(answer.status in range(400, 500), "a status of 400 to 499")
    still = await session.call("ping")
    require("result" in still, "the session to go on")
    await _ended(wire, session)


@MCP.check("unknown_session", "a session that there is not is answered with 404")
async def _unknown_session(wire: Wire) -> None:
    session = await _begun(wire)
    if session.id is None:
        raise NotApplicable("a server that gives sessions ids")
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = await wire.ask("POST", _AT, message, headers={**session.headers, SESSION: "no-such-session"})
    require(answer.status == _NOT_FOUND, "status 404")
    await _ended(wire, session)


@MCP.check("delete", "DELETE ends a session, after which it is not there; or it is not allowed (405)")
async def _delete(wire: Wire) -> None:
    session = await _begun(wire)
    answer = await _ended(wire, session)
    if answer is None or answer.status == _NOT_ALLOWED:
        raise NotApplicable("a server whose clients end sessions")
    require(answer.status in range(200, 300), "a status of 200 to 299")
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    after = await wire.ask("POST", _AT, message, headers=session.headers)
    require(after.status == _NOT_FOUND, "status 404")


@MCP.check("bad_version", "a header with a version that nobody knows is refused with 400")
async def _bad_version(wire: Wire) -> None:
    session = await _begun(wire)
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    headers = {**session.headers, "MCP-Protocol-Version": "1999-01-01"}
    require((await wire.ask("POST", _AT, message, headers=headers)).status == 400, "status 400")  # noqa: PLR2004
    await _ended(wire, session)


@MCP.check("origin", "a page of another origin is refused with 403")
async def _origin(wire: Wire) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = await wire.ask("POST", _AT, message, headers={**_ACCEPT, "Origin": "http://elsewhere.invalid"})
    require(answer.status == 403, "status 403")  # noqa: PLR2004
