"""A service that is full, gone, stopping or of another version; questions and answers that are none."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest

from prismenv import ConfigurationException, JudgeCase, SandboxException
from prismenv.contracts.sandboxwire import MOST_CASES
from prismenv.isolation.portable import PortableSandbox
from prismenv.testing.jail import ScriptedSandbox
from prismenv.words.verdict import Verdict

pytestmark = pytest.mark.anyio
TOKEN, OTHER = "a-token-of-thirty-two-characters", "another-token-of-many-characters"
QUESTION = {"protocol": 1, "solution": "x = 1", "tests": "def test_a(): pass"}


def auth(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_json"),
        (b"", 400, "bad_json"),
        (b"[" * 100_000, 400, "bad_json"),
        (b"\xff\xfe", 400, "bad_json"),
        (b"[1]", 422, "wrong_shape"),
        (b"{}", 422, "wrong_shape"),
        (json.dumps({**QUESTION, "protocol": 2}).encode(), 400, "other_version"),
        (json.dumps({**QUESTION, "protocol": 10**400}).encode(), 400, "other_version"),
        (json.dumps({**QUESTION, "protocol": "one"}).encode(), 422, "wrong_shape"),
        (json.dumps({**QUESTION, "solution": 3}).encode(), 422, "wrong_shape"),
        (json.dumps({**QUESTION, "solution": {"files": {"../a.py": ""}}}).encode(), 422, "wrong_shape"),
        (json.dumps({**QUESTION, "language": "../python"}).encode(), 422, "configuration_invalid"),
        (json.dumps({**QUESTION, "language": "x" * 10_000}).encode(), 422, "wrong_shape"),
        (json.dumps({**QUESTION, "limits": {"wall_seconds": -1}}).encode(), 422, "wrong_shape"),
        (json.dumps({**QUESTION, "limits": {"wall_seconds": float("nan")}}).encode(), 422, "wrong_shape"),
        (json.dumps({**QUESTION, "limits": {"wall": 1}}).encode(), 422, "wrong_shape"),
        (json.dumps({**QUESTION, "verdict": "none"}).encode(), 422, "wrong_shape"),
        (json.dumps({**QUESTION, "own": 1}).encode(), 422, "wrong_shape"),
        (json.dumps({**QUESTION, "solution": "x" * 5000}).encode(), 413, "too_large"),
    ],
)
async def test_a_question_that_is_none_is_refused(serve: Any, http: Any, body: bytes, status: int, code: str) -> None:
    most = 4096 if status == 413 else 2**20
    async with PortableSandbox(1) as sandbox, serve(sandbox, body_bytes=most) as running, http(running) as client:
        answer = await client.post("/judge", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert len(answer.text) < 1000
        again = await client.post("/judge", json=QUESTION)
        assert again.json()["verdict"]["outcome"] == "passed"


async def test_batches_have_bounds_and_their_cases_are_refused_one_by_one(serve: Any, http: Any) -> None:
    def of(solution: str, _tests: str) -> Verdict:
        if solution == "none":
            raise ConfigurationException("the language has no split verdict", code="no_split")
        return Verdict(outcome="passed", tests_passed_num=1)

    case = {"solution": "x", "tests": "y"}
    async with serve(ScriptedSandbox(of)) as running, http(running) as client:
        for count in (0, MOST_CASES + 1):
            answer = await client.post("/batch", json={"protocol": 1, "cases": [case] * count})
            assert (answer.status_code, answer.json()["code"]) == (422, "wrong_shape")
        cases = [case, {**case, "solution": "none"}, case]
        answers = (await client.post("/batch", json={"protocol": 1, "cases": cases})).json()["answers"]
        assert [each.get("verdict", {}).get("outcome") for each in answers] == ["passed", None, "passed"]
        assert answers[1]["refusal"] == {"code": "no_split", "detail": "the language has no split verdict"}


async def test_without_the_token_nothing_is_told_and_nothing_runs(serve: Any, http: Any, connect: Any) -> None:
    sandbox = ScriptedSandbox()
    async with serve(sandbox, tokens=(TOKEN,)) as running:
        for token in ("", OTHER):
            async with http(running, token) as client:
                for path in ("/judge", "/run", "/batch"):
                    assert (await client.post(path, json=QUESTION)).status_code == 401
                assert (await client.get("/metrics")).status_code == 401
                assert set((await client.get("/")).json()) == {"service", "protocol", "version"}
                assert set((await client.get("/health")).json()) == {"status", "service"}
            with pytest.raises(ConfigurationException, match="asks for a token") as caught:
                async with connect(running.url, token):
                    pass
            assert OTHER not in str(caught.value)
        judged = len(sandbox.judged)
        async with connect(running.url, TOKEN) as remote:
            assert (await remote.judge("x", "y", verdict="shared")).success
        assert len(sandbox.judged) == judged + 1


async def test_who_finds_the_service_full_is_told_and_its_client_comes_again(
    serve: Any, http: Any, connect: Any, held: Any, until: Callable[..., Any]
) -> None:
    async with (
        serve(held, workers=1, waiting=1, per_token=2) as running,
        http(running) as client,
        connect(running.url, workers=8) as remote,
        anyio.create_task_group() as group,
    ):
        verdicts: list[Verdict] = []

        async def judge() -> None:
            verdicts.append(await remote.judge("x", "y"))

        group.start_soon(judge)
        await until(lambda: held.begun == 1)
        group.start_soon(judge)
        await until(lambda: running.desk.waiting == 1)
        full = await client.post("/judge", json=QUESTION)
        assert (full.status_code, full.json()["code"]) == (429, "too_many")
        assert int(full.headers["retry-after"]) >= 1
        group.start_soon(judge)  # there is no room for this one yet
        metric = 'prismenv_http_requests_total{path="/judge",status="429"}'

        def refused() -> bool:
            return bool(running.desk.waiting == 1 and len(held.judged) == 0)

        await until(refused)
        page = (await client.get("/metrics")).text
        assert metric in page
        held.go.set()
        await until(lambda: len(verdicts) == 3)
        assert all(each.success for each in verdicts)


async def test_who_waits_too_long_for_a_turn_is_told_to_ask_again(
    serve: Any, http: Any, held: Any, until: Callable[..., Any]
) -> None:
    async with (
        serve(held, workers=1, queue_seconds=0.2) as running,
        http(running) as client,
        anyio.create_task_group() as group,
    ):
        group.start_soon(lambda: client.post("/judge", json=QUESTION))
        await until(lambda: held.begun == 1)
        late = await client.post("/judge", json=QUESTION)
        assert (late.status_code, late.json()["code"]) == (503, "queue_deadline")
        batch = await client.post("/batch", json={"protocol": 1, "cases": [{"solution": "x", "tests": "y"}] * 3})
        assert (batch.status_code, batch.json()["code"]) == (503, "queue_deadline")
        held.go.set()
    assert (running.desk.running, running.desk.waiting) == (0, 0)


async def test_a_service_whose_places_are_all_taken_is_not_ill(
    serve: Any, http: Any, held: Any, until: Callable[..., Any]
) -> None:
    async with serve(held, workers=1) as running, http(running) as client, anyio.create_task_group() as group:
        group.start_soon(lambda: client.post("/judge", json=QUESTION))
        await until(lambda: held.begun == 1)
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()["status"], answer.json()["running"]) == (200, "healthy", 1)
        held.go.set()


async def test_a_sandbox_that_does_not_judge_is_told_as_ill(serve: Any, http: Any, connect: Any) -> None:
    broken = Verdict(outcome="infrastructure_error", fault="infrastructure", message="no room on the disk")
    async with serve(ScriptedSandbox(lambda _solution, _tests: broken)) as running, http(running) as client:
        answer = await client.get("/health")
        assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
        assert "no room on the disk" in answer.json()["sandbox"]
        async with connect(running.url) as remote:
            assert "no room on the disk" in (await remote.probe())["sandbox"]


async def test_one_token_cannot_take_all_places(serve: Any, http: Any, held: Any, until: Callable[..., Any]) -> None:
    async with (
        serve(held, workers=4, tokens=(TOKEN, OTHER), per_token=1) as running,
        http(running, TOKEN) as one,
        http(running, OTHER) as other,
        anyio.create_task_group() as group,
    ):
        group.start_soon(lambda: one.post("/judge", json=QUESTION))
        await until(lambda: held.begun == 1)
        assert (await one.post("/judge", json=QUESTION)).status_code == 429
        group.start_soon(lambda: other.post("/judge", json=QUESTION))
        await until(lambda: held.begun == 2)
        held.go.set()


async def test_what_waits_is_bounded_in_bytes_too(serve: Any, http: Any, held: Any, until: Callable[..., Any]) -> None:
    async with (
        serve(held, workers=1, waiting_bytes=10_000) as running,
        http(running) as client,
        anyio.create_task_group() as group,
    ):
        large = {**QUESTION, "tests": "#" * 8000}
        group.start_soon(lambda: client.post("/judge", json=large))
        await until(lambda: held.begun == 1)
        assert (await client.post("/judge", json=large)).status_code == 429
        group.start_soon(lambda: client.post("/judge", json=QUESTION))
        await until(lambda: running.desk.waiting == 1)
        held.go.set()


async def test_a_service_that_is_told_to_stop_lets_run_what_runs(
    serve: Any, http: Any, held: Any, until: Callable[..., Any]
) -> None:
    async with serve(held, workers=1) as running, http(running) as client, anyio.create_task_group() as group:
        answers: list[Any] = []

        async def judge() -> None:
            answers.append(await client.post("/judge", json=QUESTION))

        group.start_soon(judge)
        group.start_soon(judge)
        await until(lambda: held.begun == 1 and running.desk.waiting == 1)
        group.start_soon(running.stop)
        await until(lambda: running.desk.stopping)
        late = await client.post("/judge", json=QUESTION)
        assert (late.status_code, late.json()["code"]) == (503, "stopping")
        assert (await client.get("/health")).status_code == 503
        held.go.set()
        await until(lambda: len(answers) == 2)
        assert [each.status_code for each in answers] == [200, 200]


async def test_what_is_not_done_within_the_grace_is_given_up(
    serve: Any, http: Any, held: Any, until: Callable[..., Any]
) -> None:
    async with serve(held, workers=1, grace_seconds=0.1) as running, http(running) as client:
        async with anyio.create_task_group() as group:
            answers: list[Any] = []

            async def judge() -> None:
                answers.append(await client.post("/judge", json=QUESTION))

            group.start_soon(judge)
            await until(lambda: held.begun == 1)
            await running.stop()
        assert (answers[0].status_code, answers[0].json()["code"]) == (503, "stopping")
        assert held.cancelled == 1


async def test_a_service_that_is_gone_is_no_verdict(serve: Any, connect: Any) -> None:
    async with serve() as running, connect(running.url, verdict="shared") as remote:
        await running.stop()
        verdict = await remote.judge("x", "y")
        assert (verdict.outcome, verdict.fault) == ("infrastructure_error", "infrastructure")
        assert running.url in verdict.message
        batch = await remote.judge_batch([JudgeCase(solution="x", tests="y")] * 2)
        assert [each.fault for each in batch] == ["infrastructure"] * 2
        done = await remote.run("x")
        assert (done.outcome, done.exit_code) == ("infrastructure_error", None)
        assert "no answer" in (await remote.probe())["service"]
    with pytest.raises(SandboxException, match="no answer") as caught:
        async with connect(running.url):
            pass
    assert caught.value.code == "service_gone"


@asynccontextmanager
async def answering(answers: Callable[[str], tuple[int, bytes]]) -> AsyncIterator[str]:
    """A service that answers what it is told to, by path; with the status 0 it closes the connection instead."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            received = b""
            while b"\r\n\r\n" not in received:
                received += await stream.receive()
            status, body = answers(received.split(b" ", 2)[1].decode())
            if status == 0:
                return
            head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            await stream.send(head.encode() + body)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield f"http://127.0.0.1:{port}"
        group.cancel_scope.cancel()


CARD: dict[str, Any] = {
    "service": "sandbox",
    "protocol": 1,
    "version": "9.9",
    "isolation": "full",
    "verdict": "split",
    "workers": 2,
    "ceiling": {},
    "queue_seconds": 60.0,
    "body_bytes": 1000,
    "what_a_later_version_adds": [],
}


@pytest.mark.parametrize(
    ("card", "code"),
    [
        (b"<html>", "not_a_sandbox"),
        (b'{"service": "llm_interface"}', "not_a_sandbox"),
        (json.dumps({**CARD, "protocol": 2, "isolation": {"new": "shape"}}).encode(), "other_version"),
        (json.dumps({**CARD, "workers": 0}).encode(), "not_a_sandbox"),
        (json.dumps({**CARD, "isolation": "perfect"}).encode(), "not_a_sandbox"),
    ],
)
async def test_what_is_no_service_of_this_version_is_found_out_at_the_start(
    connect: Any, card: bytes, code: str
) -> None:
    async with answering(lambda _: (200, card)) as url:
        with pytest.raises(SandboxException) as caught:
            async with connect(url):
                pass
    assert caught.value.code == code


GOOD = Verdict(outcome="passed", tests_passed_num=1, isolation="full", verdict_mode="split").model_dump(mode="json")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"protocol": 1, "verdict": GOOD}, ""),
        ({"protocol": 2, "verdict": GOOD}, "another version"),
        ({"verdict": GOOD}, "protocol"),
        ({"protocol": 1}, "verdict"),
        ({"protocol": 1, "verdict": {**GOOD, "tests_passed_num": "1"}}, "tests_passed_num"),
        ({"protocol": 1, "verdict": {**GOOD, "tests_passed_num": 0}}, "passed with 0 tests"),
        ({"protocol": 1, "verdict": {**GOOD, "tests_failed_num": 1}}, "1 that did not pass"),
        ({"protocol": 1, "verdict": {**GOOD, "fault": "candidate"}}, "its fault candidate"),
        ({"protocol": 1, "verdict": {**GOOD, "outcome": "failed"}}, "its fault none"),
        ({"protocol": 1, "verdict": {**GOOD, "isolation": "portable"}}, "judged in portable"),
        ({"protocol": 1, "verdict": {**GOOD, "verdict_mode": "shared"}}, "split was asked for"),
        ({"protocol": 1, "verdict": {**GOOD, "extra": 1}}, "unknown key extra"),
        ({"protocol": 1, "verdict": {**GOOD, "wall_seconds": 1e999}}, "wall_seconds"),
        ([], "the answer is none"),
    ],
)
async def test_an_answer_is_a_verdict_by_its_shape_and_its_sense_alone(connect: Any, answer: Any, says: str) -> None:
    def of(path: str) -> tuple[int, bytes]:
        return 200, json.dumps(CARD if path == "/" else answer).encode()

    async with answering(of) as url, connect(url) as remote:
        verdict = await remote.judge("x", "y")
    assert verdict.success == (says == "")
    if says:
        assert (verdict.outcome, verdict.fault) == ("infrastructure_error", "infrastructure")
        assert says in verdict.message


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b"{" * 50_000, "the answer is none"),
        (302, b"", "it answered 302"),
        (404, b"nothing", "it answered 404 nothing"),
        (413, b'{"detail": "the body is longer", "code": "too_large"}', "the body is longer"),
    ],
)
async def test_an_answer_that_is_none_is_no_verdict(connect: Any, status: int, body: bytes, says: str) -> None:
    def of(path: str) -> tuple[int, bytes]:
        return (200, json.dumps(CARD).encode()) if path == "/" else (status, body)

    async with answering(of) as url, connect(url) as remote:
        verdict = await remote.judge("x", "y")
        done = await remote.run("x")
    assert (verdict.outcome, done.outcome) == ("infrastructure_error", "infrastructure_error")
    assert says in verdict.message


async def test_a_client_outlives_a_service_that_is_started_again(connect: Any) -> None:
    stopping = json.dumps({"detail": "the service is stopping", "code": "stopping"}).encode()
    good = (200, json.dumps({"protocol": 1, "verdict": GOOD}).encode())
    told = [good, (503, stopping), (0, b""), (502, b"a proxy's word"), good]

    def of(path: str) -> tuple[int, bytes]:
        return (200, json.dumps(CARD).encode()) if path == "/" else told.pop(0)

    async with answering(of) as url, connect(url) as remote:
        assert (await remote.judge("x", "y")).success
        assert (await remote.judge("x", "y")).success
    assert not told


async def test_a_service_that_fails_each_time_is_given_up(connect: Any) -> None:
    tries: list[str] = []

    def of(path: str) -> tuple[int, bytes]:
        if path == "/":
            return 200, json.dumps(CARD).encode()
        tries.append(path)
        return 500, b'{"detail": "Internal server error"}'

    async with answering(of) as url, connect(url) as remote:
        verdict = await remote.judge("x", "y")
    assert (verdict.fault, len(tries)) == ("infrastructure", 5)
    assert "Internal server error (5 tries)" in verdict.message


async def test_a_token_that_is_taken_back_while_a_client_works_is_no_verdict(connect: Any) -> None:
    def of(path: str) -> tuple[int, bytes]:
        refusal = {"detail": f"a valid token is needed, not {TOKEN}", "code": "unauthorised"}
        return (200, json.dumps(CARD).encode()) if path == "/" else (401, json.dumps(refusal).encode())

    async with answering(of) as url, connect(url, TOKEN) as remote:
        verdict = await remote.judge("x", "y")
    assert (verdict.outcome, verdict.fault) == ("infrastructure_error", "infrastructure")
    assert "does not let us in" in verdict.message
    assert TOKEN not in verdict.message


async def test_a_batch_with_too_few_answers_is_no_verdict_at_all(connect: Any) -> None:
    def of(path: str) -> tuple[int, bytes]:
        answer = {"protocol": 1, "answers": [{"verdict": GOOD}]}
        return 200, json.dumps(CARD if path == "/" else answer).encode()

    async with answering(of) as url, connect(url) as remote:
        verdicts = await remote.judge_batch([JudgeCase(solution="x", tests="y")] * 2)
    assert [each.fault for each in verdicts] == ["infrastructure"] * 2


async def test_a_service_that_never_answers_is_given_up_in_time(serve: Any, connect: Any, held: Any) -> None:
    async with serve(held) as running, connect(running.url, timeout_seconds=0.3) as remote:
        verdict = await remote.judge("x", "y")
        assert (verdict.fault, "no answer within 0.3 s" in verdict.message) == ("infrastructure", True)


async def test_the_address_of_a_web_page_is_not_let_in(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
            assert (await client.post("/judge", json=QUESTION, headers=headers)).status_code == 403
        answer = await client.post("/judge", content=json.dumps(QUESTION), headers={"Content-Type": "text/plain"})
        assert answer.status_code == 415
