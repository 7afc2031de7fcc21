"""Many instances in one call: over HTTP as it is said, as VAGEN's trainers say it, and by the client."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import pytest

from prismenv import (
    Action,
    ActionException,
    BaseEnvironment,
    ConfigurationException,
    EnvironmentBatch,
    EnvironmentConfig,
    EnvironmentException,
    EnvironmentExecutionException,
    HostException,
    Observation,
    ProtocolException,
    StepResult,
    environment_registry,
)
from prismenv.engine.host.opening import HostedEnvironments

pytestmark = pytest.mark.anyio
ECHO, TRIED, CODING, SPOKEN = (
    "environment_echo",
    "environment_tried",
    "environment_coding_challenge",
    "environment_spoken",
)
TOKEN, OTHER = "token-of-the-server-0123456789", "token-of-another-0123456789"
READY = {"echoed_message": "Echo environment ready!", "message_length": 0}
Open = Callable[..., AbstractAsyncContextManager[EnvironmentBatch[Any]]]


class Spoken(BaseEnvironment):
    """Text in and out, as VAGEN's environments are written."""

    def reset(self, seed: int | None = None, word: str = "word") -> tuple[dict[str, Any], dict[str, Any]]:
        self._word = word
        return {"obs_str": f"say {word}, {seed}", "multi_modal_data": {}}, {}

    def step(self, action: str) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        if action == "nothing that can be written":
            return {"obs_str": object()}, 0.0, False, {}
        right = action == self._word
        metrics = {"turn_metrics": {"action_is_valid": right}, "traj_metrics": {"success": right}}
        info = {"metrics": metrics, "llm_raw_response": action, "llm_response": action.strip()}
        return {"obs_str": "right" if right else "wrong"}, float(right), right, info

    def system_prompt(self) -> str:
        return "Say the word."


@pytest.fixture
def hosted(hosted: HostedEnvironments) -> HostedEnvironments:
    environment_registry.register(SPOKEN)(Spoken)
    return HostedEnvironments(hosted.services, {**hosted.configs, SPOKEN: EnvironmentConfig()})


@pytest.fixture(params=["server", "local"])
def opened(request: pytest.FixtureRequest, serve: Any, hosted: Any) -> Open:
    """`opened(name, observation=…)`: a batch, on a server or in this process."""

    @asynccontextmanager
    async def on_server(name: str, **types: Any) -> AsyncIterator[EnvironmentBatch[Any]]:
        async with serve() as running, EnvironmentBatch(running.url, name, **types) as batch:
            yield batch

    @asynccontextmanager
    async def in_process(name: str, **types: Any) -> AsyncIterator[EnvironmentBatch[Any]]:
        made = EnvironmentBatch.local(name, config=hosted.configs[name], services=hosted.services, seed=7, **types)
        async with made as batch:
            yield batch

    return on_server if request.param == "server" else in_process


class Say(Action):
    message: str


class Heard(Observation):
    echoed_message: str
    message_length: int = 0


async def test_each_has_its_own_outcome_in_the_order_of_asking(opened: Open) -> None:
    async with opened(TRIED) as batch:
        first = await batch.reset({"b": {}, "a": {"length": 1}, "c": {"seed": -1}})
        assert list(first) == ["b", "a", "c"]
        assert isinstance(first["c"], ConfigurationException)
        assert [isinstance(first[name], StepResult) for name in "ab"] == [True, True]
        steps = await batch.step({"a": {}, "b": {"what": "raise"}, "c": {}, "nobody": {}})
        ended = steps["a"]
        assert isinstance(ended, StepResult)
        assert (ended.observation["steps"], ended.reward, ended.truncated) == (1, 1.0, True)
        raised, no_reset, nobody = steps["b"], steps["c"], steps["nobody"]
        assert isinstance(raised, EnvironmentExecutionException)
        assert "told to" in raised.message
        assert isinstance(no_reset, EnvironmentException)
        assert isinstance(nobody, EnvironmentException)
        assert (no_reset.code, nobody.code) == ("no_episode", "no_episode")
        wrong = (await batch.reset({"b": {}}), await batch.step({"b": {"what": 1}}))[1]["b"]
        assert isinstance(wrong, ActionException)
        assert wrong.errors[0]["loc"] == ["what"]
        state = await batch.state(["b", "a", "nobody"])
        assert [state["a"], state["b"]["step_count"]] == [{**state["a"], "step_count": 1}, 0]  # type: ignore[index,dict-item]
        assert (await batch.compute_reward(["a"]), await batch.system_prompt(["new"])) == (
            {"a": 1.0},
            {"new": "Do as you are told."},
        )


async def test_what_cannot_be_told_is_an_error_of_its_own(opened: Open) -> None:
    async with opened(SPOKEN) as batch:
        await batch.reset({"a": {}, "b": {}})
        steps = await batch.step({"a": {"action_str": "nothing that can be written"}, "b": {"action_str": "word"}})
        assert isinstance(steps["a"], EnvironmentException)
        assert isinstance(steps["b"], StepResult)


@pytest.mark.parametrize("key", ["steps", "ids2actions"])
async def test_a_result_that_cannot_be_written_costs_the_others_nothing(serve: Any, http: Any, key: str) -> None:
    actions = {"a": "nothing that can be written", "b": "word"}
    body = {"steps": {name: {"action": each} for name, each in actions.items()}, "ids2actions": actions}
    async with serve(only=SPOKEN) as running, http(running) as client:
        await client.post("/batch/reset", json={"resets": {name: {} for name in actions}})
        answer = await client.post("/batch/step", json={key: body[key]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["errors"].keys() == {"a"}
        assert "right" in str(answer.json()["results"]["b"])


async def test_instances_are_made_by_reset_and_let_go_by_close(serve: Any, until: Any, counts: Any) -> None:
    async with serve() as running, EnvironmentBatch(running.url, TRIED) as batch:
        names = [f"env-{number}" for number in range(40)]
        await batch.reset({name: {"seed": 1} for name in names})
        assert (running.host.active, counts["opened"]) == (40, 40)
        await batch.reset({name: {} for name in names})
        assert counts["opened"] == 40
        assert await batch.close([*names[:30], "nobody"]) == dict.fromkeys([*names[:30], "nobody"])
        assert (running.host.active, counts["closed"]) == (10, 30)


async def test_they_run_beside_each_other(opened: Open, counts: dict[str, int], until: Any) -> None:
    async with opened(TRIED) as batch:
        await batch.reset({"a": {}, "b": {}, "c": {}})
        with anyio.move_on_after(60) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(batch.step, {name: {"what": "hang"} for name in "abc"})
                await until(lambda: counts["hanging"] == 3)
                group.cancel_scope.cancel()
        assert not scope.cancelled_caught


async def test_the_same_seed_is_the_same_trajectory_alone_and_among_many(opened: Open) -> None:
    async with opened(CODING) as batch:
        many = await batch.reset({str(number): {"seed": number % 2} for number in range(6)})
        seen = [each.observation for each in many.values() if isinstance(each, StepResult)]
        assert seen == [seen[0], seen[1]] * 3


async def test_results_are_of_the_callers_types(opened: Open) -> None:
    async with opened(ECHO, observation=Heard) as batch:
        await batch.reset({"a": {}})
        heard = (await batch.step({"a": Say(message="hello")}))["a"]
        assert isinstance(heard, StepResult)
        assert heard.observation == Heard(echoed_message="hello", message_length=5, reward=0.5)
    async with opened(SPOKEN, observation=str) as spoken:
        await spoken.reset({"a": {}})
        told = (await spoken.step({"a": " word"}))["a"]
        assert isinstance(told, StepResult)
        assert told.info["llm_raw_response"] == " word"
        assert told.info["llm_response"] == "word"


def test_without_async(hosted: Any) -> None:
    batch = EnvironmentBatch.local(ECHO, config=hosted.configs[ECHO], services=hosted.services)
    with batch.sync() as opened:
        opened.reset({"a": {}, "b": {}})
        said = opened.step({"a": {"message": "x"}, "b": {"massage": "x"}})
        assert isinstance(said["a"], StepResult)
        assert isinstance(said["b"], ActionException)
        assert opened.compute_reward(["a"]) == {"a": pytest.approx(0.1)}
        assert opened.state(["a"])["a"]["step_count"] == 1  # type: ignore[index]
        assert (opened.system_prompt(["a"]), opened.close(["a"])) == ({"a": None}, {"a": None})
    with pytest.raises(ConfigurationException):
        opened.reset({})


async def test_what_concerns_all_is_raised(serve: Any) -> None:
    async with serve(tokens=(TOKEN,)) as running:
        for name, token, code in ((ECHO, None, "unauthorised"), ("environment_ecko", TOKEN, "unknown_environment")):
            async with EnvironmentBatch(running.url, name, token=token) as batch:
                with pytest.raises(HostException) as refused:
                    await batch.reset({"a": {}})
                assert refused.value.code == code
        url = running.url
    async with EnvironmentBatch(url, ECHO, reconnect_seconds=0.2) as away:
        with pytest.raises(HostException) as gone:
            await away.reset({"a": {}})
        assert gone.value.code == "unreachable"
    for url, token in (("127.0.0.1", None), ("http://127.0.0.1", "a b"), ("http://a:secret@127.0.0.1", None)):
        with pytest.raises(ConfigurationException):
            EnvironmentBatch(url, token=token)
    with pytest.raises(HostException):
        await away.reset({"a": {}})


async def test_a_request_that_is_sent_again_is_done_once(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        at = f"/environments/{TRIED}/batch"
        resets = {"resets": {"a": {}, "b": {}}, "request_id": "r"}
        first = (await client.post(f"{at}/reset", json=resets)).json()
        assert (await client.post(f"{at}/reset", json=resets)).json() == first
        steps = {"steps": {"a": {"action": {}}, "b": {"action": {}, "request_id": "own"}}, "request_id": "s"}
        once = (await client.post(f"{at}/step", json=steps)).json()
        assert (await client.post(f"{at}/step", json=steps)).json() == once
        state = (await client.post(f"{at}/state", json={"ids": ["a", "b"]})).json()["results"]
        assert [each["step_count"] for each in state.values()] == [1, 1]
        # The instances are those that a header names.
        headers = {"X-Session-ID": "a"}
        alone = await client.post(f"/environments/{TRIED}/step", json={"action": {}}, headers=headers)
        assert alone.json()["observation"]["steps"] == 2


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("reset", {}),
        ("reset", {"resets": []}),
        ("reset", {"resets": {"a": 1}}),
        ("reset", {"resets": {"": {}}}),
        ("reset", {"resets": {"x" * 400: {}}}),
        ("reset", {"resets": {}, "request_id": 3}),
        ("step", {"steps": {"a": {}}}),
        ("step", {"steps": {"a": None}}),
        ("state", {"ids": "a"}),
        ("state", {"ids": [["a"]]}),
        ("state", {"ids": [True]}),
        ("state", {"env_ids": ["a"]}),
        ("reset", {"ids2seeds": 1}),
        ("step", {"ids2actions": None}),
        ("close", {"env_ids": None}),
    ],
)
async def test_a_body_that_is_not_as_it_should_be_is_refused(serve: Any, http: Any, kind: str, body: Any) -> None:
    async with serve() as running, http(running) as client:
        answer = await client.post(f"/environments/{ECHO}/batch/{kind}", json=body)
        assert answer.status_code == 422, answer.text
        assert running.host.active == 0


async def test_there_is_a_most_of_instances_in_a_request(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        resets = {"resets": {str(number): {} for number in range(4097)}}
        assert (await client.post(f"/environments/{ECHO}/batch/reset", json=resets)).status_code == 413


async def test_one_for_whom_there_is_no_room_has_an_error_of_its_own(serve: Any) -> None:
    async with (
        serve(limits={"instances": 2, "queue_seconds": 0.2}) as running,
        EnvironmentBatch(running.url, ECHO) as batch,
    ):
        made = await batch.reset({"a": {}, "b": {}, "c": {}})
        errors = [each.code for each in made.values() if isinstance(each, EnvironmentException)]
        assert errors == ["capacity_reached"]


async def test_instances_of_others_are_not_reached(serve: Any) -> None:
    async with serve(tokens=(TOKEN, OTHER)) as running:
        async with EnvironmentBatch(running.url, ECHO, token=TOKEN) as mine:
            await mine.reset({"a": {}})
        async with EnvironmentBatch(running.url, ECHO, token=OTHER) as theirs:
            await theirs.close(["a"])
            assert isinstance((await theirs.state(["a"]))["a"], EnvironmentException)
        assert running.host.active == 1


async def test_a_server_that_answers_nonsense_is_told_so() -> None:
    async def nonsense(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b'HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{"results":{},"errors":{}} ')

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, nonsense)
            async with EnvironmentBatch(f"http://127.0.0.1:{port}", ECHO) as batch:
                with pytest.raises(ProtocolException, match="says nothing of 'a'"):
                    await batch.reset({"a": {}})
            group.cancel_scope.cancel()


# VAGEN's dialect, said as its own client says it.


async def test_vagens_trainer_makes_resets_steps_and_closes(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:

        async def say(path: str, **body: Any) -> dict[str, Any]:
            answer = await client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        configs = {
            "train0": {"env_name": SPOKEN, "env_config": {"word": "tree"}},
            "train1": {"env_name": SPOKEN},
            "train2": {"env_name": ECHO, "env_config": {}},
        }
        assert await say("/environments", ids2configs=configs) == {"success": True}
        assert running.host.active == 3
        prompts = await say("/batch/system_prompt", env_ids=list(configs))
        assert prompts["system_prompts"] == {"train0": "Say the word.", "train1": "Say the word.", "train2": ""}
        resets = await say("/batch/reset", ids2seeds={"train0": 5, "train1": None, "train2": 1})
        observation, info = resets["results"]["train0"]
        assert observation == {"obs_str": "say tree, 5", "multi_modal_data": {}}
        assert info["metrics"] == {"turn_metrics": {}, "traj_metrics": {}}
        actions = {"train0": "tree", "train1": "tree", "train2": "hello", "nobody": "x"}
        steps = await say("/batch/step", ids2actions=actions)
        observation, reward, done, info = steps["results"]["train0"]
        assert (observation["obs_str"], reward, done) == ("right", 1.0, True)
        assert info["metrics"]["traj_metrics"] == {"success": True}
        assert info["llm_raw_response"] == "tree"
        assert steps["results"]["train1"][1:3] == [0.0, False]
        assert steps["results"]["train2"][0]["echoed_message"] == "hello"
        assert steps["results"]["train2"][1] == pytest.approx(0.5)
        assert steps["results"]["nobody"][2] is True
        assert steps["errors"].keys() == {"nobody"}
        again = (await say("/batch/step", ids2actions={"train2": '{"massage": "hello"}'}))["results"]["train2"]
        assert (again[2], again[3]["code"]) == (False, "bad_action")  # the episode goes on
        rewards = await say("/batch/reward", env_ids=["train0", "train2", "nobody"])
        assert rewards["rewards"] == {"train0": 1.0, "train2": pytest.approx(0.5), "nobody": 0.0}
        assert await say("/batch/close", env_ids=list(configs)) == {"success": True}
        assert running.host.active == 0


@pytest.mark.parametrize("value", ['"\\ud800"', "[" * 80 + "]" * 80, "[" * 100_000, "NaN"])
async def test_a_policys_text_is_held_to_what_a_request_is(serve: Any, http: Any, value: str) -> None:
    text = f'{{"message": "a", "metadata": {{"more": {value}}}}}'
    async with serve(only=ECHO) as running, http(running) as client:
        await client.post("/batch/reset", json={"ids2seeds": {"a": 1}})
        answer = (await client.post("/batch/step", json={"ids2actions": {"a": text}})).json()
        assert answer["results"]["a"][0]["echoed_message"] == text


async def test_vagens_instances_are_all_made_or_none(serve: Any, http: Any) -> None:
    async with serve(limits={"instances": 1, "queue_seconds": 0.1}) as running, http(running) as client:
        configs = {"a": {"env_name": ECHO}, "b": {"env_name": ECHO}}
        answer = (await client.post("/environments", json={"ids2configs": configs})).json()
        assert answer["success"] is False
        assert "room" in answer["error"]
        assert running.host.active == 0
        for config, status in (({"env_name": "environment_ecko"}, 404), ({}, 422), (1, 422)):
            refused = await client.post("/environments", json={"ids2configs": {"a": config}})
            assert refused.status_code == status


async def test_where_one_environment_is_served_vagens_instances_need_no_names(serve: Any, http: Any) -> None:
    async with serve(only=SPOKEN) as running, http(running) as client:
        made = (await client.post("/environments", json={"ids2configs": {"1": {}}})).json()
        assert made == {"success": True}
        reset = (await client.post("/batch/reset", json={"ids2seeds": {"1": 2}})).json()
        assert reset["results"]["1"][0]["obs_str"] == "say word, 2"
        assert (await client.post("/batch/close", json={"env_ids": [1]})).json() == {"success": True}
        assert running.host.active == 0
