"""The LLM interface over HTTP, against a real service on the loopback that can be told to misbehave."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import anyio
import pytest
from loguru import logger

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.recipe import HttpInterface
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.http import HttpInterfaceClient
from prismenv.testing.interface_server import Fault, InterfaceServer
from prismenv.words.errors import (
    AgentCommunicationException,
    ConfigurationException,
    EnvironmentException,
)

pytestmark = pytest.mark.anyio
FENCED = "```python\ndef solution():\n    return 1\n```"
CODE = "def solution():\n    return 1"
PROBLEM = {"problem_statement": "P"}
FIX = {"error_feedback": "failed"}
TOKEN = "tok-very-secret"
BOTH = pytest.mark.parametrize("shapes", ["message", "both"])
Connect = Callable[..., AbstractAsyncContextManager[HttpInterfaceClient]]


@BOTH
async def test_both_shapes_are_found_out_and_spoken(serve: Any, connect: Connect, shapes: str) -> None:
    server = serve(shapes=shapes)
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        answer = await client.interact(session, "problem_solver", PROBLEM)
        assert (answer.text.strip(), answer.raw, answer.template) == (CODE, FENCED, "default")
        assert answer.usage.calls == 1
        assert answer.usage.estimated
        assert answer.usage.cost_usd is None
        await client.interact(session, "problem_solver", FIX)
        (history,) = (roles["problem_solver"] for roles in server.histories.values())
        assert [sorted(entry) for entry in history] == [
            ["problem_statement", "response"],
            ["error_feedback", "response"],
        ]
        await client.cleanup_session(session)
        await client.cleanup_session(session)
        assert len(server.deleted) == 1
        assert not server.histories


async def test_the_message_shape_sends_what_prismbench_expects(serve: Any, connect: Connect) -> None:
    server = serve(shapes="message")
    async with connect(server, dialect="message") as client:
        session = await client.initialize_session("problem_solver")
        assert not server.requests
        await client.interact(session, "problem_solver", PROBLEM)
    (sent,) = server.asked("POST", "/interact")
    assert sent.body == {
        "session_id": session,
        "input_data": PROBLEM,
        "role": "problem_solver",
        "use_agent": False,
    }


async def test_the_task_shape_sends_what_older_services_expect(serve: Any, connect: Connect) -> None:
    server = serve()
    async with connect(server, dialect="task") as client:
        session = await client.initialize_session("problem_solver")
        await client.interact(session, "problem_solver", PROBLEM)
    (opened,) = server.asked("POST", "/initialize")
    (sent,) = server.asked("POST", "/interact")
    assert opened.body == {"role": "problem_solver"}
    assert sent.body == {"session_id": "remote-1", "input_data": PROBLEM, "use_agent": False}
    assert server.asked("GET", "/task_status/task-2")


async def test_the_shape_is_asked_for_once(serve: Any, connect: Connect) -> None:
    server = serve(shapes="message")
    async with connect(server) as client, anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(client.initialize_session, "problem_solver")
    assert len(server.asked("POST", "/initialize")) == 1


@pytest.mark.parametrize(
    "first",
    [
        Fault("/", body=b"<html>Welcome</html>"),
        Fault("/", 307, b"", {"Location": "/docs"}),
        Fault("/", 403, b"{}"),
        Fault("/", body=b'{"name": "prismenv"}'),
        Fault("/", body=b'{"dialects": ["full"]}'),
        Fault("/", body=b'{"name": "prismenv", "dialects": "full"}'),
    ],
)
async def test_another_service_is_not_sent_what_only_ours_knows(serve: Any, connect: Connect, first: Fault) -> None:
    server = serve()
    server.faults.append(first)
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver", seed=1, labels={"concepts": ["loops"]})
        await client.interact(session, "problem_solver", PROBLEM)
    (asked,) = server.asked("POST", "/interact")
    assert set(asked.body) == {"session_id", "input_data", "use_agent"}


async def test_a_service_that_cannot_say_what_it_is_now_is_asked_again(serve: Any, connect: Connect) -> None:
    server = serve()
    server.faults.extend([Fault("/", 503), Fault("/", cut=True)])
    async with connect(server) as client:
        await client.initialize_session("problem_solver")
    assert [seen.path for seen in server.requests[:4]] == ["/", "/", "/", "/initialize"]


async def test_a_service_that_knows_wait_is_asked_once_for_a_task(serve: Any, connect: Connect) -> None:
    server = serve(task_seconds=0.2)
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        await client.interact(session, "problem_solver", PROBLEM)
    (polled,) = server.asked("GET", "/task_status/")
    assert float(polled.query["wait"][0]) > 1


async def test_a_service_that_ignores_wait_is_polled_calmly(serve: Any, connect: Connect, clock: Any) -> None:
    server = serve(task_seconds=0.1, long_poll=False)
    async with connect(server, clock=clock) as client:
        session = await client.initialize_session("problem_solver")
        await client.interact(session, "problem_solver", PROBLEM)
    assert clock.slept == [0.5] * (len(server.asked("GET", "/task_status/")) - 1)


async def test_a_task_that_failed_says_why(serve: Any, connect: Connect) -> None:
    async with connect(serve()) as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(AgentCommunicationException, match="the model is gone") as caught:
            await client.interact(session, "problem_solver", {"problem_statement": "break"})
    assert caught.value.code == "task_failed"


async def test_an_answer_without_code_is_not_usable(serve: Any, connect: Connect) -> None:
    async with connect(serve(shapes="message", respond=lambda *_: "I cannot do that.")) as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(AgentCommunicationException) as caught:
            await client.interact(session, "problem_solver", PROBLEM)
        assert caught.value.code == "no_usable_answer"
        assert caught.value.usage is not None
        raw = await client.initialize_session("problem_solver", labels={"raw": True})
        assert (await client.interact(raw, "problem_solver", PROBLEM)).text == "I cannot do that."


async def test_inputs_without_a_slot_are_appended_and_slips_are_errors(serve: Any, connect: Connect) -> None:
    server = serve(shapes="message")
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        answer = await client.interact(session, "problem_solver", {**PROBLEM, "hint": "none"})
        assert answer.appended == ("hint",)
        assert server.asked("POST", "/interact")[0].body["input_data"] == {"problem_statement": "P\n\n## Hint\nnone"}
        with pytest.raises(ConfigurationException, match="problem_statement"):
            await client.interact(session, "problem_solver", {"problem_statment": "P"})


async def test_a_role_that_only_the_service_knows_is_asked_as_it_is(serve: Any, connect: Connect) -> None:
    async with connect(serve(shapes="message")) as client:
        assert client.templates("oracle") == ()
        session = await client.initialize_session("oracle")
        answer = await client.interact(session, "oracle", {"anything": 1})
    assert answer.text == 'turn 0: {"anything": 1}'


async def test_a_role_that_the_service_does_not_know_is_a_configuration_error(serve: Any, connect: Connect) -> None:
    server = serve()
    server.faults.append(Fault(path="/initialize", status=404, body=b'{"detail": "Role config not found for role x"}'))
    async with connect(server) as client:
        with pytest.raises(ConfigurationException, match="Role config not found"):
            await client.initialize_session("problem_solver")


async def test_a_session_id_from_the_service_is_no_path(serve: Any, connect: Connect) -> None:
    server = serve()
    server.faults.append(Fault(path="/initialize", body=b'{"session_id": "../session/other?x=1#y"}'))
    async with connect(server) as client:
        await client.cleanup_session(await client.initialize_session("problem_solver"))
    (deleted,) = server.asked("DELETE", "/")
    assert deleted.path == "/session/..%2Fsession%2Fother%3Fx%3D1%23y"


async def test_ping_asks_for_health(serve: Any, connect: Connect) -> None:
    server = serve()
    async with connect(server) as client:
        await client.ping("problem_solver")
        assert [(seen.method, seen.path) for seen in server.requests] == [("GET", "/health")]
        for fault in (Fault(path="/health", status=503), Fault(path="/health", body=b'{"status": "unhealthy"}')):
            server.faults.append(fault)
            with pytest.raises(AgentCommunicationException) as caught:
                await client.ping("problem_solver")
            assert caught.value.code == "unavailable"


async def test_a_service_that_is_not_there_is_unavailable(connect: Connect) -> None:
    with InterfaceServer(lambda *_: "") as server:
        url = server.url
    async with connect(url) as client:
        with pytest.raises(AgentCommunicationException, match="no connection") as caught:
            await client.initialize_session("problem_solver")
        assert caught.value.code == "unavailable"


async def test_a_cleanup_that_fails_is_said_and_harms_nothing(serve: Any, connect: Connect) -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    server = serve()
    server.faults.append(Fault(path="/session", status=500))
    try:
        async with connect(server) as client:
            await client.cleanup_session(await client.initialize_session("problem_solver"))
    finally:
        logger.remove(sink)
    assert any("was not deleted" in line for line in said)


async def test_closing_the_client_deletes_what_is_open(serve: Any, connect: Connect) -> None:
    server = serve()
    async with connect(server) as client:
        await client.initialize_session("problem_solver")
        await client.initialize_session("writer")
    assert sorted(server.deleted) == ["remote-1", "remote-2"]


async def test_the_token_is_sent_and_shown_nowhere(serve: Any, connect: Connect) -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}", level="TRACE", diagnose=True)
    server = serve(shapes="message", token=TOKEN)
    errors: list[EnvironmentException] = []
    try:
        async with connect(server, {"LLM_TOKEN": TOKEN}, token_variable="LLM_TOKEN") as client:
            session = await client.initialize_session("problem_solver")
            await client.interact(session, "problem_solver", PROBLEM)
            echo = f'{{"detail": "token {TOKEN} is over its limit"}}'.encode()
            server.faults.extend([Fault(status=429, body=echo), Fault(status=403, body=echo), Fault(body=echo[5:])])
            for _ in range(2):
                with pytest.raises(EnvironmentException) as caught:
                    await client.interact(session, "problem_solver", FIX)
                errors.append(caught.value)
                logger.opt(exception=caught.value).error("shown")
        async with connect(server, {"LLM_TOKEN": TOKEN + "x"}, token_variable="LLM_TOKEN") as wrong:
            with pytest.raises(AgentCommunicationException) as refused:
                await wrong.initialize_session("problem_solver")
            errors.append(refused.value)
    finally:
        logger.remove(sink)
    assert [error.code for error in errors] == ["unauthorised", "protocol_violated", "unauthorised"]
    assert server.requests[1].headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in "".join([*map(str, errors), *map(repr, errors), *said])


@pytest.mark.parametrize("value", ["", "   ", "a b", "a\nb", "schlüssel"])
def test_a_token_variable_must_hold_a_token(agents: dict[str, AgentFile], value: str) -> None:
    settings = HttpInterface(type="http", url="http://127.0.0.1:1", token_variable="LLM_TOKEN")
    with pytest.raises(ConfigurationException, match="LLM_TOKEN") as caught:
        HttpInterfaceClient(settings, agents, SystemClock(), environ={"LLM_TOKEN": value})
    assert not value.strip() or value not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://host", "http://", "http://host:port", "http://me:secret@host", "http://h?a=1"]
)
def test_an_address_must_be_one(agents: dict[str, AgentFile], url: str) -> None:
    with pytest.raises(ConfigurationException, match=r"interface\.url") as caught:
        HttpInterfaceClient(HttpInterface(type="http", url=url), agents, SystemClock(), environ={})
    assert "secret" not in str(caught.value)


async def test_many_sessions_share_connections(serve: Any, connect: Connect) -> None:
    server = serve(shapes="message")
    answers: list[str] = []

    async def ask(client: HttpInterfaceClient, number: int) -> None:
        session = await client.initialize_session("oracle")
        for turn in range(3):
            answer = await client.interact(session, "oracle", {"number": number, "turn": turn})
            answers.append(answer.text)
        await client.cleanup_session(session)

    async with connect(server) as client, anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(ask, client, number)
    expected = [f'turn {turn}: {{"number": {number}, "turn": {turn}}}' for number in range(20) for turn in range(3)]
    assert sorted(answers) == sorted(expected)
