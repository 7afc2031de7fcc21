"""OpenEnv's WebSocket as a client of its own wire facts sees it: what is answered, what goes on, and what closes."""

import base64
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.anyio
ECHO, TRIED = "environment_echo", "environment_tried"
TOKEN = "token-of-the-server-0123456789"


async def test_a_session_resets_steps_reads_its_state_and_closes(serve: Any, talk: Any) -> None:
    async with serve() as running, talk(running, ECHO) as client:
        first = await client.ask("reset", {"seed": 1, "episode_id": "mine"})
        assert first == {
            "type": "observation",
            "data": {
                "observation": {"echoed_message": "Echo environment ready!", "message_length": 0},
                "reward": None,
                "done": False,
            },
        }
        step = await client.ask("step", {"message": "hello"})
        assert step["data"]["observation"] == {"echoed_message": "hello", "message_length": 5}
        assert step["data"]["reward"] == pytest.approx(0.5)
        state = await client.ask("state")
        assert state == {"type": "state", "data": {"episode_id": "mine", "step_count": 1}}
        await client.say({"type": "close"})
        assert await client.closed() == 1000
        assert running.host.active == 0


async def test_reset_needs_no_data_and_info_and_truncation_stand_in_metadata(serve: Any, talk: Any) -> None:
    async with serve() as running, talk(running) as client:
        assert "metadata" not in (await client.ask("reset"))["data"]
        info = {"metrics": {"x": 1}, "llm_response": "é"}
        assert (await client.ask("reset", {"length": 1, "info": info}))["data"]["metadata"] == info
        last = (await client.ask("step", {"what": ""}))["data"]
        assert (last["done"], last["metadata"]) == (True, {"truncated": True})


GOES_ON = [
    ("{", "INVALID_JSON"),
    ("", "INVALID_JSON"),
    ('{"type": NaN}', "INVALID_JSON"),
    ("[" * 10_000 + "]" * 10_000, "INVALID_JSON"),
    ({}, "UNKNOWN_TYPE"),
    ({"type": "dance"}, "UNKNOWN_TYPE"),
    ({"type": ["reset"]}, "UNKNOWN_TYPE"),
    ({"type": "reset", "data": {}, "id": 1}, "VALIDATION_ERROR"),
    ({"type": "state", "data": {}}, "VALIDATION_ERROR"),
    ({"type": "step"}, "VALIDATION_ERROR"),
    ({"type": "step", "data": []}, "VALIDATION_ERROR"),
    ({"type": "step", "data": None}, "VALIDATION_ERROR"),
    ({"type": "step", "data": {"what": 1}}, "VALIDATION_ERROR"),
    ({"type": "step", "data": {"what": "", "more": 1}}, "VALIDATION_ERROR"),
    ({"type": "step", "data": {"what": "\ud800"}}, "VALIDATION_ERROR"),
    ({"type": "reset", "data": {"seed": "one"}}, "VALIDATION_ERROR"),
    ({"type": "reset", "data": {"seed": -1}}, "VALIDATION_ERROR"),
    ({"type": "reset", "data": {"episode_id": 5}}, "VALIDATION_ERROR"),
    ('{"type": "step", "data": ' + '{"a":' * 100 + "1" + "}" * 100 + "}", "VALIDATION_ERROR"),
]


@pytest.mark.parametrize(("said", "code"), GOES_ON, ids=lambda value: str(value)[:40])
async def test_a_message_that_is_wrong_is_told_so_and_the_episode_goes_on(
    serve: Any, talk: Any, said: Any, code: str
) -> None:
    async with serve() as running, talk(running) as client:
        await client.ask("reset", {"seed": 1})
        await client.say(said)
        error = await client.hear()
        assert (error["type"], error["data"]["code"]) == ("error", code)
        assert error["data"]["message"]
        if code == "VALIDATION_ERROR":
            assert error["data"]["errors"]
        assert (await client.ask("step", {"what": ""}))["data"]["observation"]["steps"] == 1


@pytest.mark.parametrize("written", ["", "\u00e9", "\\u00e9"], ids=["ascii", "unicode", "escaped"])
async def test_nesting_is_counted_to_the_level_and_many_parts_beside_each_other_are_none(
    serve: Any, talk: Any, written: str
) -> None:
    def reset(info: str) -> str:
        return f'{{"type": "reset", "data": {{"info": {{"a": {info}, "b": "{written}"}}}}}}'

    async with serve() as running, talk(running) as client:
        for info, told in (
            ("[" * 61 + "]" * 61, "observation"),
            ("[" * 62 + "]" * 62, "error"),
            ("[" + "[], " * 100 + "[]]", "observation"),
        ):
            await client.say(reset(info))
            assert (await client.hear())["type"] == told


@pytest.mark.parametrize("said", [b"bytes", b'{"type": "state"}', "[]", '"reset"', "null", "7"])
async def test_what_is_no_message_at_all_ends_the_session(serve: Any, talk: Any, until: Any, said: Any) -> None:
    async with serve() as running, talk(running) as client:
        await client.ask("reset")
        await client.say(said)
        assert (await client.hear())["data"]["code"] == "SESSION_ERROR"
        assert await client.closed() == 1000
        await until(lambda: running.host.active == 0)


async def test_a_step_out_of_order_and_one_that_fails_are_execution_errors_that_the_session_survives(
    serve: Any, talk: Any
) -> None:
    async with serve() as running, talk(running) as client:
        early = await client.ask("step", {"what": ""})
        assert (early["data"]["code"], early["data"]["reason"]) == ("EXECUTION_ERROR", "no_episode")
        await client.ask("reset")
        failed = await client.ask("step", {"what": "raise"})
        assert (failed["data"]["code"], failed["data"]["reason"]) == ("EXECUTION_ERROR", "environment_raised")
        assert "told to" in failed["data"]["message"]
        after = await client.ask("step", {"what": ""})
        assert (after["data"]["code"], after["data"]["reason"]) == ("EXECUTION_ERROR", "episode_over")
        await client.ask("reset")
        assert (await client.ask("step", {"what": ""}))["type"] == "observation"


async def test_a_step_that_hangs_ends_by_the_environments_timeout(serve: Any, talk: Any, counts: Any) -> None:
    async with serve(config={"timeout": 0.2}) as running, talk(running) as client:
        await client.ask("reset")
        late = await client.ask("step", {"what": "hang"})
        assert (late["data"]["code"], late["data"]["reason"]) == ("EXECUTION_ERROR", "deadline_passed")
        assert counts["cancelled"] == 1
        assert (await client.ask("reset"))["type"] == "observation"


async def test_answers_come_in_the_order_of_the_questions(serve: Any, talk: Any) -> None:
    async with serve() as running, talk(running, ECHO) as client:
        await client.ask("reset")
        for number in range(100):
            await client.say({"type": "step", "data": {"message": str(number)}})
        heard = [(await client.hear())["data"]["observation"]["echoed_message"] for _ in range(100)]
        assert heard == [str(number) for number in range(100)]


async def test_each_connection_has_an_instance_of_its_own_and_gives_it_back(
    serve: Any, talk: Any, counts: Any, until: Any
) -> None:
    async with serve() as running:
        async with talk(running) as one, talk(running) as other:
            who = {(await client.ask("reset"))["data"]["observation"]["who"] for client in (one, other)}
            assert who == {1, 2}
            assert running.host.active == 2
            await one.ask("step", {"what": ""})
            assert (await other.ask("state"))["data"]["step_count"] == 0
        await until(lambda: counts["closed"] == 2)
        assert running.host.active == 0


async def test_a_client_that_goes_away_cancels_its_step_and_gives_its_place_back(
    serve: Any, talk: Any, counts: Any, until: Any
) -> None:
    async with serve() as running:
        async with talk(running) as client:
            await client.ask("reset")
            await client.say({"type": "step", "data": {"what": "hang"}})
            await until(lambda: counts["hanging"] == 1)
            client.connection.transport.abort()
        await until(lambda: counts["cancelled"] == 1 and counts["closed"] == 1)
        await until(lambda: running.host.active == 0)


async def test_a_full_host_lets_wait_and_tells_who_waited_too_long(serve: Any, talk: Any) -> None:
    async with serve(limits={"instances": 1, "queue_seconds": 0.2}) as running, talk(running) as first:
        await first.ask("reset")
        async with talk(running) as second:
            refused = (await second.hear())["data"]
            assert (refused["code"], refused["active_sessions"], refused["max_sessions"]) == (
                "CAPACITY_REACHED",
                1,
                1,
            )
            assert await second.closed() == 1000
    async with serve(limits={"instances": 1}) as running, talk(running) as first:
        await first.ask("reset")
        async with talk(running) as second:
            await second.say({"type": "reset"})
            await first.say({"type": "close"})
            assert (await second.hear())["type"] == "observation"


async def test_an_environment_that_does_not_open_is_a_factory_error(serve: Any, talk: Any) -> None:
    async with serve(config={"boom": True}) as running, talk(running) as client:
        error = (await client.hear())["data"]
        assert (error["code"], "no device" in error["message"]) == ("FACTORY_ERROR", True)
        assert await client.closed() == 1000
        assert running.host.active == 0


async def test_an_instance_whose_lease_is_over_is_taken_away_and_its_client_told(serve: Any, talk: Any) -> None:
    async with serve(limits={"lease_seconds": 0.3}) as running, talk(running) as client:
        error = (await client.hear())["data"]
        assert (error["code"], error["reason"], "lease" in error["message"]) == ("SESSION_ERROR", "closed", True)
        assert await client.closed() == 1000


async def test_a_message_that_is_too_long_closes_its_connection_and_no_other(serve: Any, talk: Any) -> None:
    async with serve(wire={"message_bytes": 10_000}) as running, talk(running, ECHO) as other:
        await other.ask("reset")
        async with talk(running, ECHO) as client:
            await client.ask("reset")
            await client.say({"type": "step", "data": {"message": "a" * 10_000}})
            assert await client.closed() == 1009
        assert (await other.ask("step", {"message": "a"}))["type"] == "observation"


async def test_text_that_is_no_utf_8_closes_its_connection(serve: Any, talk: Any) -> None:
    async with serve() as running, talk(running, ECHO) as client:
        await client.connection.send(b"\xff\xfe", text=True)
        assert await client.closed() == 1007


async def test_our_own_calls_answer_beside_openenvs(serve: Any, talk: Any) -> None:
    async with serve() as running, talk(running) as client:
        prompt = await client.ask("system_prompt")
        assert prompt == {"type": "system_prompt", "data": {"system_prompt": "Do as you are told."}}
        await client.ask("reset")
        assert (await client.ask("compute_reward"))["data"] == {"reward": None}
        await client.ask("step", {"what": ""})
        await client.ask("step", {"what": ""})
        assert (await client.ask("compute_reward"))["data"] == {"reward": 2.0}
        mcp = await client.ask("mcp", {"jsonrpc": "2.0", "id": 5, "method": "tools/list"})
        assert mcp == {"type": "mcp", "data": {"jsonrpc": "2.0", "id": 5, "result": {"tools": []}}}


async def test_an_environment_that_there_is_not_is_refused_before_the_connection(serve: Any, talk: Any) -> None:
    async with serve() as running:
        for name, near in (("environment_ecko", "environment_echo"), ("", "/environments/NAME")):
            with pytest.raises(InvalidStatus) as refused:
                async with talk(running, name):
                    pass
            assert refused.value.response.status_code == 404
            assert near in refused.value.response.body.decode()


async def test_where_one_is_served_alone_the_root_is_its_address(serve: Any, talk: Any) -> None:
    async with serve(only=ECHO) as running, talk(running, "") as client:
        assert (await client.ask("reset"))["data"]["observation"]["echoed_message"] == "Echo environment ready!"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong-token-0123456789"}, 401),
        ({"Authorization": "Basic !!!"}, 401),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}, 403),
    ],
    ids=["none", "wrong", "unreadable", "page of somebody else"],
)
async def test_who_has_no_token_or_comes_from_another_page_is_not_let_in(
    serve: Any, talk: Any, headers: dict[str, str], status: int
) -> None:
    async with serve(tokens=(TOKEN,)) as running:
        with pytest.raises(InvalidStatus) as refused:
            async with talk(running, ECHO, additional_headers=headers):
                pass
        assert refused.value.response.status_code == status
        assert running.host.active == 0


async def test_a_token_comes_as_bearer_or_in_the_address(serve: Any, talk: Any) -> None:
    basic = base64.b64encode(f"any:{TOKEN}".encode()).decode()
    async with serve(tokens=(TOKEN,)) as running:
        for sent in (f"Bearer {TOKEN}", f"Basic {basic}"):
            async with talk(running, ECHO, additional_headers={"Authorization": sent}) as client:
                assert (await client.ask("reset"))["type"] == "observation"


async def test_without_a_token_only_names_of_this_machine_are_answered(serve: Any, talk: Any) -> None:
    async with serve() as running:
        port = running.url.rpartition(":")[2]
        with pytest.raises(InvalidStatus) as refused:
            async with talk(running, ECHO, additional_headers={"Host": f"evil.example:{port}"}):
                pass
        assert refused.value.response.status_code in (400, 403)
        with pytest.raises(InvalidStatus) as refused:
            async with talk(running, ECHO, additional_headers={"Origin": "http://localhost:1"}):
                pass
        assert refused.value.response.status_code == 403
        async with talk(running, ECHO, additional_headers={"Origin": running.url}) as own:
            assert (await own.ask("reset"))["type"] == "observation"


async def test_a_server_that_is_told_to_stop_lets_a_step_end_and_tells_all_sessions(
    serve: Any, talk: Any, counts: Any, until: Any
) -> None:
    async with serve(config={"timeout": 1.0}) as running, talk(running) as busy, talk(running, ECHO) as idle:
        await busy.ask("reset")
        await idle.ask("reset")
        await busy.say({"type": "step", "data": {"what": "hang"}})
        await until(lambda: counts["hanging"] == 1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(running.stop)
            await until(lambda: running.host.stopping)
            with pytest.raises((InvalidStatus, ConnectionClosed, OSError)):
                async with talk(running, ECHO) as late:
                    await late.ask("reset")
            ended = await busy.hear()
            assert ended["data"]["reason"] == "deadline_passed"  # it was let run to its own end
        for client in (busy, idle):
            told = (await client.hear())["data"]
            assert (told["code"], "stopped" in told["message"]) == ("SESSION_ERROR", True)
            assert await client.closed() == 1000


async def test_a_client_that_floods_is_answered_and_holds_up_no_other(serve: Any, talk: Any) -> None:
    async with serve(wire={"pending": 2}) as running, talk(running, ECHO) as flood, talk(running, ECHO) as other:
        await flood.ask("reset")
        await other.ask("reset")
        big = "x" * 20_000

        async def send() -> None:
            for _ in range(300):
                await flood.say({"type": "step", "data": {"message": big}})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            for number in range(20):
                assert (await other.ask("step", {"message": str(number)}))["type"] == "observation"
            for _ in range(300):
                assert len((await flood.hear())["data"]["observation"]["echoed_message"]) == len(big)
