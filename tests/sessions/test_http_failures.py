"""The LLM interface over HTTP when things go wrong: what is repeated, what is refused, what ends in time."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from email.utils import formatdate
from typing import Any

import anyio
import pytest

from prismenv.sessions.http import HttpInterfaceClient
from prismenv.testing.interface_server import Fault
from prismenv.words.errors import (
    AgentCommunicationException,
    ProtocolException,
)

pytestmark = pytest.mark.anyio
CODE = "def solution():\n    return 1"
PROBLEM = {"problem_statement": "P"}
FIX = {"error_feedback": "failed"}
TOKEN = "tok-very-secret"
BOTH = pytest.mark.parametrize("shapes", ["message", "both"])
Connect = Callable[..., AbstractAsyncContextManager[HttpInterfaceClient]]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
async def test_passing_refusals_are_tried_again(serve: Any, connect: Connect, status: int) -> None:
    server = serve(shapes="message")
    server.faults.extend([Fault(status=status), Fault(status=status)])
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        assert (await client.interact(session, "problem_solver", PROBLEM)).text.strip() == CODE
    sent = server.asked("POST", "/interact")
    assert len(sent) == 3
    assert len({seen.headers["Idempotency-Key"] for seen in sent}) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "refused"), (401, "unauthorised"), (403, "unauthorised"), (404, "not_found"), (422, "refused")],
)
async def test_lasting_refusals_are_not(serve: Any, connect: Connect, status: int, code: str) -> None:
    server = serve(shapes="message")
    server.faults.append(Fault(status=status, body=b'{"detail": "because"}'))
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(AgentCommunicationException, match="because") as caught:
            await client.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == code
    assert len(server.asked("POST", "/interact")) == 1


@pytest.mark.parametrize(("status", "code"), [(429, "rate_limited"), (500, "unavailable"), (408, "timed_out")])
async def test_refusals_that_do_not_pass_are_the_callers(serve: Any, connect: Connect, status: int, code: str) -> None:
    server = serve(shapes="message")
    server.faults.extend(Fault(status=status, body=b"<html>busy</html>") for _ in range(9))
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(AgentCommunicationException, match=r"busy.*3 tries") as caught:
            await client.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == code
    assert len(server.asked("POST", "/interact")) == 3


async def test_the_time_that_a_service_asks_for_is_waited(serve: Any, connect: Connect, clock: Any) -> None:
    server = serve(shapes="message")
    server.faults.extend(
        [Fault(status=429, headers={"Retry-After": "7"}), Fault(status=503, headers={"Retry-After": "9999"})]
    )
    async with connect(server, clock=clock) as client:
        session = await client.initialize_session("problem_solver")
        await client.interact(session, "problem_solver", PROBLEM)
    assert clock.slept == [7.0, 30.0]  # but never longer than the policy's longest


async def test_a_service_may_name_a_date_to_wait_for(serve: Any, connect: Connect, clock: Any) -> None:
    server = serve(shapes="message")
    server.faults.append(Fault(status=503, headers={"Retry-After": formatdate(clock.now() + 3600, usegmt=True)}))
    async with connect(server, clock=clock) as client:
        session = await client.initialize_session("problem_solver")
        await client.interact(session, "problem_solver", PROBLEM)
    assert clock.slept == [30.0]  # an hour is longer than the policy's longest


async def test_a_connection_cut_before_the_work_is_tried_again(serve: Any, connect: Connect) -> None:
    server = serve(shapes="message")
    server.faults.append(Fault(cut=True))
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        await client.interact(session, "problem_solver", PROBLEM)
        assert len(server.histories[session]["problem_solver"]) == 1


@BOTH
async def test_an_answer_lost_after_the_work_is_read_from_the_history(
    serve: Any, connect: Connect, shapes: str
) -> None:
    server = serve(shapes=shapes)
    server.faults.append(Fault(cut=True, late=True))
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        assert (await client.interact(session, "problem_solver", PROBLEM)).text.strip() == CODE
        (history,) = (roles["problem_solver"] for roles in server.histories.values())
        assert len(history) == 1
        await client.interact(session, "problem_solver", FIX)
        assert len(history) == 2
    assert len(server.asked("POST", "/interact")) == 2


async def test_without_a_history_a_lost_answer_is_asked_for_again(serve: Any, connect: Connect) -> None:
    server = serve(shapes="message")
    server.faults.extend([Fault(cut=True, late=True), Fault(path="/session_history", status=404)])
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        await client.interact(session, "problem_solver", PROBLEM)
        assert len(server.histories[session]["problem_solver"]) == 2


async def test_a_lost_poll_is_asked_again_without_asking_the_model_again(serve: Any, connect: Connect) -> None:
    server = serve()
    server.faults.extend([Fault(path="/task_status", cut=True), Fault(path="/task_status", status=503)])
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        await client.interact(session, "problem_solver", PROBLEM)
    assert len(server.asked("POST", "/interact")) == 1
    assert len(server.asked("GET", "/task_status")) == 3


async def test_a_slow_service_meets_the_deadline(serve: Any, connect: Connect) -> None:
    server = serve(shapes="message")
    server.faults.append(Fault(delay_seconds=30))
    async with connect(server, timeout=0.2, dialect="message") as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(AgentCommunicationException, match=r"within 0\.2 s") as caught:
            await client.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == "timed_out"


async def test_an_endless_task_meets_the_deadline(serve: Any, connect: Connect) -> None:
    async with connect(serve(task_seconds=30, long_poll=False), timeout=1.0) as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(AgentCommunicationException) as caught:
            await client.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == "timed_out"


async def test_cancelling_stops_polling_and_deletes_the_session(serve: Any, connect: Connect) -> None:
    server = serve(task_seconds=30)
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        async with anyio.create_task_group() as group:
            group.start_soon(client.interact, session, "problem_solver", PROBLEM)
            while not server.asked("GET", "/task_status"):  # noqa: ASYNC110 - the server's thread knows no event here
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert server.deleted == ["remote-1"]
        assert len(server.asked("GET", "/task_status")) == 1
        with pytest.raises(AgentCommunicationException, match="no session"):
            await client.interact(session, "problem_solver", PROBLEM)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\xff\xfenonsense", "no JSON"),
        (b"", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b'["message"]', "expected a JSON object"),
        (b'{"answer": "x"}', "message: found nothing"),
        (b'{"message": 7}', "message: found a number '7'"),
        (b'{"message": null}', "message: found null"),
        (b'{"task_id": ""}', "task_id: found a string"),
        (b'{"task_id": ["x"]}', "task_id: found a list"),
    ],
)
async def test_an_answer_that_the_protocol_does_not_allow_is_said_to_be_one(
    serve: Any, connect: Connect, body: bytes, says: str
) -> None:
    server = serve(shapes="message")
    server.faults.append(Fault(body=body))
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(ProtocolException) as caught:
            await client.interact(session, "problem_solver", PROBLEM)
    assert says in str(caught.value)
    assert server.url in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "state", [b'{"status": "lost"}', b'{"status": "completed"}', b'{"status": "completed", "result": "x"}', b"{}"]
)
async def test_a_task_in_no_known_state_is_a_broken_protocol(serve: Any, connect: Connect, state: bytes) -> None:
    server = serve()
    server.faults.append(Fault(path="/task_status", body=state))
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(ProtocolException):
            await client.interact(session, "problem_solver", PROBLEM)


async def test_an_answer_of_ten_megabytes_is_refused(serve: Any, connect: Connect) -> None:
    server = serve(shapes="message", respond=lambda *_: "x" * 10 * 2**20)
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(AgentCommunicationException) as caught:
            await client.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == "answer_too_large"


async def test_an_answer_of_two_megabytes_is_refused_too(serve: Any, connect: Connect) -> None:
    server = serve(shapes="message", respond=lambda *_: "x" * 2 * 2**20)
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(AgentCommunicationException) as caught:
            await client.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == "answer_too_large"


async def test_packed_answers_are_not_unpacked(serve: Any, connect: Connect) -> None:
    server = serve(shapes="message")
    server.faults.append(Fault(body=b"x", headers={"Content-Encoding": "gzip"}))
    async with connect(server) as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(ProtocolException, match="gzip"):
            await client.interact(session, "problem_solver", PROBLEM)


async def test_redirects_are_not_followed(serve: Any, connect: Connect) -> None:
    elsewhere, server = serve(), serve(shapes="message")
    server.faults.append(Fault(status=307, headers={"Location": elsewhere.url + "/interact"}))
    async with connect(server, {"LLM_TOKEN": TOKEN}, token_variable="LLM_TOKEN") as client:
        session = await client.initialize_session("problem_solver")
        with pytest.raises(ProtocolException, match="redirects to"):
            await client.interact(session, "problem_solver", PROBLEM)
    assert not elsewhere.requests
