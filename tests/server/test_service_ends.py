"""How questions end before their answer: the client goes away, the session is deleted, the service stops."""

from typing import Any

import anyio
import httpx
import pytest

from prismenv.testing.transport import HeldTransport
from prismenv.words.errors import AgentCommunicationException

pytestmark = pytest.mark.anyio
FENCED = "```python\ndef solution():\n    return 1\n```"
SOLVER = "problem_solver"
PROBLEM = {"problem_statement": "P"}


def question(**changes: Any) -> dict[str, Any]:
    return {"session_id": "s-1", "input_data": PROBLEM, "role": SOLVER, **changes}


@pytest.fixture
def held() -> HeldTransport:
    return HeldTransport({SOLVER: FENCED})


async def open_task(client: httpx.AsyncClient) -> str:
    session = (await client.post("/initialize", json={"role": SOLVER})).json()["session_id"]
    return (await client.post("/interact", json={"session_id": session, "input_data": PROBLEM})).json()["task_id"]


async def test_a_client_that_goes_away_has_its_call_cancelled_and_the_session_stays(
    serve: Any, http: Any, held: HeldTransport, until: Any
) -> None:
    async with serve(held) as running, http(running) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.post("/interact", json=question()))
            await until(lambda: held.begun == 1)
            group.cancel_scope.cancel()  # httpx closes the connection
        await until(lambda: held.cancelled == 1)
        held.release.set()
        assert (await client.post("/interact", json=question())).status_code == 200
        history = (await client.get("/session_history/s-1")).json()["history"][SOLVER]["history"]
        assert len(history) == 1
        counters = (await client.get("/metrics")).text
        assert f'prismenv_llm_interactions_total{{outcome="client_gone",role="{SOLVER}"}} 1.0' in counters


async def test_cancelling_our_client_cancels_the_call(
    serve: Any, connect: Any, held: HeldTransport, until: Any, has_no_sessions: Any
) -> None:
    async with serve(held) as running, connect(running) as client:
        session = await client.initialize_session(SOLVER)
        async with anyio.create_task_group() as group:
            group.start_soon(client.interact, session, SOLVER, PROBLEM)
            await until(lambda: held.begun == 1)
            group.cancel_scope.cancel()
        await until(lambda: held.cancelled == 1)
        await until(lambda: has_no_sessions(running))


async def test_a_task_outlives_a_broken_poll_and_is_cancelled_when_nobody_comes(
    serve: Any, http: Any, held: HeldTransport, until: Any
) -> None:
    async with serve(held, abandoned_seconds=2.0) as running, http(running) as client:
        task = await open_task(client)
        await until(lambda: held.begun == 1)
        with anyio.move_on_after(0.2):
            await client.get(f"/task_status/{task}", params={"wait": "30"})
        assert held.cancelled == 0
        await until(lambda: held.cancelled == 1)
        ended = (await client.get(f"/task_status/{task}")).json()
        assert (ended["status"], ended["code"]) == ("failed", "abandoned")


async def test_a_finished_task_is_kept_for_a_while_and_then_forgotten(
    serve: Any, http: Any, held: HeldTransport, until: Any
) -> None:
    held.release.set()
    async with serve(held, kept_seconds=0.5) as running, http(running) as client:
        task = await open_task(client)
        first = (await client.get(f"/task_status/{task}", params={"wait": "30"})).json()
        assert first["status"] == "completed"
        with anyio.fail_after(60):
            while (await client.get(f"/task_status/{task}")).status_code != 404:  # noqa: ASYNC110 - what is waited for has no event
                await anyio.sleep(0.1)


async def test_deleting_a_session_ends_what_runs_in_it(serve: Any, http: Any, held: HeldTransport, until: Any) -> None:
    answers: list[httpx.Response] = []
    async with serve(held) as running, http(running) as client:

        async def ask() -> None:
            answers.append(await client.post("/interact", json=question()))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await until(lambda: held.begun == 1)
            await client.delete("/session/s-1")
        assert (answers[0].status_code, answers[0].json()["code"]) == (410, "session_deleted")
        assert held.cancelled == 1


async def test_a_service_that_stops_takes_nothing_new_and_finishes_what_runs(
    serve: Any, http: Any, held: HeldTransport, until: Any
) -> None:
    answers: list[httpx.Response] = []
    async with serve(held) as running, http(running) as client:
        task = await open_task(client)

        async def ask() -> None:
            answers.append(await client.post("/interact", json=question()))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await until(lambda: held.begun == 2)
            group.start_soon(running.stop)
            await until(lambda: running.service.stopping)
            for path, body in (("/interact", question(session_id="new")), ("/initialize", {"role": SOLVER})):
                refused = await client.post(path, json=body)
                assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
                assert "ask again" in refused.json()["detail"]
            health = await client.get("/health")
            assert (health.status_code, health.json()["status"]) == (503, "stopping")
            held.release.set()
            done = (await client.get(f"/task_status/{task}", params={"wait": "30"})).json()
            assert done["status"] == "completed"
        assert answers[0].status_code == 200
        assert held.cancelled == 0


async def test_what_does_not_end_within_the_grace_is_handed_back(
    serve: Any, http: Any, connect: Any, held: HeldTransport, until: Any
) -> None:
    answers: list[httpx.Response] = []
    errors: list[AgentCommunicationException] = []
    async with serve(held, grace_seconds=0.2) as running, http(running) as client, connect(running) as ours:
        session = await ours.initialize_session(SOLVER)

        async def ask() -> None:
            answers.append(await client.post("/interact", json=question()))

        async def ask_ours() -> None:
            with pytest.raises(AgentCommunicationException) as caught:
                await ours.interact(session, SOLVER, PROBLEM)
            errors.append(caught.value)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            group.start_soon(ask_ours)
            await until(lambda: held.begun == 2)
            await running.stop()
    assert (answers[0].status_code, answers[0].json()["code"]) == (503, "stopping")
    assert answers[0].headers["Retry-After"] == "1"
    assert errors[0].code == "unavailable"  # which is infrastructure, and nobody's failure


async def test_a_service_that_ends_at_once_hands_back_what_runs(
    serve: Any, http: Any, held: HeldTransport, until: Any
) -> None:
    answers: list[httpx.Response] = []
    async with anyio.create_task_group() as group, serve(held) as running:

        async def ask() -> None:
            async with http(running) as client:
                answers.append(await client.post("/interact", json=question()))

        group.start_soon(ask)
        await until(lambda: held.begun == 1)
    assert (answers[0].status_code, answers[0].json()["code"]) == (503, "stopping")
    assert held.cancelled == 1
