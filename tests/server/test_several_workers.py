"""Several workers over one store: whichever a request reaches, it finds its session, its task and its last answer."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from prismenv.contracts.servicebook import BookedTask, BookedWorker, ServiceBook
from prismenv.server.limits import ServiceLimits
from prismenv.server.meter import Meter
from prismenv.server.refusal import Refusal
from prismenv.server.roll import Roll
from prismenv.server.sharedbook import SharedBook
from prismenv.server.sharedtasks import SharedTasks
from prismenv.store.connections import backend_of
from prismenv.store.servicestore import DatabaseServiceBook, open_service_book
from prismenv.store.sessionstore import open_sessions
from prismenv.testing.clock import ManualClock, VirtualClock
from prismenv.testing.transport import HeldTransport, ScriptedTransport

pytestmark = pytest.mark.anyio
FENCED = "```python\ndef solution():\n    return 1\n```"
SOLVER = "problem_solver"
PROBLEM = {"problem_statement": "P"}
TOKENS = ("token-of-one-0123456789", "token-of-two-0123456789")


def question(**changes: Any) -> dict[str, Any]:
    return {"session_id": "s-1", "input_data": PROBLEM, "role": SOLVER, **changes}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "service.db"


@pytest.fixture
def book(store: Path) -> Iterator[ServiceBook]:
    with closing(open_service_book(store)) as opened:
        yield opened


@pytest.fixture
def held() -> HeldTransport:
    return HeldTransport({SOLVER: FENCED})


@pytest.fixture
def model() -> ScriptedTransport:
    """Counts, so that what it is asked twice shows."""
    count = iter(range(100))
    return ScriptedTransport(lambda _: f"```python\nANSWER = {next(count)}\n```")


async def open_task(client: httpx.AsyncClient, **headers: str) -> tuple[str, str]:
    session = (await client.post("/initialize", json={"role": SOLVER})).json()["session_id"]
    return session, await ask_task(client, session, **headers)


async def ask_task(client: httpx.AsyncClient, session: str, **headers: str) -> str:
    body = {"session_id": session, "input_data": PROBLEM}
    return (await client.post("/interact", json=body, headers=headers)).json()["task_id"]


async def ended(client: httpx.AsyncClient, task: str) -> dict[str, Any]:
    return (await client.get(f"/task_status/{task}", params={"wait": "50"})).json()


async def test_requests_of_a_session_alternate_between_workers(
    serve: Any, http: Any, store: Path, model: ScriptedTransport
) -> None:
    async with (
        serve(model, store=store, tokens=TOKENS) as one,
        serve(model, store=store, tokens=TOKENS) as two,
        http(one, TOKENS[0]) as first,
        http(two, TOKENS[0]) as second,
        http(two, TOKENS[1]) as stranger,
    ):
        for client, answer in ((first, 0), (second, 1), (first, 2)):
            done = await client.post("/interact", json=question())
            assert done.json()["message"].strip() == f"ANSWER = {answer}"
        assert len(model.requests[-1].messages) == 6  # the system's, two exchanges, and what was asked last
        for client in (first, second):
            history = (await client.get("/session_history/s-1")).json()["history"][SOLVER]["history"]
            assert [each["response"].strip() for each in history] == ["ANSWER = 0", "ANSWER = 1", "ANSWER = 2"]
            active = (await client.get("/active_sessions")).json()
            assert (active["s-1"]["roles"], active["s-1"]["exchanges"]) == ([SOLVER], 3)
        assert (await stranger.get("/active_sessions")).json() == {}
        assert (await stranger.get("/session_history/s-1")).status_code == 404
        assert (await stranger.post("/interact", json=question(continues=True))).status_code == 404
        assert (await second.delete("/session/s-1")).status_code == 200
        assert (await first.get("/session_history/s-1")).status_code == 404
        assert (await first.post("/interact", json=question(continues=True))).status_code == 404


async def test_sessions_outlive_all_workers(serve: Any, http: Any, store: Path, model: ScriptedTransport) -> None:
    async with serve(model, store=store) as one, http(one) as client:
        await client.post("/interact", json=question())
    async with serve(model, store=store) as two, http(two) as client:
        await client.post("/interact", json=question(continues=True))
        history = (await client.get("/session_history/s-1")).json()["history"][SOLVER]["history"]
    assert len(history) == 2


@pytest.mark.parametrize("full", [True, False])
async def test_a_question_whose_answer_was_lost_is_not_asked_again_at_another_worker(
    serve: Any, http: Any, store: Path, model: ScriptedTransport, full: bool
) -> None:
    key = {"Idempotency-Key": "question-1"}
    async with (
        serve(model, store=store) as one,
        serve(model, store=store) as two,
        http(one) as first,
        http(two) as second,
    ):
        answers = [
            (await client.post("/interact", json=question(full=full), headers=key)).json() for client in (first, second)
        ]
        assert answers[0] == answers[1]
        assert model.calls[SOLVER] == 1
        other = await second.post("/interact", json=question(full=full), headers={"Idempotency-Key": "question-2"})
        assert other.json() != answers[0]
        assert model.calls[SOLVER] == 2


async def test_what_the_model_failed_with_is_kept_too(
    serve: Any, http: Any, store: Path, model: ScriptedTransport
) -> None:
    useless = ScriptedTransport(lambda _: "There is no code.")
    async with (
        serve(useless, store=store) as one,
        serve(useless, store=store) as two,
        http(one) as first,
        http(two) as second,
    ):
        body, key = question(full=True), {"Idempotency-Key": "question-1"}
        answers = [(await client.post("/interact", json=body, headers=key)).json() for client in (first, second)]
        assert answers[0]["error"]["code"] == "no_usable_answer"
        assert answers[0] == answers[1]
        assert useless.calls[SOLVER] == 1


async def test_one_question_of_a_session_at_a_time_whichever_worker_takes_it(
    serve: Any, http: Any, store: Path, held: HeldTransport, until: Callable[..., Any]
) -> None:
    async with (
        serve(held, store=store) as one,
        serve(held, store=store) as two,
        http(one) as first,
        http(two) as second,
    ):
        async with anyio.create_task_group() as group:
            for client in (first, second):
                group.start_soon(lambda client=client: client.post("/interact", json=question()))
                await until(lambda: held.begun == 1)
            group.start_soon(lambda: second.post("/interact", json=question(session_id="s-2")))
            await until(lambda: held.begun == 2)  # another session does not wait
            assert [request.messages[-1].content for request in held.requests] == []
            held.release.set()
        assert held.begun == 3
        assert [len(request.messages) for request in held.requests] == [2, 2, 4]


async def test_a_task_is_waited_for_at_another_worker(
    serve: Any, http: Any, store: Path, held: HeldTransport, until: Callable[..., Any]
) -> None:
    statuses: list[dict[str, Any]] = []
    async with (
        serve(held, store=store) as one,
        serve(held, store=store) as two,
        http(one) as first,
        http(two) as second,
    ):
        session, task = await open_task(first, **{"Idempotency-Key": "k"})
        assert await ask_task(second, session, **{"Idempotency-Key": "k"}) == task
        assert (await second.get(f"/task_status/{task}")).json()["status"] == "processing"

        async def wait() -> None:
            statuses.append(await ended(second, task))

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(wait)
            await until(lambda: held.begun == 1)
            assert statuses == []
            held.release.set()
        assert [status["status"] for status in statuses] == ["completed"] * 3
        assert (await ended(first, task)) == statuses[0]
        assert held.begun == 1
        history = (await second.get(f"/session_history/{session}")).json()["history"][SOLVER]["history"]
        assert len(history) == 1


async def test_a_task_whose_owner_is_another_is_not_there(
    serve: Any, http: Any, store: Path, held: HeldTransport
) -> None:
    async with (
        serve(held, store=store, tokens=TOKENS) as one,
        serve(held, store=store, tokens=TOKENS) as two,
        http(one, TOKENS[0]) as first,
        http(two, TOKENS[1]) as stranger,
    ):
        _, task = await open_task(first)
        assert (await stranger.get(f"/task_status/{task}")).status_code == 404


async def test_deleting_a_session_ends_what_another_worker_asks_in_it(
    serve: Any, http: Any, store: Path, held: HeldTransport, until: Callable[..., Any]
) -> None:
    answers: list[httpx.Response] = []
    async with (
        serve(held, store=store) as one,
        serve(held, store=store) as two,
        http(one) as first,
        http(two) as second,
    ):

        async def ask() -> None:
            answers.append(await first.post("/interact", json=question()))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await until(lambda: held.begun == 1)
            assert (await second.delete("/session/s-1")).status_code == 200
        assert (answers[0].status_code, answers[0].json()["code"]) == (410, "session_deleted")
        assert held.cancelled == 1
        held.release.set()
        assert (await first.post("/interact", json=question())).status_code == 200  # a new one of the same name
        assert len((await second.get("/session_history/s-1")).json()["history"][SOLVER]["history"]) == 1


async def test_a_worker_that_stops_hands_back_its_task_and_another_takes_the_question(
    serve: Any, http: Any, store: Path, held: HeldTransport, until: Callable[..., Any]
) -> None:
    async with serve(held, store=store) as two, http(two) as second:
        async with serve(held, store=store, grace_seconds=0.1) as one, http(one) as first:
            session, task = await open_task(first, **{"Idempotency-Key": "k"})
            await until(lambda: held.begun == 1)
            await one.stop()
        status = await ended(second, task)
        assert (status["status"], status["code"]) == ("failed", "stopping")
        held.release.set()
        again = await ask_task(second, session, **{"Idempotency-Key": "k"})
        assert again != task
        assert (await ended(second, again))["status"] == "completed"


async def test_an_idle_session_is_forgotten_by_any_worker(
    serve: Any, http: Any, store: Path, until: Callable[..., Any], has_no_sessions: Any
) -> None:
    async with serve(store=store, idle_seconds=0.2) as one, http(one) as first, serve(store=store) as two:
        await first.post("/interact", json=question())
        await until(lambda: has_no_sessions(two))
        with closing(open_sessions(store)) as archive:
            await until(lambda: archive.sessions() == [])  # what was said in it goes after its entry


async def test_a_session_in_which_a_question_runs_is_not_idle_for_another_worker(book: ServiceBook) -> None:
    clock = ManualClock()
    busy, other = (SharedBook(book, 10, 100.0, clock) for _ in range(2))
    session = await busy.open("", "s-1", None)
    await busy.open("", "s-2", None)
    forgotten = []
    for _ in range(10):
        clock.advance(30)
        assert await busy.gone([session]) == set()  # as it is said in every sweep
        forgotten += [each.session_id for each in await other.take_idle()]
    assert forgotten == ["s-2"]
    assert await other.remove(session)
    assert await busy.gone([session]) == {session.opening}


async def test_a_task_that_is_waited_for_elsewhere_is_not_abandoned(book: ServiceBook) -> None:
    async def nothing() -> None:
        return

    limits = ServiceLimits(abandoned_seconds=30.0)
    async with VirtualClock() as clock, anyio.create_task_group() as group:
        one, two = (SharedTasks(book, name, limits, clock, nothing) for name in ("one", "two"))
        task, new = await one.begin("", "task-1", "s-1", "")
        assert new
        group.start_soon(two.watch)
        waited = await two.get("", "task-1")
        group.start_soon(two.wait, waited, 1000.0)
        for _ in range(100):
            await clock.sleep(1)
            await one.sweep()
        assert not task.scope.cancel_called
        await one.end(task, None, Refusal(503, "x", "y"))
        await waited.done.wait()
        abandoned, _ = await one.begin("", "task-2", "s-1", "")
        for _ in range(32):
            await clock.sleep(1)
            await one.sweep()
        assert abandoned.scope.cancel_called
        group.cancel_scope.cancel()


class SlowBook(DatabaseServiceBook):
    """A book whose next word of a worker waits for so long, as behind another process that writes."""

    def __init__(self, store: Path, clock: ManualClock) -> None:
        super().__init__(backend_of(str(store)))
        self.clock = clock
        self.wait_seconds = 0.0

    def beat(self, worker: BookedWorker) -> None:
        self.clock.advance(self.wait_seconds)
        self.wait_seconds = 0.0
        super().beat(worker)


async def test_workers_that_the_store_held_up_do_not_take_each_other_for_dead(store: Path) -> None:
    clock = ManualClock()
    with closing(SlowBook(store, clock)) as book:
        one, two = (Roll(book, clock, Meter(), lambda: "serving", 15.0) for _ in range(2))
        for roll in (one, two):
            await roll.beat()
        book.begin(BookedTask("", "task-1", "s-1", "", two.worker, clock.now()))
        for roll in (one, two):
            book.wait_seconds = 20.0
            await roll.beat()
        clock.advance(3)
        await one.beat()
        assert [each.ended_at for each in book.tasks(["task-1"])] == [None]
        for _ in range(6):  # now it says nothing any more
            clock.advance(3)
            await one.beat()
        assert [each.ended_at is None for each in book.tasks(["task-1"])] == [False]


async def test_the_limit_of_sessions_is_of_all_workers_together(serve: Any, http: Any, store: Path) -> None:
    async with (
        serve(store=store, sessions=2) as one,
        serve(store=store, sessions=2) as two,
        http(one) as first,
        http(two) as second,
    ):
        for client, name in ((first, "a"), (second, "b")):
            assert (await client.post("/interact", json=question(session_id=name))).status_code == 200
        for client in (first, second):
            assert (await client.post("/interact", json=question(session_id="c"))).status_code == 429


async def test_health_and_metrics_are_those_of_all_workers(
    serve: Any, http: Any, store: Path, until: Callable[..., Any]
) -> None:
    async with serve(store=store) as one, http(one) as first:
        async with serve(store=store) as two, http(two) as second:
            for client, name in ((first, "a"), (second, "b"), (second, "c")):
                await client.post("/interact", json=question(session_id=name))
            workers = (await first.get("/health")).json()["workers"]
            assert [worker["state"] for worker in workers.values()] == ["serving", "serving"]

            async def tells_all() -> bool:
                page = (await first.get("/metrics")).text.splitlines()
                asked = [line for line in page if line.startswith("prismenv_llm_interactions_total{")]
                assert "prismenv_llm_sessions 3.0" in page
                assert sum(line.startswith("# TYPE prismenv_llm_interactions_total") for line in page) == 1
                return sorted(float(line.rpartition(" ")[2]) for line in asked) == [1.0, 2.0]

            await until(tells_all)  # the other says its counters every few seconds
        assert len((await first.get("/health")).json()["workers"]) == 1
