"""Sessions that a client comes back to: over the wire as it is said, and by the client that does it by itself."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import InvalidStatus

from prismenv import (
    ActionException,
    BaseEnvironment,
    ConfigurationException,
    EnvironmentClient,
    EnvironmentConfig,
    EnvironmentExecutionException,
    HostException,
    environment_registry,
)
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.words.errors import DeadlineException

pytestmark = pytest.mark.anyio
ECHO, TRIED, GATED = "environment_echo", "environment_tried", "environment_gated"
TOKEN, OTHER = "token-of-the-server-0123456789", "token-of-another-0123456789"


class Gated(BaseEnvironment):
    """A step ends when the gate is open; `begun` counts the steps that began."""

    gate: anyio.Event
    begun: int

    async def reset(self) -> dict[str, int]:
        return {"begun": type(self).begun}

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:
        type(self).begun += 1
        await self.gate.wait()
        if action.get("raise"):
            raise ValueError("told to")
        return {"begun": type(self).begun, "reward": 1.0}


@pytest.fixture
def hosted(hosted: HostedEnvironments) -> HostedEnvironments:
    environment_registry.register(GATED)(Gated)
    Gated.gate, Gated.begun = anyio.Event(), 0
    return HostedEnvironments(hosted.services, {**hosted.configs, GATED: EnvironmentConfig()})


def shown(session: dict[str, Any], *, token: str = "", bearer: str = "") -> dict[str, Any]:
    """What a client that comes back to the session connects with."""
    headers = {"X-Session-ID": session["session_id"], "X-Session-Token": token or session["token"]}
    return {"additional_headers": headers | ({"Authorization": f"Bearer {bearer}"} if bearer else {})}


async def test_a_client_comes_back_to_where_it_was(serve: Any, talk: Any, until: Any, counts: Any) -> None:
    async with serve() as running:
        async with talk(running) as client:
            await client.ask("reset", {"seed": 1, "episode_id": "mine"})
            await client.ask("step", {})
            session = (await client.ask("session"))["data"]
            assert session.keys() == {"session_id", "token", "lease_seconds"}
        assert running.host.active == 1
        async with talk(running, **shown(session)) as again:
            assert (await again.ask("state"))["data"] == {"episode_id": "mine", "step_count": 1}
            assert (await again.ask("step", {}))["data"]["observation"]["steps"] == 2
            await again.say({"type": "close"})
            assert await again.closed() == 1000
        await until(lambda: running.host.active == 0)
        assert counts["opened"] == counts["closed"] == 1
        with pytest.raises(InvalidStatus) as gone:
            async with talk(running, **shown(session)):
                pass
        assert gone.value.response.status_code == 410


async def test_a_session_is_for_who_shows_its_token_alone(serve: Any, talk: Any) -> None:
    async with serve(tokens=(TOKEN, OTHER)) as running:
        async with talk(running, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            session = (await client.ask("session"))["data"]
        wrong = (
            (TRIED, shown(session, token="guessed", bearer=TOKEN)),
            (TRIED, shown({**session, "session_id": "other"}, bearer=TOKEN)),
            (TRIED, shown(session, bearer=OTHER)),
            (ECHO, shown(session, bearer=TOKEN)),
        )
        bodies = set()
        for name, options in wrong:
            with pytest.raises(InvalidStatus) as refused:
                async with talk(running, name, **options):
                    pass
            assert refused.value.response.status_code == 410
            bodies.add(bytes(refused.value.response.body or b""))
        assert len(bodies) == 1  # nothing tells what was wrong
        async with talk(running, **shown(session, bearer=TOKEN)) as again:
            assert (await again.ask("state"))["type"] == "state"


async def test_a_step_that_has_a_name_is_done_once(serve: Any, talk: Any) -> None:
    async with serve() as running:
        async with talk(running) as client:
            session = (await client.ask("session"))["data"]
            await client.say({"type": "reset", "data": {"seed": 3}, "request_id": "r"})
            first = await client.hear()
            await client.say({"type": "step", "data": {}, "request_id": "s"})
            step = await client.hear()
            assert (first["request_id"], step["request_id"]) == ("r", "s")
        async with talk(running, **shown(session)) as again:
            for message, data, said in (("reset", {"seed": 3}, first), ("step", {}, step)):
                await again.say({"type": message, "data": data, "request_id": said["request_id"]})
                assert await again.hear() == said
                await again.say({"type": message, "data": {**data, "what": "else"}, "request_id": said["request_id"]})
                refused = (await again.hear())["data"]
                assert (refused["code"], refused["reason"]) == ("VALIDATION_ERROR", "request_id_reused")
            assert (await again.ask("state"))["data"]["step_count"] == 1
            # What ended the episode is told again too; what was refused was not done, and may be tried again.
            await again.say({"type": "step", "data": {"what": 1}, "request_id": "t"})
            assert (await again.hear())["data"]["code"] == "VALIDATION_ERROR"
            await again.say({"type": "step", "data": {"what": "raise"}, "request_id": "t"})
            ended = await again.hear()
            await again.say({"type": "step", "data": {"what": "raise"}, "request_id": "t"})
            assert await again.hear() == ended
            assert "told to" in ended["data"]["message"]


@pytest.mark.parametrize("name", [1, "", "x" * 300, "\n", []])
async def test_a_name_of_a_step_is_short_text(serve: Any, talk: Any, name: Any) -> None:
    async with serve() as running, talk(running, ECHO) as client:
        await client.ask("reset")
        await client.say({"type": "step", "data": {"message": ""}, "request_id": name})
        assert (await client.hear())["data"]["code"] == "VALIDATION_ERROR"
        assert (await client.ask("state"))["data"]["step_count"] == 0


async def test_a_step_goes_on_when_the_connection_is_lost_and_what_waits_is_not_begun(
    serve: Any, talk: Any, until: Any
) -> None:
    async with serve() as running:
        async with talk(running, GATED) as client:
            session = (await client.ask("session"))["data"]
            await client.ask("reset")
            await client.say({"type": "step", "data": {}, "request_id": "a"})
            await client.say({"type": "step", "data": {}, "request_id": "b"})
            await until(lambda: Gated.begun == 1)
            client.connection.transport.abort()
        async with talk(running, GATED, **shown(session)) as again:
            await again.say({"type": "step", "data": {}, "request_id": "a"})
            Gated.gate.set()
            assert (await again.hear())["data"]["observation"] == {"begun": 1}
            assert (await again.ask("state"))["data"]["step_count"] == Gated.begun == 1


async def test_who_comes_back_takes_the_place_of_a_connection_that_is_still_there(
    serve: Any, talk: Any, until: Any
) -> None:
    async with serve() as running, talk(running, GATED) as client:
        session = (await client.ask("session"))["data"]
        await client.ask("reset")
        await client.say({"type": "step", "data": {}})
        await until(lambda: Gated.begun == 1)
        async with talk(running, GATED, **shown(session)) as again:
            await again.say({"type": "state"})
            Gated.gate.set()
            assert (await again.hear())["data"]["step_count"] == 1
            told = await client.hear()
            assert (told["data"]["code"], told["data"]["reason"]) == ("SESSION_ERROR", "resumed_elsewhere")
            assert await client.closed() == 1000
            assert (await again.ask("step", {}))["data"]["observation"] == {"begun": 2}
        assert running.host.active == 1


async def test_a_session_that_nobody_comes_back_to_is_closed_when_its_lease_is_over(
    serve: Any, talk: Any, until: Any
) -> None:
    async with serve(limits={"lease_seconds": 0.2, "instances": 1}) as running:
        async with talk(running, ECHO) as client:
            session = (await client.ask("session"))["data"]
        await until(lambda: running.host.active == 0)
        with pytest.raises(InvalidStatus):
            async with talk(running, ECHO, **shown(session)):
                pass


# The client that comes back by itself.


class Relay:
    """A way to the server that can be cut, and be closed for a while. `cut_after`: bytes to the server, once."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.accepted = 0
        self.closed = False
        self.cut_answers = 0
        self._streams: list[anyio.abc.SocketStream] = []

    async def cut(self) -> None:
        while self._streams:
            await anyio.aclose_forcefully(self._streams.pop())

    async def handle(self, client: anyio.abc.SocketStream) -> None:
        self.accepted += 1
        if self.closed:
            await anyio.aclose_forcefully(client)
            return
        async with await anyio.connect_tcp("127.0.0.1", self.port) as server, client:
            self._streams += [client, server]
            async with anyio.create_task_group() as both:
                both.start_soon(self._pump, client, server, both, False)
                both.start_soon(self._pump, server, client, both, True)

    async def _pump(self, come: Any, go: Any, both: Any, answers: bool) -> None:
        try:
            while True:
                piece = await come.receive()
                if answers and self.cut_answers:  # the server did it, and its client never hears of it
                    self.cut_answers -= 1
                    await self.cut()
                await go.send(piece)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            both.cancel_scope.cancel()


@asynccontextmanager
async def relayed(running: Any) -> AsyncIterator[tuple[str, Relay]]:
    relay = Relay(int(running.url.rpartition(":")[2]))
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, relay.handle)
            yield f"http://127.0.0.1:{port}", relay
            group.cancel_scope.cancel()


async def test_the_client_goes_on_over_a_new_connection_and_each_step_is_done_once(serve: Any, until: Any) -> None:
    async with serve() as running, relayed(running) as (url, relay):
        async with EnvironmentClient(url, TRIED, reconnect_seconds=60) as env:
            await env.reset(seed=1)
            for number in range(1, 6):
                if number % 2:
                    relay.cut_answers = 1
                else:
                    await relay.cut()
                assert (await env.step({})).observation["steps"] == number
            assert (await env.state())["step_count"] == 5
            assert relay.accepted == 6
            with pytest.raises(ActionException):
                await env.step({"what": 1})
            with pytest.raises(EnvironmentExecutionException, match="told to"):
                await env.step({"what": "raise"})
            assert running.host.active == 1
        await until(lambda: running.host.active == 0)


async def test_the_client_waits_for_a_server_that_is_away_for_no_longer_than_it_was_told(
    serve: Any, until: Any
) -> None:
    async with serve() as running, relayed(running) as (url, relay):
        async with EnvironmentClient(url, TRIED, reconnect_seconds=60) as env:
            await env.reset()
            relay.closed = True
            await relay.cut()
            async with anyio.create_task_group() as group:

                async def open_again() -> None:
                    await until(lambda: relay.accepted >= 3)
                    relay.closed = False

                group.start_soon(open_again)
                assert (await env.step({})).observation["steps"] == 1
        async with EnvironmentClient(url, TRIED, reconnect_seconds=0.3) as hasty:
            await hasty.reset()
            relay.closed = True
            await relay.cut()
            with pytest.raises(HostException):
                await hasty.step({})


async def test_a_call_that_is_given_up_does_not_end_a_session_that_lasts(serve: Any) -> None:
    async with (
        serve() as running,
        EnvironmentClient(running.url, GATED, timeout_seconds=0.5, reconnect_seconds=60) as env,
    ):
        await env.reset()
        with pytest.raises(DeadlineException):
            await env.step({})
        Gated.gate.set()
        assert (await env.state())["step_count"] == 1
        assert (await env.step({})).observation == {"begun": 2}


async def test_without_being_asked_to_the_client_does_not_come_back(serve: Any) -> None:
    async with serve() as running, relayed(running) as (url, relay), EnvironmentClient(url, TRIED) as env:
        await env.reset()
        await relay.cut()
        with pytest.raises(HostException) as lost:
            await env.step({})
        assert lost.value.code == "closed"


async def test_a_session_that_is_lost_for_good_is_told(serve: Any, until: Any) -> None:
    async with (
        serve(limits={"lease_seconds": 0.2}) as running,
        relayed(running) as (url, relay),
        EnvironmentClient(url, TRIED, reconnect_seconds=60) as env,
    ):
        await env.reset()
        await relay.cut()
        await until(lambda: running.host.active == 0)
        with pytest.raises(HostException) as lost:
            await env.step({})
        assert lost.value.code == "session_lost"


async def test_a_server_that_keeps_no_sessions_is_told_at_once() -> None:
    async def stock(connection: Any) -> None:
        async for _ in connection:
            said = {"type": "error", "data": {"message": "unknown", "code": "UNKNOWN_TYPE"}}
            await connection.send(json.dumps(said))

    async with serve_websocket(stock, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConfigurationException) as refused:
            async with EnvironmentClient(f"http://127.0.0.1:{port}", reconnect_seconds=1):
                pass
        assert refused.value.code == "cannot_reconnect"
    with pytest.raises(ConfigurationException):
        EnvironmentClient("http://127.0.0.1:8000", reconnect_seconds=0)
