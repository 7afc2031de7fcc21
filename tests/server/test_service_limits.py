"""Who may ask what of the service, and how much of it."""

import json
import socket
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.keys import KeySource
from prismenv.server.serving import ServeSettings, listen, running_service
from prismenv.server.tokens import Tokens, read_tokens
from prismenv.testing.transport import HeldTransport
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

pytestmark = pytest.mark.anyio
FENCED = "```python\ndef solution():\n    return 1\n```"
SOLVER = "problem_solver"
PROBLEM = {"problem_statement": "P"}
MINE, THEIRS = "token-of-mine-0123456789", "token-of-theirs-0123456789"
JSON = {"Content-Type": "application/json"}


def question(**changes: Any) -> dict[str, Any]:
    return {"session_id": "s-1", "input_data": PROBLEM, "role": SOLVER, **changes}


async def test_another_tokens_session_and_task_look_as_if_they_were_not_there(serve: Any, http: Any) -> None:
    async with (
        serve(tokens=(MINE, THEIRS)) as running,
        http(running, MINE) as mine,
        http(running, THEIRS) as theirs,
    ):
        await mine.post("/interact", json=question())
        opened = (await mine.post("/initialize", json={"role": SOLVER})).json()["session_id"]
        asked = {"session_id": opened, "input_data": PROBLEM}
        task = (await mine.post("/interact", json=asked, headers={"Prefer": "wait=30"})).json()["task_id"]
        for method, path in (
            ("GET", "/session_history/{}"),
            ("DELETE", "/session/{}"),
            ("GET", "/task_status/{}"),
        ):
            name = task if "task" in path else opened
            there = await theirs.request(method, path.format(name))
            nowhere = await theirs.request(method, path.format("x" * len(name)))
            assert there.status_code == nowhere.status_code == 404
            assert there.text.replace(name, "NAME") == nowhere.text.replace("x" * len(name), "NAME")
        assert (await theirs.get("/active_sessions")).json() == {}
        # The same name is another session for another token, without what was said in the first.
        await theirs.post("/interact", json=question(input_data={"problem_statement": "Q"}))
        ours = (await mine.get("/session_history/s-1")).json()["history"][SOLVER]["history"]
        other = (await theirs.get("/session_history/s-1")).json()["history"][SOLVER]["history"]
        assert [each["problem_statement"] for each in (*ours, *other)] == ["P", "Q"]
        assert (await mine.get(f"/task_status/{task}")).json()["status"] == "completed"


async def test_without_a_valid_token_there_is_only_what_says_nothing(serve: Any, http: Any) -> None:
    headers = ["", "Bearer", "Bearer wrong", f"Basic {MINE}", MINE, f"Bearer {MINE}x", f"Bearer {MINE[:-1]}"]
    asked = ("/interact", "/initialize", "/task_status/t", "/session_history/s", "/active_sessions", "/session/s")
    methods = {"/interact": "POST", "/initialize": "POST", "/session/s": "DELETE"}
    async with serve(tokens=(MINE,)) as running, http(running) as client:
        for header in headers:
            given = {"Authorization": header} if header else {}
            for path in (*asked, "/metrics"):
                refused = await client.request(methods.get(path, "GET"), path, headers=given)
                assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer"), (path, header)
                assert MINE[:-1] not in refused.text
            health = await client.get("/health", headers=given)
            assert health.json() == {"status": "healthy", "service": "llm_interface"}


async def test_our_client_with_a_wrong_token_is_told_so(serve: Any, connect: Any) -> None:
    async with serve(tokens=(MINE,)) as running:
        async with connect(running, THEIRS) as client:
            with pytest.raises(AgentCommunicationException, match="token_variable") as caught:
                await client.interact(await client.initialize_session(SOLVER), SOLVER, PROBLEM)
            assert caught.value.code == "unauthorised"
        async with connect(running, MINE) as client:
            session = await client.initialize_session(SOLVER)
            assert (await client.interact(session, SOLVER, PROBLEM)).text


def test_a_token_comes_from_a_closed_file_or_a_variable_and_is_no_short_one(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{MINE}\n")
    file.chmod(0o600)
    tokens = read_tokens([KeySource(file=str(file)), KeySource(variable="T")], tmp_path, {"T": THEIRS})
    owners = {tokens.owner(f"Bearer {token}") for token in (MINE, THEIRS)}
    assert len(owners) == 2
    assert None not in owners
    assert not any(token in repr(vars(tokens)) for token in (MINE, THEIRS))
    file.chmod(0o644)
    with pytest.raises(ConfigurationException, match="chmod 600"):
        read_tokens([KeySource(file=str(file))], tmp_path, {})
    for value, code in (("", "no_key"), ("short", "weak_token"), (f"{MINE} {MINE}", "bad_key")):
        with pytest.raises(ConfigurationException) as caught:
            read_tokens([KeySource(variable="T")], tmp_path, {"T": value})
        assert caught.value.code == code
        assert not value or value not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_an_open_address_needs_a_token(host: str) -> None:
    settings = ServeSettings(host=host, port=0)
    with pytest.raises(ConfigurationException, match="--token-file") as caught:
        async with running_service(None, settings):  # type: ignore[arg-type]
            raise AssertionError("it listens")
    assert caught.value.code == "no_token"


async def test_a_port_that_is_taken_and_an_address_that_is_not_are_told() -> None:
    listener = listen("127.0.0.1", 0, open_to_all=True)
    assert listener.proto == socket.IPPROTO_TCP  # else answers wait for the client's delayed acknowledgements
    with listener:
        with pytest.raises(ConfigurationException, match="another server listens there") as caught:
            listen("127.0.0.1", listener.getsockname()[1], open_to_all=True)
        assert caught.value.code == "port_in_use"
    with pytest.raises(ConfigurationException) as caught:
        listen("no.such.host.invalid", 0, open_to_all=False)
    assert caught.value.code == "no_address"


async def test_a_web_page_in_a_browser_on_this_machine_cannot_use_a_service_without_token(
    serve: Any, http: Any
) -> None:
    async with serve() as running, http(running) as client:
        rebound = await client.get("/health", headers={"Host": "evil.example:8010"})
        assert (rebound.status_code, rebound.json()["code"]) == (403, "wrong_host")
        for host in ("localhost:1", "LocalHost", "127.0.0.2:80", "[::1]:8010", "[::1]"):
            assert (await client.get("/health", headers={"Host": host})).status_code == 200, host
        form = await client.post("/interact", content=json.dumps(question()), headers={"Content-Type": "text/plain"})
        assert form.status_code == 415
        preflight = await client.options("/interact", headers={"Origin": "http://evil.example"})
        assert preflight.status_code == 405
        assert "access-control-allow-origin" not in preflight.headers
    async with serve(tokens=(MINE,)) as running, http(running, MINE) as client:  # behind a proxy, by any name
        assert (await client.get("/health", headers={"Host": "llm.example"})).status_code == 200


BODIES = [
    (b"", 400, "no JSON"),
    (b"{", 400, "no JSON"),
    (b"\xff\xfe", 400, "no JSON"),
    (b'{"session_id": NaN}', 400, "NaN"),
    (b'{"session_id": ' + b"1" * 5000 + b"}", 400, "no JSON"),
    (b"[" * 100_000, 400, "no JSON"),
    (b'{"input_data": {"a": ' + b"[" * 200 + b"]" * 200 + b"}}", 422, "levels deep"),
    (b"[]", 422, "found a list; expected an object"),
    (b"null", 422, "found null; expected an object"),
    (b"{}", 422, "session_id: found null"),
    (b'{"session_id": ""}', 422, "session_id"),
    (b'{"session_id": 7}', 422, "session_id: found a number"),
    (b'{"session_id": "a\\u0000b"}', 422, "printable"),
    (b'{"session_id": "' + b"s" * 201 + b'"}', 422, "200"),
    (b'{"session_id": "s", "role": ["problem_solver"]}', 422, "role: found a list"),
    (b'{"session_id": "s", "role": "no such"}', 404, "no agent file for the role"),
    (b'{"session_id": "s", "role": "problem_solver", "input_data": []}', 422, "input_data: found a list"),
    (b'{"session_id": "s", "role": "problem_solver", "input_data": {"a": "\\ud800"}}', 422, "surrogate"),
    (b'{"session_id": "s", "role": "problem_solver", "input_data": {"problem": "x"}}', 422, "problem_statement"),
    (b'{"session_id": "s", "role": "problem_solver", "seed": "7"}', 422, "seed: found '7'"),
    (b'{"session_id": "s", "role": "problem_solver", "seed": true}', 422, "seed: found true or false"),
    (b'{"session_id": "s", "role": "problem_solver", "labels": 1}', 422, "labels: found a number"),
]


async def test_a_body_that_is_not_as_it_should_be_is_told_what_is_wrong(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        for body, status, says in BODIES:
            refused = await client.post("/interact", content=body, headers=JSON)
            assert refused.status_code == status, (body[:80], refused.text)
            assert says in refused.json()["detail"]
        assert all(session["exchanges"] == 0 for session in (await running.service.sessions("")).values())
        assert (await client.post("/interact", json=question())).status_code == 200


async def test_a_wait_that_is_no_time_is_refused(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        for wait in ("-1", "nan", "soon", ""):
            assert (await client.get("/task_status/t", params={"wait": wait})).status_code == 422


async def test_a_body_is_read_up_to_its_limit_declared_or_not(serve: Any, http: Any) -> None:
    async with serve(body_bytes=1000) as running, http(running) as client:

        async def chunks() -> Any:
            for _ in range(50):
                yield b"x" * 100

        for content in (b"x" * 1001, chunks()):
            refused = await client.post("/interact", content=content, headers=JSON)
            assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
        assert (await client.post("/interact", json=question())).status_code == 200


async def test_there_is_an_end_to_sessions_and_to_questions(serve: Any, http: Any, until: Any) -> None:
    transport = HeldTransport({SOLVER: FENCED})
    async with serve(transport, sessions=2, tasks=2) as running, http(running) as client:
        async with anyio.create_task_group() as group:
            for name in ("a", "b"):
                group.start_soon(lambda name=name: client.post("/interact", json=question(session_id=name)))
            await until(lambda: transport.begun == 2)
            busy = await client.post("/interact", json=question(session_id="a"))
            assert (busy.status_code, busy.headers["Retry-After"]) == (429, "1")
            transport.release.set()
        full = await client.post("/interact", json=question(session_id="c"))
        assert (full.status_code, full.json()["code"]) == (429, "too_many")
        assert (await client.post("/initialize", json={"role": SOLVER})).status_code == 429
        await client.delete("/session/a")
        assert (await client.post("/interact", json=question(session_id="c"))).status_code == 200


async def test_a_session_that_nobody_uses_is_forgotten(serve: Any, http: Any, until: Any, has_no_sessions: Any) -> None:
    async with serve(idle_seconds=0.2) as running, http(running) as client:
        await client.post("/interact", json=question())
        await until(lambda: has_no_sessions(running))
        assert (await client.get("/session_history/s-1")).status_code == 404


def test_tokens_are_of_nobody_where_none_are_asked_for() -> None:
    assert Tokens().owner("") == Tokens().owner("Bearer whatever") == ""
