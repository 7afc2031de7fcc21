"""MCP over HTTP as the protocol's text has it, and OpenEnv's older JSON-RPC on the same path."""

import json
from typing import Any

import anyio
import httpx
import pytest

from prismenv import Action, BaseEnvironment, EnvironmentConfig, environment_registry
from prismenv.engine.host.opening import HostedEnvironments

pytestmark = pytest.mark.anyio
ECHO, TRIED, TOOLED = "environment_echo", "environment_tried", "environment_tooled"
TOKEN, OTHER = "token-of-the-server-0123456789", "token-of-another-0123456789"
AT = f"/environments/{TOOLED}/mcp"
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
FIRST = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": INITIALIZE}
BOTH = {"Accept": "application/json, text/event-stream"}


@pytest.fixture
def hosted(with_tools: HostedEnvironments) -> HostedEnvironments:
    return with_tools


class Agent:
    """A client that knows nothing of us. `session` None: it has not initialised."""

    def __init__(self, client: httpx.AsyncClient, path: str = AT) -> None:
        self.client = client
        self.path = path
        self.session: str | None = None
        self.number = 0

    async def send(self, message: Any, **headers: str) -> httpx.Response:
        own = {} if self.session is None else {"Mcp-Session-Id": self.session}
        return await self.client.post(self.path, json=message, headers={**BOTH, **own, **headers})

    async def ask(self, method: str, params: Any = None, **headers: str) -> dict[str, Any]:
        self.number += 1
        message = {"jsonrpc": "2.0", "id": self.number, "method": method}
        answer = await self.send(message if params is None else {**message, "params": params}, **headers)
        told = answer.json()
        assert (told["jsonrpc"], told["id"]) == ("2.0", self.number)
        return {**told, "status": answer.status_code}

    async def initialize(self, version: str = "2025-11-25") -> dict[str, Any]:
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize"}
        answer = await self.send({**message, "params": {**INITIALIZE, "protocolVersion": version}})
        assert answer.status_code == 200, answer.text
        self.session = answer.headers["mcp-session-id"]
        noted = await self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert (noted.status_code, noted.content) == (202, b"")
        return dict(answer.json()["result"])

    async def call(self, name: str, arguments: Any = None, **more: Any) -> dict[str, Any]:
        params = {"name": name, **more} if arguments is None else {"name": name, "arguments": arguments, **more}
        return dict((await self.ask("tools/call", params))["result"])


async def test_what_may_be_null_is_told_in_the_form_that_most_clients_read(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        listed = (await Agent(client, f"/environments/{ECHO}/mcp").ask("tools/list"))["result"]["tools"]
        reset = listed[0]["inputSchema"]["properties"]
        for name, kind in (("seed", "integer"), ("episode_id", "string")):
            assert "type" not in reset[name]
            assert [each["type"] for each in reset[name]["anyOf"]] == [kind, "null"]


async def test_a_session_is_an_instance_from_initialize_to_delete(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        told = await agent.initialize()
        assert told["protocolVersion"] == "2025-11-25"
        assert told["serverInfo"]["name"] == TOOLED
        assert told["instructions"] == "A drawer.\n\nKeep your things in order."
        assert running.host.active == 1
        assert (await agent.call("reset", {"things": ["pen"]}))["structuredContent"]["observation"] == {"things": 1}
        assert (await agent.call("put", {"thing": "cup"}))["structuredContent"] == {"result": 2}
        looked = await agent.call("look")
        assert json.loads(looked["content"][0]["text"]) == looked["structuredContent"] == {"things": ["pen", "cup"]}
        assert (await agent.call("say", {"text": "hé"}))["content"] == [{"type": "text", "text": "hé"}]
        ended = await client.delete(AT, headers={"Mcp-Session-Id": agent.session})
        assert (ended.status_code, ended.content) == (204, b"")
        assert running.host.active == 0
        gone = await agent.ask("tools/list")
        assert (gone["status"], gone["error"]["code"]) == (404, -32600)
        again = await client.delete(AT, headers={"Mcp-Session-Id": agent.session})
        assert again.status_code == 404


async def test_an_episode_is_reset_stepped_read_and_closed_by_tools(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        await agent.initialize()
        early = await agent.call("put", {"thing": "pen"})
        assert (early["isError"], early["structuredContent"]["error"]["code"]) == (True, "no_episode")
        first = (await agent.call("reset", {"seed": 1, "episode_id": "mine"}))["structuredContent"]
        assert first == {"observation": {"things": 0}, "reward": None, "done": False}
        step = (await agent.call("step", {"action_str": "a"}))["structuredContent"]
        assert step == {"observation": {"obs_str": "heard a"}, "reward": 0.5, "done": False}
        assert (await agent.call("state"))["structuredContent"] == {"episode_id": "mine", "step_count": 1}
        last = await agent.call("submit")
        over = {"prismenv/reward": 1.0, "prismenv/done": True, "prismenv/truncated": False}
        assert last["_meta"] == {**over, "prismenv/info": {"llm_response": "done"}}
        assert (await agent.call("look"))["structuredContent"]["error"]["code"] == "episode_over"
        assert (await agent.call("close", {"now": True}))["isError"]
        assert (await agent.call("close"))["structuredContent"] == {"closed": True}
        assert running.host.active == 0
        assert (await agent.ask("ping"))["status"] == 404


async def test_every_environment_has_the_episodes_tools_with_schemas(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        listed = (await Agent(client, f"/environments/{ECHO}/mcp").ask("tools/list"))["result"]["tools"]
        tools = {each["name"]: each["inputSchema"] for each in listed}
        assert list(tools) == ["reset", "step", "state", "close"]
        assert tools["step"]["required"] == ["message"]
        assert set(tools["reset"]["properties"]) == {"seed", "episode_id"}
        assert all(schema["type"] == "object" for schema in tools.values())
        drawer = (await Agent(client).ask("tools/list"))["result"]["tools"]
        names = ["put", "look", "say", "submit", "count", "fail", "hang", "reset", "step", "state", "close"]
        assert [each["name"] for each in drawer] == names
        assert drawer[7]["inputSchema"]["properties"]["things"]["anyOf"][0] == {
            "items": {"type": "string"},
            "type": "array",
        }
        assert running.host.active == 0


class Named(Action):
    """Its only field has the name under which actions stand that are no objects."""

    action: str


class TakesNamed(BaseEnvironment):
    async def reset(self) -> str:
        return ""

    async def step(self, action: Named) -> str:
        return f"named {action.action}"


class TakesEither(BaseEnvironment):
    async def reset(self) -> str:
        return ""

    async def step(self, action: int | list[Named]) -> str:
        return f"took {action!r}"


async def test_an_action_that_is_no_object_stands_under_action(serve: Any, http: Any, hosted: Any) -> None:
    for name, cls in (("environment_named", TakesNamed), ("environment_either", TakesEither)):
        environment_registry.register(name)(cls)
        hosted.configs[name] = EnvironmentConfig()  # the fixture's own mapping
    async with serve() as running, http(running) as client:
        named = Agent(client, "/environments/environment_named/mcp")
        await named.initialize()
        await named.call("reset")
        step = await named.call("step", {"action": "a"})
        assert step["structuredContent"]["observation"] == {"obs_str": "named a"}
        either = Agent(client, "/environments/environment_either/mcp")
        await either.initialize()
        schema = next(each for each in (await either.ask("tools/list"))["result"]["tools"] if each["name"] == "step")
        assert set(schema["inputSchema"]) == {"type", "properties", "required", "$defs"}
        await either.call("reset")
        for action, said in ((7, "took 7"), ([{"action": "a"}], "took [Named(")):
            step = await either.call("step", {"action": action})
            assert said in step["structuredContent"]["observation"]["obs_str"]
        for wrong in ({}, {"number": 7}, {"action": 7, "more": 1}, {"action": "seven"}):
            assert (await either.call("step", wrong))["structuredContent"]["error"]["code"] == "bad_action"


async def test_the_state_and_the_system_prompt_are_resources(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        await agent.initialize()
        listed = (await agent.ask("resources/list"))["result"]["resources"]
        assert [each["uri"] for each in listed] == ["episode://state", "episode://system-prompt"]
        assert (await agent.ask("resources/templates/list"))["result"] == {"resourceTemplates": []}
        await agent.call("reset", {"episode_id": "mine"})
        state = (await agent.ask("resources/read", {"uri": "episode://state"}))["result"]["contents"][0]
        assert json.loads(state["text"]) == {"episode_id": "mine", "step_count": 0}
        assert state["mimeType"] == "application/json"
        prompt = (await agent.ask("resources/read", {"uri": "episode://system-prompt"}))["result"]["contents"][0]
        assert prompt["text"] == "Keep your things in order."
        for wrong in ("file:///etc/passwd", "episode://", 7, None):
            assert (await agent.ask("resources/read", {"uri": wrong}))["error"]["code"] == -32002


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        (("put", {"thing": 1}), "invalid_args", "thing"),
        (("put", {}), "invalid_args", "thing"),
        (("fail", {}), "execution_error", "ValueError: told to"),
        (("reset", {"seed": -1}), "bad_option", "seed"),
        (("step", {"action": 1}), "bad_action", "action"),
        (("state", {"more": 1}), "bad_action", "state takes no arguments"),
    ],
)
async def test_what_goes_wrong_in_a_call_is_a_result_that_the_agent_reads(
    serve: Any, http: Any, call: tuple[str, Any], code: str, said: str
) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        await agent.initialize()
        await agent.call("reset")
        result = await agent.call(*call)
        assert (result["isError"], result["structuredContent"]["error"]["code"]) == (True, code)
        assert said in result["content"][0]["text"]
        assert "conftest.py" not in json.dumps(result)
        assert (await agent.call("say", {"text": "still here"}))["isError"] is False


WRONG = [
    (b"{", 400, -32700),
    (b"\xff\xfe", 400, -32700),
    (b'{"id": NaN}', 400, -32700),
    (b"[" * 10_000, 400, -32700),
    (b"[]", 400, -32600),
    (b'{"id": 7, "method": "ping"}', 400, -32600),
    (b'{"jsonrpc": "1.0", "id": 7, "method": "ping"}', 400, -32600),
    (b'{"jsonrpc": "2.0", "id": 7}', 400, -32600),
    (b'{"jsonrpc": "2.0", "id": 7, "method": ["ping"]}', 400, -32600),
    (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', 400, -32600),
    (b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', 400, -32600),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "' + b"a" * 300 + b'"}', 400, -32600),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": []}', 200, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "dance"}', 200, -32601),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"cursor": "x"}}', 200, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call"}', 200, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "putt"}}', 200, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "put", "arguments": []}}', 200, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {}}', 200, -32602),
    (b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": ' + b'{"a":' * 90 + b"1" + b"}" * 91, 400, -32600),
]


@pytest.mark.parametrize(("content", "status", "code"), WRONG, ids=[str(number) for number in range(len(WRONG))])
async def test_a_message_that_is_wrong_is_told_so_in_the_protocols_words(
    serve: Any, http: Any, content: bytes, status: int, code: int
) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        await agent.initialize()
        for session in ({}, {"Mcp-Session-Id": agent.session}):
            headers = {**BOTH, **session, "Content-Type": "application/json"}
            answer = await client.post(AT, content=content, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
            assert answer.json()["id"] in (7, None)


async def test_what_the_protocol_leaves_to_http_is_http(serve: Any, http: Any) -> None:
    async with serve(wire={"message_bytes": 10_000}) as running, http(running) as client:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        kind = {"Content-Type": "application/json"}
        assert (await client.post(AT, content=b"a" * 20_000, headers=kind)).status_code == 413
        assert (await client.post(AT, content=json.dumps(ping))).status_code == 415
        assert (await client.get(AT)).status_code == 405
        assert (await client.post(AT, json=ping, headers={"Origin": "http://elsewhere"})).status_code == 403
        assert (await client.post(AT, json=ping, headers={"Host": "elsewhere"})).status_code == 403
        assert (await client.post("/environments/environment_tooles/mcp", json=ping)).status_code == 404
        assert (await client.post("/mcp", json=ping)).status_code == 404
        unknown = await client.post(AT, json=ping, headers={"MCP-Protocol-Version": "2026-07-28"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, -32022)
        assert "2025-11-25" in unknown.json()["error"]["data"]["supported"]
        assert (await client.post(AT, json=ping)).json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
    async with serve(only=TOOLED) as running, http(running) as client:
        assert (await client.post("/mcp", json=ping)).json()["result"] == {}


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_a_version_that_both_know_is_spoken_and_else_our_newest(serve: Any, http: Any, version: str) -> None:
    async with serve() as running, http(running) as client:
        assert (await Agent(client).initialize(version))["protocolVersion"] == version
        assert (await Agent(client).initialize("2199-01-01"))["protocolVersion"] == "2025-11-25"


async def test_a_tenant_reaches_no_session_of_another(serve: Any, http: Any) -> None:
    async with serve(tokens=(TOKEN, OTHER)) as running, http(running, TOKEN) as one, http(running, OTHER) as other:
        agent = Agent(one)
        await agent.initialize()
        thief = Agent(other)
        thief.session = agent.session
        assert (await thief.ask("tools/list"))["status"] == 404
        assert (await other.delete(AT, headers={"Mcp-Session-Id": str(agent.session)})).status_code == 404
        named = await thief.ask("tools/call", {"name": "look", "session_id": agent.session})
        assert named["status"] == 404
        thief.session = None
        older = await thief.ask("tools/call", {"name": "look", "session_id": agent.session})
        assert older["error"]["code"] == -32602
        assert (await agent.ask("ping"))["status"] == 200
        async with http(running) as nobody:
            assert (await nobody.post(AT, json={})).status_code == 401
            assert (await nobody.delete(AT)).status_code == 401


async def test_a_session_takes_a_place_and_one_that_does_nothing_makes_room(serve: Any, http: Any) -> None:
    async with serve(limits={"instances": 1, "queue_seconds": 0.1}) as running, http(running) as client:
        agent, late = Agent(client), Agent(client)
        await agent.initialize()
        await agent.call("reset")
        full = await late.ask("initialize", INITIALIZE)
        assert (full["status"], full["error"]["data"]["code"]) == (503, "capacity_reached")
        assert (full["error"]["data"]["active_sessions"], full["error"]["data"]["max_sessions"]) == (1, 1)
        await agent.call("submit")
        await late.initialize()
        assert (await agent.ask("ping"))["status"] == 404


async def test_a_session_ends_with_its_lease(serve: Any, http: Any, until: Any) -> None:
    async with serve(limits={"lease_seconds": 0.2}) as running, http(running) as client:
        agent = Agent(client)
        agent.session = (await agent.send(FIRST)).headers["mcp-session-id"]
        await until(lambda: running.host.active == 0)
        assert (await agent.ask("ping"))["status"] == 404


async def test_an_environment_that_does_not_open_or_has_no_prompt_takes_no_place(serve: Any, http: Any) -> None:
    async with serve(config={"boom": True}) as running, http(running) as client:
        for name in (TRIED, TOOLED):
            answer = await Agent(client, f"/environments/{name}/mcp").ask("initialize", INITIALIZE)
            assert answer["status"] in (500, 503)
            assert "no device" in answer["error"]["message"]
        assert running.host.active == 0


async def test_a_call_is_cancelled_by_its_number_or_with_its_session(
    serve: Any, http: Any, counts: Any, until: Any
) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        await agent.initialize()
        await agent.call("reset")
        call = {"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": {"name": "hang"}}
        answers: list[httpx.Response] = []

        async def hang() -> None:
            answers.append(await agent.send(call))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hang)
            await until(lambda: counts["hanging"] == 1)
            twice = await agent.send(call)
            assert twice.json()["error"]["code"] == -32600
            for other in ("fast", 7, None, True):
                note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": other}}
                assert (await agent.send(note)).status_code == 202
            note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}}
            assert (await agent.send(note)).status_code == 202
        assert (answers[0].json()["error"]["code"], counts["cancelled"]) == (-32800, 1)
        assert (await agent.call("look"))["structuredContent"]["error"]["code"] == "episode_over"
        await agent.call("reset")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hang)
            await until(lambda: counts["hanging"] == 2)
            assert (await client.delete(AT, headers={"Mcp-Session-Id": agent.session})).status_code == 204
        assert (counts["cancelled"], running.host.active) == (2, 0)


async def test_a_call_goes_on_when_its_connection_is_lost(serve: Any, http: Any, counts: Any, until: Any) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        await agent.initialize()
        await agent.call("reset")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.ask, "tools/call", {"name": "hang"})
            await until(lambda: counts["hanging"] == 1)
            tasks.cancel_scope.cancel()
        assert (await agent.ask("ping"))["status"] == 200
        assert counts["cancelled"] == 0
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": agent.number - 1}}
        await agent.send(note)
        await until(lambda: counts["cancelled"] == 1)


async def test_progress_is_told_in_a_stream_before_the_answer(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        await agent.initialize()
        await agent.call("reset")
        asked = {"name": "count", "arguments": {"to": 3}, "_meta": {"progressToken": "p"}}
        message = {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": asked}
        answer = await agent.send(message)
        assert answer.headers["content-type"] == "text/event-stream"
        events = [json.loads(each.partition("data: ")[2]) for each in answer.text.split("\r\n\r\n") if each]
        assert [each["params"] for each in events[:-1]] == [
            {"progressToken": "p", "progress": number, "total": 3, "message": f"at {number}"} for number in (1, 2, 3)
        ]
        assert events[-1]["id"] == 5
        assert events[-1]["result"]["structuredContent"] == {"result": 3}
        silent = {**message, "params": {**asked, "name": "look", "arguments": {}}}
        assert (await agent.send(silent)).json()["result"]["isError"] is False
        assert (await agent.send(message, Accept="application/json")).json()["result"]["isError"] is False
        wrong = {**message, "params": {**asked, "name": "cuont"}}
        assert (await agent.send(wrong)).json()["error"]["code"] == -32602


async def test_openenvs_older_json_rpc_has_sessions_of_its_own_and_a_default_instance(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        session = (await agent.ask("openenv/session/create"))["result"]["session_id"]
        own = {"session_id": session}
        assert len((await agent.ask("tools/list", own))["result"]["tools"]) == 11
        await agent.call("reset", **own)
        assert (await agent.call("put", {"thing": "pen"}, **own))["data"] == 1
        assert (await agent.call("look", **own))["data"] == {"things": ["pen"]}
        assert (await agent.call("say", {"text": "1"}, **own))["data"] == "1"
        await agent.call("reset")
        assert (await agent.call("look"))["data"] == {"things": []}
        assert (await client.get(f"/environments/{TOOLED}/state")).json()["step_count"] == 1
        for params, code in (
            ({"name": "fail", **own}, -32603),
            ({"name": "put", "arguments": {"thing": 1}, **own}, -32602),
            ({"name": "look", "session_id": "no-such"}, -32602),
            ({"name": "look", "session_id": 7}, -32602),
        ):
            failed = await agent.ask("tools/call", params)
            assert (failed["status"], failed["error"]["code"]) == (200, code)
        assert (await agent.ask("openenv/session/close", own))["result"] == {"session_id": session, "closed": True}
        assert (await agent.ask("openenv/session/close", own))["error"]["code"] == -32602
        assert (await agent.ask("openenv/session/close"))["error"]["code"] == -32602
        assert running.host.active == 1


async def test_a_call_without_a_session_is_cancelled_when_its_client_goes_away(
    serve: Any, http: Any, counts: Any, until: Any
) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        await agent.call("reset")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.ask, "tools/call", {"name": "hang"})
            await until(lambda: counts["hanging"] == 1)
            tasks.cancel_scope.cancel()
        await until(lambda: counts["cancelled"] == 1)


async def test_tools_are_actions_and_json_rpc_a_message_of_openenvs_websocket(serve: Any, talk: Any) -> None:
    async with serve() as running, talk(running, TOOLED) as client:
        listed = (await client.ask("step", {"type": "list_tools"}))["data"]["observation"]["tools"]
        assert [each["name"] for each in listed][:2] == ["put", "look"]
        assert set(listed[0]) == {"name", "description", "input_schema"}
        await client.ask("reset")
        called = await client.ask("step", {"type": "call_tool", "tool_name": "put", "arguments": {"thing": "pen"}})
        seen = {"tool_name": "put", "result": 1, "error": None}
        assert called == {"type": "observation", "data": {"observation": seen, "reward": None, "done": False}}
        wrong = await client.ask("step", {"type": "call_tool", "tool_name": "putt", "arguments": {}})
        assert wrong["data"]["observation"]["error"]["error_type"] == "tool_not_found"

        async def rpc(method: str, params: Any = None, **more: Any) -> dict[str, Any]:
            said = {"jsonrpc": "2.0", "id": 5, "method": method, "params": params or {}, **more}
            answer = await client.ask("mcp", said)
            assert (answer["type"], answer["data"]["id"]) == ("mcp", 5)
            return dict(answer["data"])

        assert len((await rpc("tools/list"))["result"]["tools"]) == 7
        assert (await rpc("tools/call", {"name": "look"}))["result"]["data"] == {"things": ["pen"]}
        assert "session_id" in (await rpc("openenv/session/create"))["result"]
        codes = [
            (await rpc("openenv/session/close", {"session_id": "x"}))["error"]["code"],
            (await rpc("tools/call", {"name": "reset"}))["error"]["code"],
            (await rpc("tools/call", {"name": "fail"}))["error"]["code"],
            (await rpc("dance"))["error"]["code"],
            (await rpc("ping", jsonrpc="1.0"))["error"]["code"],
        ]
        assert codes == [-32600, -32602, -32603, -32601, -32600]
        assert (await client.ask("mcp", {"jsonrpc": "2.0", "result": {}}))["data"]["error"]["code"] == -32600


async def test_calls_are_counted_by_method_and_never_by_what_a_client_made_up(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        agent = Agent(client)
        await agent.initialize()
        await agent.call("reset")
        await agent.ask("made/up")
        page = (await client.get("/metrics")).text
        assert f'call="tools/call",environment="{TOOLED}",outcome="ok"' in page
        assert 'call="unknown"' in page
        assert "made/up" not in page
