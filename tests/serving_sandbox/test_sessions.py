"""Open sessions over HTTP: whose they are, what is asked twice, and what a service that is gone leaves.

What sessions promise anywhere is tested with a service as well, in tests/isolation/test_open_sessions.py.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest

from prismenv import ConfigurationException, Limits, Sandbox, SandboxException
from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.recipe import SessionSettings
from prismenv.isolation.portable import PortableSandbox
from prismenv.isolation.sessionkeeper import SessionKeeper
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.words.coderesult import CodeError, CodeResult

pytestmark = pytest.mark.anyio
TOKEN, OTHER = "a-token-of-thirty-two-characters", "another-token-of-many-characters"
NAME = "a-name-of-sixteen-or-more"
HELLO = {"protocol": 1}


def repeats(code: str) -> CodeResult:
    """A session that gives back what it is told, and ends with `end`."""
    return CodeResult(outcome="finished", result=code, session_ended=code == "end")


def called(number: int, code: str) -> dict[str, Any]:
    return {**HELLO, "call": number, "code": code}


async def test_a_session_of_somebody_else_looks_like_none(serve: Any, http: Any) -> None:
    async with serve(ScriptedSandbox(call=repeats), tokens=(TOKEN, OTHER)) as running, http(running, TOKEN) as mine:
        assert (await mine.post("/sessions", json={**HELLO, "session": NAME})).status_code == 200
        async with http(running, OTHER) as theirs, http(running) as nobodys:
            questions = {
                "execute": called(1, "1"),
                "interrupt": {**HELLO, "call": 1},
                "put_files": {**HELLO, "files": {}},
                "get_files": HELLO,
            }
            for action, asked in questions.items():
                found = await theirs.post(f"/sessions/{NAME}/{action}", json=asked)
                absent = await theirs.post(f"/sessions/{NAME}-of-nobody/{action}", json=asked)
                assert (found.status_code, found.text) == (absent.status_code, absent.text)
                assert (found.status_code, found.json()["code"]) == (404, "unknown_session")
                assert (await nobodys.post(f"/sessions/{NAME}/{action}", json=asked)).status_code == 401
            assert (
                await theirs.post(f"/sessions/{NAME}/close", json=HELLO)
            ).status_code == 200  # as if there were none
            # The same name is another session of theirs.
            assert (await theirs.post("/sessions", json={**HELLO, "session": NAME})).status_code == 200
            assert (await theirs.post(f"/sessions/{NAME}/execute", json=called(1, "end"))).json()["ended"]
        assert (await mine.post(f"/sessions/{NAME}/execute", json=called(1, "1"))).json()["result"]["result"] == "1"


async def test_what_is_asked_twice_is_done_once(serve: Any, http: Any) -> None:
    done: list[str] = []

    def count(code: str) -> CodeResult:
        done.append(code)
        return repeats(code)

    async with serve(ScriptedSandbox(call=count)) as running, http(running) as client:
        for _ in range(2):
            assert (await client.post("/sessions", json={**HELLO, "session": NAME})).status_code == 200
        for _ in range(2):
            answer = await client.post(f"/sessions/{NAME}/execute", json=called(1, "one"))
            assert answer.json()["result"]["result"] == "one"
        assert (await client.post(f"/sessions/{NAME}/execute", json=called(2, "two"))).status_code == 200
        old = await client.post(f"/sessions/{NAME}/execute", json=called(1, "one"))
        assert (old.status_code, old.json()["code"]) == (409, "call_lost")
        assert done == ["one", "two"]
        page = (await client.get("/metrics")).text
        assert 'prismenv_sandbox_runs_total{call="execute",outcome="finished"} 2.0' in page
        assert "prismenv_sandbox_sessions 1.0" in page
        for _ in range(2):
            assert (await client.post(f"/sessions/{NAME}/close", json=HELLO)).status_code == 200
        assert "prismenv_sandbox_sessions 0.0" in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    ("path", "asked", "told"),
    [
        ("/sessions", {"session": "short"}, (422, "wrong_shape")),
        ("/sessions", {"session": "../" * 8}, (422, "wrong_shape")),
        ("/sessions", {"session": NAME + "\n"}, (422, "wrong_shape")),
        ("/sessions", {"session": NAME, "language": "klingon"}, (422, "configuration_invalid")),
        ("/sessions", {"session": NAME, "protocol": 2}, (400, "other_version")),
        ("/sessions", {"session": NAME, "limits": {"wall_seconds": -1}}, (422, "wrong_shape")),
        ("/sessions/there-is-one-of-this/execute", {"call": 0, "code": ""}, (422, "wrong_shape")),
        ("/sessions/there-is-one-of-this/execute", {"call": 2**53, "code": ""}, (422, "wrong_shape")),
        (
            "/sessions/there-is-one-of-this/execute",
            {"call": 1, "code": "", "wall_seconds": 1e400},
            (422, "wrong_shape"),
        ),
        ("/sessions/there-is-one-of-this/put_files", {"files": {"a": "no base64!"}}, (422, "wrong_shape")),
        ("/sessions/there-is-one-of-this/put_files", {"files": {"../a": "YQ=="}}, (422, "configuration_invalid")),
        ("/sessions/there-is-one-of-this/put_files", {"files": {"/a": "YQ=="}}, (422, "configuration_invalid")),
    ],
)
async def test_a_wrong_question_is_refused_and_harms_no_session(
    serve: Any, http: Any, path: str, asked: dict[str, Any], told: tuple[int, str]
) -> None:
    async with PortableSandbox(1) as sandbox, serve(sandbox) as running, http(running) as client:
        await client.post("/sessions", json={**HELLO, "session": "there-is-one-of-this"})
        body = json.dumps({**HELLO, **asked}).encode()
        answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == told, answer.text
        again = await client.post("/sessions/there-is-one-of-this/execute", json=called(1, "6 * 7"))
        assert again.json()["result"]["result"] == "42"


async def test_a_token_has_no_more_sessions_than_it_may(serve: Any, connect: Any) -> None:
    sandbox = ScriptedSandbox(call=repeats)
    async with (
        serve(sandbox, tokens=(TOKEN, OTHER), sessions_per_token=1) as running,
        connect(running.url, TOKEN) as mine,
        connect(running.url, OTHER) as theirs,
    ):
        first = await mine.open()
        with pytest.raises(SandboxException, match="1 sessions of this token are open, and there may be 1") as caught:
            await mine.open()
        assert caught.value.code == "sessions_full"
        assert (await (await theirs.open()).execute("1")).result == "1"
        await first.close()
        ended = await mine.open()
        assert (await ended.execute("end")).session_ended
        await mine.open()  # one that has ended counts no more


async def test_why_a_session_has_ended_is_told_with_the_next_call(serve: Any, connect: Any) -> None:
    clock = ManualClock()
    keeper = SessionKeeper(SessionSettings(idle_seconds=100), clock)
    async with (
        PortableSandbox(1, sessions=keeper) as sandbox,
        serve(sandbox) as running,
        connect(running.url) as remote,
    ):
        session = await remote.open(limits=Limits(wall_seconds=7))
        assert session.limits.wall_seconds == 7
        await session.execute("x = 1")
        clock.advance(101)
        await remote.open()  # which looks for idle ones first
        for call in (session.get_files(), session.execute("x")):
            with pytest.raises(SandboxException, match="nobody used it for 100 s") as caught:
                await call
            assert (caught.value.code, session.ended) == ("session_ended", "nobody used it for 100 s")


class RecordingSandbox(ScriptedSandbox):
    """Keeps the sessions that it opened."""

    def __init__(self) -> None:
        super().__init__(call=repeats)
        self.opened: list[SandboxSession] = []

    async def open(self, language: str = "python", *, limits: Limits | None = None) -> SandboxSession:
        self.opened.append(await super().open(language, limits=limits))
        return self.opened[-1]


async def test_no_session_outlives_the_client_that_closes_nor_the_service(serve: Any, connect: Any) -> None:
    sandbox = RecordingSandbox()
    async with serve(sandbox) as running:
        async with connect(running.url) as remote:
            left = await remote.open()
            await left.execute("1")
        assert [left.ended, sandbox.opened[0].ended] == ["the sandbox was closed", "it was closed"]
        async with connect(running.url) as remote:
            session = await remote.open()
            await session.execute("x")
            await running.stop()
            done = await session.execute("x")
            assert (done.outcome, done.session_ended) == ("infrastructure_error", True)
    assert sandbox.opened[1].ended == "it was closed"


async def test_a_service_that_was_started_again_has_lost_its_sessions_and_is_told_by_name(
    serve: Any, connect: Any
) -> None:
    sandbox = ScriptedSandbox(call=repeats)
    async with serve(sandbox) as first:
        port = int(first.url.rpartition(":")[2])
        async with connect(first.url) as remote:
            session, other = await remote.open(), await remote.open()
            await session.execute("1")
            await first.stop()
            await _until_free(port)
            async with serve(sandbox, port=port):
                done = await session.execute("2")
                assert (done.outcome, done.session_ended) == ("infrastructure_error", True)
                assert done.error is not None
                assert "the service does not know the session" in done.error.message
                with pytest.raises(SandboxException, match="does not know the session"):
                    await session.execute("3")
                with pytest.raises(SandboxException, match="does not know the session") as caught:
                    await other.get_files()
                assert caught.value.code == "session_lost"
                assert (await (await remote.open()).execute("4")).result == "4"


async def _until_free(port: int) -> None:
    with anyio.fail_after(60):
        while True:
            try:
                async with await anyio.connect_tcp("127.0.0.1", port):
                    await anyio.sleep(0.01)
            except OSError:
                return


async def test_a_client_that_goes_away_has_its_call_interrupted_and_may_come_back(
    serve: Any, http: Any, until: Callable[..., Any], tmp_path: Any
) -> None:
    mark = tmp_path / "mark"
    slow = f"import time\nx = 1\nopen({str(mark)!r}, 'w').close()\nwhile True: time.sleep(0.01)"
    async with PortableSandbox(1) as sandbox, serve(sandbox) as running, http(running) as client:
        await client.post("/sessions", json={**HELLO, "session": NAME})
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.post(f"/sessions/{NAME}/execute", json=called(1, slow)))
            await until(mark.exists)
            group.cancel_scope.cancel()
        await until(lambda: running.calls.running == 0)
        lost = await client.post(f"/sessions/{NAME}/execute", json=called(1, slow))
        assert (lost.status_code, lost.json()["code"]) == (409, "call_lost")
        answer = await client.post(f"/sessions/{NAME}/execute", json=called(2, "x"))
        assert answer.json()["result"]["result"] == "1"


async def test_a_session_in_use_is_no_other_requests_and_no_other_call_is_interrupted(
    serve: Any, http: Any, until: Callable[..., Any], tmp_path: Any
) -> None:
    mark = tmp_path / "mark"
    slow = f"import time\nopen({str(mark)!r}, 'w').close()\nwhile True: time.sleep(0.01)"
    async with PortableSandbox(1) as sandbox, serve(sandbox) as running, http(running) as client:
        await client.post("/sessions", json={**HELLO, "session": NAME})
        outcomes = []

        async def call() -> None:
            answer = await client.post(f"/sessions/{NAME}/execute", json=called(1, slow))
            outcomes.append(answer.json()["result"]["outcome"])

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await until(mark.exists)
            busy = await client.post(f"/sessions/{NAME}/execute", json=called(2, "1"))
            assert (busy.status_code, busy.json()["code"]) == (429, "session_busy")
            for number, running_now in ((2, False), (1, True)):
                told = await client.post(f"/sessions/{NAME}/interrupt", json={**HELLO, "call": number})
                assert told.json()["running"] == running_now
        assert outcomes == ["interrupted"]


async def test_files_that_are_more_than_one_request_takes_are_sent_in_several(serve: Any, connect: Any) -> None:
    async with (
        PortableSandbox(1) as sandbox,
        serve(sandbox, body_bytes=20_000) as running,
        connect(running.url) as remote,
        await remote.open() as session,
    ):
        files = {f"folder/{number}.bin": bytes([number]) * 9_000 for number in range(6)}
        await session.put_files(files)
        assert (await session.get_files()).files == files
        with pytest.raises(SandboxException, match=r"'large.bin' is longer than the service takes"):
            await session.put_files({"large.bin": b"x" * 20_000})
        with pytest.raises(ConfigurationException, match="more than the service takes at once"):
            await session.execute("#" * 20_000)
        with pytest.raises(ConfigurationException, match="has an empty part, or one of dots"):
            await session.put_files({"../up": b""})
        assert (await session.execute("len(open('folder/5.bin', 'rb').read())")).result == "9000"


@asynccontextmanager
async def answering(connect: Any, answer: dict[str, Any], status: str = "200 OK") -> AsyncIterator[Any]:
    """A client of a service whose sessions answer every call with `answer`."""
    card = {
        "service": "sandbox",
        "protocol": 1,
        "version": "1",
        "isolation": "portable",
        "verdict": "split",
        "workers": 1,
        "ceiling": Limits().model_dump(),
        "queue_seconds": 1.0,
        "body_bytes": 2**20,
    }

    async def serve_one(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await stream.receive()
            path = head.split(b" ")[1].decode()
            told = {"/": card, "/sessions": {"protocol": 1, "limits": Limits().model_dump()}}.get(path, answer)
            body = json.dumps(told).encode()
            line = status if path.endswith("/execute") else "200 OK"
            top = f"HTTP/1.1 {line}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            await stream.send(top.encode() + body)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve_one)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with connect(f"http://127.0.0.1:{port}") as remote:
            yield remote
        group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({}, "the answer is none"),
        ({"protocol": 2, "result": {"outcome": "finished"}}, "the answer is none"),
        ({"protocol": 1, "result": {"outcome": "won"}}, "the answer is none"),
        ({"protocol": 1, "result": {"outcome": "finished", "reward": 1}}, "the answer is none"),
        ({"protocol": 1, "result": {"outcome": "raised"}}, "the answer is no result"),
        ({"protocol": 1, "result": {"outcome": "finished", "error": {"name": "E"}}}, "the answer is no result"),
    ],
)
async def test_an_answer_that_is_none_is_no_result(connect: Any, answer: dict[str, Any], says: str) -> None:
    async with answering(connect, answer) as remote:
        done = await (await remote.open()).execute("1")
        assert done.outcome == "infrastructure_error"
        assert done.error is not None
        assert says in done.error.message


async def test_an_answer_that_was_lost_is_told_and_the_session_goes_on(connect: Any) -> None:
    refusal = {"detail": "call 1 was begun, and its client left", "code": "call_lost"}
    async with answering(connect, refusal, "409 Conflict") as remote:
        session = await remote.open()
        done = await session.execute("1")
        assert (done.outcome, done.session_ended, session.ended) == ("infrastructure_error", False, None)
        assert done.error == CodeError(name="SandboxError", message=refusal["detail"])


async def test_a_service_without_sessions_and_settings_that_are_the_hosts_are_refused(serve: Any, connect: Any) -> None:
    async with serve(ScriptedSandbox()) as running, connect(running.url) as remote:
        with pytest.raises(ConfigurationException, match="keeps no sessions"):
            await remote.open()
    with pytest.raises(ConfigurationException, match=r"sandbox\.sessions: with sandbox.url it is the host's alone"):
        Sandbox(url="http://host", sessions={"most": 3})
