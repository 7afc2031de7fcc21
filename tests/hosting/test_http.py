"""Plain HTTP: OpenEnv's older clients, PrismBench's, and whoever watches."""

from typing import Any

import anyio
import httpx
import pytest

from prismenv.server.environments.health import overall

pytestmark = pytest.mark.anyio
ECHO, TRIED, CODING = "environment_echo", "environment_tried", "environment_coding_challenge"
TOKEN, OTHER = "token-of-the-server-0123456789", "token-of-another-0123456789"
AT = f"/environments/{TRIED}"
TRAIL_KEYS = {
    "problem_statement",
    "test_cases",
    "solution_code",
    "success",
    "output",
    "tests_passed_num",
    "tests_failed_num",
    "tests_errored_num",
    "fixed_by_problem_fixer",
    "attempt_num",
    "error_feedback",
    "test_validation",
    "test_error_analysis",
}
NODE = {"concept": "loops", "difficulty_level": "easy"}


async def test_an_episode_is_kept_between_requests_and_names_tell_episodes_apart(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        assert (await client.get(f"{AT}/state")).json() == {"episode_id": None, "step_count": 0}
        early = await client.post(f"{AT}/step", json={"action": {}})
        assert (early.status_code, early.json()["code"]) == (409, "no_episode")
        first = (await client.post(f"{AT}/reset")).json()
        assert (first["observation"]["who"], first["reward"], first["done"]) == (1, None, False)
        named = (await client.post(f"{AT}/reset", json={"episode_id": "mine", "length": 1})).json()
        headed = (await client.post(f"{AT}/reset", json={}, headers={"X-Session-ID": "h"})).json()
        assert (named["observation"]["who"], headed["observation"]["who"]) == (2, 3)
        step = (await client.post(f"{AT}/step", json={"action": {"what": ""}})).json()
        assert step == {"observation": {"who": 1, "steps": 1}, "reward": 1.0, "done": False}
        last = (await client.post(f"{AT}/step", json={"action": {}, "episode_id": "mine"})).json()
        assert (last["done"], last["metadata"]) == (True, {"truncated": True})
        over = await client.post(f"{AT}/step", json={"action": {}, "episode_id": "mine"})
        assert (over.status_code, over.json()["code"]) == (409, "episode_over")
        states = [
            (await client.get(f"{AT}/state", params=params, headers=headers)).json()["step_count"]
            for params, headers in (({}, {}), ({"episode_id": "mine"}, {}), ({}, {"X-Session-ID": "h"}))
        ]
        assert states == [1, 1, 0]
        assert (await client.get(f"{AT}/state", params={"episode_id": "mine"})).json()["episode_id"] == "mine"


async def test_a_step_with_a_request_id_is_done_once(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        await client.post(f"{AT}/reset")
        asked = {"action": {"what": ""}, "request_id": "r1"}
        answers = [(await client.post(f"{AT}/step", json=asked)).json() for _ in range(3)]
        assert answers[0] == answers[1] == answers[2]
        assert (await client.get(f"{AT}/state")).json()["step_count"] == 1
        await client.post(f"{AT}/reset")
        assert (await client.post(f"{AT}/step", json=asked)).json()["observation"]["steps"] == 1


async def test_a_tenant_sees_no_instance_of_another(serve: Any, http: Any) -> None:
    async with serve(tokens=(TOKEN, OTHER)) as running, http(running, TOKEN) as one, http(running, OTHER) as other:
        await one.post(f"{AT}/reset", json={"episode_id": "mine"})
        stolen = await other.post(f"{AT}/step", json={"action": {}, "episode_id": "mine"})
        assert (stolen.status_code, stolen.json()["code"]) == (409, "no_episode")
        assert (await other.get(f"{AT}/state", params={"episode_id": "mine"})).json()["episode_id"] is None
        assert (await one.post(f"{AT}/step", json={"action": {}, "episode_id": "mine"})).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("step", {}, 422),
        ("step", {"action": {"what": 1}}, 422),
        ("step", {"action": None}, 422),
        ("step", {"action": {}, "timeout_s": -1}, 422),
        ("step", {"action": {}, "timeout_s": "soon"}, 422),
        ("step", {"action": {}, "request_id": 7}, 422),
        ("step", {"action": {}, "episode_id": 7}, 422),
        ("step", {"action": {"what": "raise"}}, 500),
        ("step", {"action": {"what": "hang"}, "timeout_s": 0.1}, 504),
        ("reset", {"seed": "x"}, 422),
        ("reset", {"seed": 1.5}, 422),
        ("reset", {"episode_id": ""}, 422),
    ],
)
async def test_what_cannot_be_done_is_told_with_a_status_and_a_code(
    serve: Any, http: Any, path: str, body: dict[str, Any], status: int
) -> None:
    async with serve() as running, http(running) as client:
        await client.post(f"{AT}/reset")
        answer = await client.post(f"{AT}/{path}", json=body)
        assert answer.status_code == status, answer.text
        assert {"detail", "code"} <= answer.json().keys()
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"[" * 10_000, "application/json", 400),
        (b'{"a": ' * 200 + b"1" + b"}" * 200, "application/json", 422),
        (b'{"seed": NaN}', "application/json", 400),
        (b"\xff\xfe{}", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"a" * 20_000, "application/json", 413),
    ],
)
async def test_a_body_that_is_wrong_is_refused(serve: Any, http: Any, content: bytes, kind: str, status: int) -> None:
    async with serve(wire={"message_bytes": 10_000}) as running, http(running) as client:
        answer = await client.post(f"{AT}/reset", content=content, headers={"Content-Type": kind})
        assert answer.status_code == status, answer.text


async def test_a_client_that_goes_away_cancels_its_step(serve: Any, http: Any, counts: Any, until: Any) -> None:
    async with serve() as running, http(running) as client:
        await client.post(f"{AT}/reset")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.post(f"{AT}/step", json={"action": {"what": "hang"}}))
            await until(lambda: counts["hanging"] == 1)
            tasks.cancel_scope.cancel()
        await until(lambda: counts["cancelled"] == 1)


async def test_a_full_server_says_when_to_come_again(serve: Any, http: Any) -> None:
    async with serve(limits={"instances": 1, "queue_seconds": 0.1}) as running, http(running) as client:
        await client.post(f"{AT}/reset")
        full = await client.post(f"{AT}/reset", json={"episode_id": "more"})
        assert (full.status_code, full.json()["code"]) == (503, "capacity_reached")
        assert full.headers["retry-after"] == "1"


async def test_an_episode_that_is_over_makes_room_for_the_next_and_one_that_runs_does_not(
    serve: Any, http: Any
) -> None:
    async with serve(limits={"instances": 2, "queue_seconds": 0.1}) as running, http(running) as client:
        await client.post(f"{AT}/reset", json={"episode_id": "runs"})
        for number in range(5):
            name = {"episode_id": f"episode-{number}"}
            assert (await client.post(f"{AT}/reset", json={**name, "length": 1})).status_code == 200
            assert (await client.post(f"{AT}/step", json={**name, "action": {}})).json()["done"]
        assert (await client.post(f"{AT}/step", json={"action": {}, "episode_id": "runs"})).status_code == 200
        assert running.host.active == 2


async def test_what_is_there_is_described(serve: Any, http: Any) -> None:
    async with serve(only=ECHO) as running, http(running) as client:
        metadata = (await client.get("/metadata")).json()
        assert set(metadata) == {"name", "description", "readme_content", "version", "author", "documentation_url"}
        assert metadata["name"] == ECHO
        schema = (await client.get("/schema")).json()
        assert schema["action"]["required"] == ["message"]
        assert "echoed_message" in schema["observation"]["properties"]
        assert "step_count" in schema["state"]["properties"]
        assert (await client.post("/reset")).json()["observation"]["echoed_message"] == "Echo environment ready!"
        root = (await client.get("/")).json()
        assert root["environments"][CODING] == {"faces": ["node", "episode"], "address": f"/environments/{CODING}"}


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        (("healthy", "healthy"), "healthy"),
        (("healthy", "not configured"), "healthy"),
        (("not configured",), "not configured"),
        (("healthy", "unhealthy"), "degraded"),
        (("unhealthy", "not configured"), "unhealthy"),
    ],
)
async def test_what_nobody_configured_says_nothing_of_the_rest(statuses: tuple[str, ...], told: str) -> None:
    assert overall({str(number): {"status": status} for number, status in enumerate(statuses)}) == told


async def test_health_tells_the_truth_of_each_environment(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        health = (await client.get("/health")).json()
        # the scripted sandbox runs no program, so it is not healthy, and what rests on it is not either
        assert (health["status"], health["service"]) == ("unhealthy", "environment")
        assert health["environments"][CODING]["checks"]["agent_problem_solver"] == "healthy"
        one = (await client.get(f"{AT}/health")).json()
        assert set(one["environments"]) == {TRIED}
    async with serve(tokens=(TOKEN,)) as running, http(running) as stranger:
        assert set((await stranger.get("/health")).json()) == {"status", "service"}
        assert "environments" not in (await stranger.get("/")).json()


async def test_metrics_count_calls_and_places(serve: Any, http: Any, talk: Any) -> None:
    async with serve(tokens=(TOKEN,)) as running, http(running, TOKEN) as client:
        await client.post(f"{AT}/reset")
        await client.post(f"{AT}/step", json={"action": {"what": "raise"}})
        async with talk(running, ECHO, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as talking:
            await talking.ask("reset")
            page = (await client.get("/metrics")).text
        assert f'calls_total{{call="reset",environment="{ECHO}",outcome="ok"}} 1.0' in page
        assert f'calls_total{{call="step",environment="{TRIED}",outcome="environment_raised"}} 1.0' in page
        assert "prismenv_environment_instances 2.0" in page
        assert TOKEN not in page


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{AT}/reset", 405),
        ("POST", "/environments/environment_tired/reset", 404),
        ("POST", "/reset", 404),
        ("GET", "/nothing", 404),
        ("POST", "/run-challenge?environment_name=../../etc/passwd", 404),
        ("GET", "/environments/%2e%2e%2fetc/schema", 404),
    ],
)
async def test_what_is_not_there_is_not_found(serve: Any, http: Any, method: str, path: str, status: int) -> None:
    async with serve() as running, http(running) as client:
        answer = await client.request(method, path, json=NODE if method == "POST" else None)
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong-0123456789abcdef"}, 401),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}, 403),
    ],
)
async def test_nothing_is_done_without_a_token_or_for_another_page(
    serve: Any, http: Any, headers: dict[str, str], status: int
) -> None:
    async with serve(tokens=(TOKEN,)) as running, http(running) as client:
        for method, path in (
            ("POST", f"{AT}/reset"),
            ("GET", f"{AT}/state"),
            ("POST", "/run-challenge"),
            ("GET", "/metrics"),
        ):
            assert (await client.request(method, path, headers=headers)).status_code == status
        assert running.host.active == 0


async def test_a_page_of_a_browser_cannot_reach_a_server_without_tokens_by_a_name_of_its_own(
    serve: Any, http: Any
) -> None:
    async with serve() as running, http(running) as client:
        assert (await client.post(f"{AT}/reset", headers={"Host": "evil.example"})).status_code == 403
        assert (await client.post(f"{AT}/reset", headers={"Origin": "null"})).status_code == 403
        assert (await client.options(f"{AT}/reset", headers={"Origin": "https://evil.example"})).status_code in (
            403,
            405,
        )


async def test_a_prismbench_client_runs_a_challenge(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        asked = {**NODE, "max_attempts": 2, "previous_problems": []}
        for params in ({}, {"environment_name": CODING}):
            answer = await client.post("/run-challenge", params=params, json=asked)
            assert answer.status_code == 200, answer.text
            result = answer.json()
            assert result["success"] is True
            (record,) = result["data_trail"]
            assert record.keys() >= TRAIL_KEYS
            assert record["problem_statement"] == "Write a function."
        assert running.host.active == 0


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"difficulty_level": "easy"}, 422, "concept"),
        ({"concept": "loops"}, 422, "difficulty_level"),
        ({**NODE, "concept": 5}, 422, "concept"),
        ({**NODE, "max_attempts": 0}, 422, "max_attempts"),
        ({**NODE, "max_atempts": 3}, 422, "takes no option"),
        ({**NODE, "previous_problems": {"a": 1}}, 422, "previous_problems"),
        ({**NODE, "timeout": "x"}, 422, "timeout"),
        ({**NODE, "self": 1}, 422, "self"),
    ],
)
async def test_a_challenge_that_is_asked_wrongly_is_refused_with_what_is_wrong(
    serve: Any, http: Any, body: dict[str, Any], status: int, says: str
) -> None:
    async with serve() as running, http(running) as client:
        answer = await client.post("/run-challenge", json=body)
        assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.text


async def test_metrics_count_whole_challenges(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        assert (await client.post("/run-challenge", json=NODE)).status_code == 200
        await client.post("/run-challenge", params={"environment_name": ECHO}, json=NODE)
        page = (await client.get("/metrics")).text
        counted = 'prismenv_environment_calls_total{call="run_challenge",environment="%s",outcome="%s"} 1.0'
        assert counted % ("environment_coding_challenge", "ok") in page
        assert counted % (ECHO, "no_node_face") in page


async def test_an_environment_without_a_node_face_runs_no_challenge(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        answer = await client.post("/run-challenge", params={"environment_name": ECHO}, json=NODE)
        assert (answer.status_code, answer.json()["code"]) == (404, "no_node_face")


async def test_a_request_whose_head_never_comes_is_closed(serve: Any) -> None:
    async with serve(wire={"header_seconds": 0.2}) as running:
        address = httpx.URL(running.url)
        stream = await anyio.connect_tcp(address.host, address.port or 0)
        async with stream:
            await stream.send(b"POST /reset HTTP/1.1\r\nHost: local")
            with anyio.fail_after(60), pytest.raises(anyio.EndOfStream):
                await stream.receive()
