"""Sessions that the service keeps: whose they are, what is not done twice, what is left of a client that is gone."""

import socket
from typing import Any

import anyio
import pytest

from prismenv import ConfigurationException, Limits, SandboxException
from prismenv.contracts.recipe import SessionSettings
from prismenv.isolation.portable import PortableSandbox
from prismenv.isolation.sessionkeeper import SessionKeeper
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox

pytestmark = pytest.mark.anyio
TOKEN, OTHER = "token-of-the-service-0123456789", "token-of-another-0123456789"
ASKED = {"protocol": 1}


def kept(clock: ManualClock | None = None, **settings: float) -> PortableSandbox:
    return PortableSandbox(2, sessions=SessionKeeper(SessionSettings(**settings), clock or ManualClock()))  # type: ignore[arg-type]


async def test_a_session_is_its_openers_alone(serve: Any, connect: Any, http: Any) -> None:
    async with (
        kept() as sandbox,
        serve(sandbox, tokens=(TOKEN, OTHER)) as running,
        connect(running.url, TOKEN) as mine,
        http(running, OTHER) as other,
        http(running) as stranger,
    ):
        session = await mine.open()
        await session.execute("secret = 42")
        path = session._path
        for what in ("execute", "interrupt", "put", "get", "close"):
            body = {**ASKED, **({"code": "secret"} if what == "execute" else {"files": {}} if what == "put" else {})}
            refused = await other.post(f"{path}/{what}", json=body)
            unknown = await other.post(f"/sessions/{'x' * 32}/{what}", json=body)
            assert (refused.status_code, refused.json()) == (unknown.status_code, unknown.json())
            assert (refused.status_code, refused.json()["code"]) == (409, "session_ended")
            assert (await stranger.post(f"{path}/{what}", json=body)).status_code == 401
        assert (await session.execute("secret")).result == "42"
        await session.close()


async def test_what_was_said_wrongly_is_told_and_the_session_stays(serve: Any, connect: Any, http: Any) -> None:
    limits = Limits(memory_bytes=200 * 2**20)
    async with (
        kept() as sandbox,
        serve(sandbox) as running,
        connect(running.url) as remote,
        http(running) as client,
        await remote.open(limits=limits) as session,
    ):
        assert session.limits.memory_bytes == 200 * 2**20
        wrong = [
            ({}, 422),
            ({**ASKED}, 422),
            ({**ASKED, "code": 1}, 422),
            ({"protocol": 2, "code": ""}, 400),
            ({**ASKED, "code": "1", "wall_seconds": -1}, 422),
            ({**ASKED, "code": "1", "path": "/etc/passwd"}, 422),
        ]
        for body, status in wrong:
            assert (await client.post(f"{session._path}/execute", json=body)).status_code == status, body
        for files in ({"a": "?"}, {"../a": ""}, {"/etc/a": ""}, {"a\0": ""}):
            put = await client.post(f"{session._path}/put", json={**ASKED, "files": files})
            assert put.status_code == 422, files
        with pytest.raises(ConfigurationException):
            await session.execute("1", wall_seconds=-1)
        with pytest.raises(ConfigurationException):
            await session.put_files({"../a": "b"})
        with pytest.raises(ConfigurationException, match="klingon"):
            await remote.open("klingon")
        await session.put_files({"a/b.bin": b"\x00\xff"})
        assert (await session.get_files()).files == {"a/b.bin": b"\x00\xff"}
        assert (await session.execute("1")).result == "1"


async def test_a_call_whose_connection_breaks_is_not_made_again_and_the_session_is_over(
    serve: Any, connect: Any, tmp_path: Any
) -> None:
    count = tmp_path / "count"
    async with kept() as sandbox, serve(sandbox) as running, breaking(running.url) as url, connect(url) as remote:
        session = await remote.open()
        done = await session.execute(f"open({str(count)!r}, 'a').write('x')")
        assert (done.outcome, done.session_ended) == ("infrastructure_error", True)
        with pytest.raises(SandboxException, match="how far its last call came"):
            await session.execute("1")
        await session.close()
    assert count.read_text() == "x"


async def test_a_service_that_was_started_again_knows_no_session(serve: Any, connect: Any) -> None:
    async with kept() as sandbox:
        async with serve(sandbox) as running:
            url, port = running.url, int(running.url.rpartition(":")[2])
            async with connect(url) as remote:
                session = await remote.open()
                await session.execute("kept = 1")
                await running.stop()
        async with serve(sandbox, port=port), connect(url) as remote:
            session._line = remote._line
            with pytest.raises(SandboxException) as gone:
                await session.execute("kept")
            assert gone.value.code == "session_ended"
            assert session.ended is not None


async def test_sessions_are_counted_for_all_and_for_each_token(serve: Any, connect: Any, http: Any) -> None:
    async with (
        kept(most=3) as sandbox,
        serve(sandbox, tokens=(TOKEN, OTHER), sessions_per_token=2) as running,
        connect(running.url, TOKEN) as mine,
        connect(running.url, OTHER) as other,
        http(running, TOKEN) as client,
    ):
        codes: list[str] = []

        async def take() -> None:
            try:
                opened.append(await mine.open())
            except SandboxException as error:
                codes.append(error.code)

        opened: list[Any] = []
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(take)
        assert (len(opened), codes) == (2, ["sessions_full"] * 3)
        assert "prismenv_sandbox_sessions 2.0" in (await client.get("/metrics")).text
        third = await other.open()
        with pytest.raises(SandboxException, match="there may be 3"):
            await other.open()
        await opened[0].close()
        again = await mine.open()
        assert [(await each.execute("1")).result for each in (again, opened[1], third)] == ["1", "1", "1"]


async def test_one_that_a_lost_client_left_is_ended_when_nobody_uses_it(serve: Any, connect: Any) -> None:
    clock = ManualClock()
    async with kept(clock, most=1, idle_seconds=100) as sandbox, serve(sandbox) as running:
        async with connect(running.url) as lost:
            left = await lost.open()
        clock.advance(101)
        async with connect(running.url) as remote:
            session = await remote.open()
            assert (await session.execute("1")).result == "1"
            left._line = remote._line
            with pytest.raises(SandboxException) as ended:
                await left.execute("1")
            assert ended.value.code == "session_ended"


async def test_a_service_that_stops_lets_calls_end_and_begins_no_more(serve: Any, connect: Any, until: Any) -> None:
    async with kept() as sandbox, serve(sandbox, grace_seconds=60) as running, connect(running.url) as remote:
        session = await remote.open()
        results: list[Any] = []

        async def call() -> None:
            results.append(await session.execute("import time\ntime.sleep(1)\n'done'"))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await until(lambda: running.calls.running == 1)
            group.start_soon(running.stop)
        assert results[0].result == "'done'"


async def test_a_service_whose_sandbox_keeps_none_and_an_older_service_say_so(serve: Any, connect: Any) -> None:
    async with serve(ScriptedSandbox()) as running, connect(running.url) as remote:
        with pytest.raises(ConfigurationException, match="keeps no sessions"):
            await remote.open()
        remote._keeps_sessions = False
        with pytest.raises(ConfigurationException, match="of a version that keeps no sessions"):
            await remote.open()


class breaking:  # noqa: N801 - used as a function
    """A way to the service that ends the connection when it has passed a call of `execute` on, before its answer."""

    def __init__(self, url: str) -> None:
        self._target = int(url.rpartition(":")[2])

    async def __aenter__(self) -> str:
        self._listener = listener = await anyio.create_tcp_listener(local_host="127.0.0.1", family=socket.AF_INET)
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(listener.serve, self._pass_on)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        return f"http://127.0.0.1:{port}"

    async def __aexit__(self, *error: object) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)
        await self._listener.aclose()

    async def _pass_on(self, client: Any) -> None:
        state: dict[str, bool] = {"executes": False}
        async with (
            client,
            await anyio.connect_tcp("127.0.0.1", self._target) as server,
            anyio.create_task_group() as group,
        ):
            group.start_soon(self._up, client, server, state, group.cancel_scope)
            group.start_soon(self._down, client, server, state, group.cancel_scope)

    async def _up(self, client: Any, server: Any, state: dict[str, bool], scope: Any) -> None:
        try:
            async for data in client:
                state["executes"] |= b"/execute " in data
                await server.send(data)
        except anyio.BrokenResourceError:
            pass
        scope.cancel()

    async def _down(self, client: Any, server: Any, state: dict[str, bool], scope: Any) -> None:
        async for data in server:
            if state["executes"]:
                break
            await client.send(data)
        scope.cancel()
