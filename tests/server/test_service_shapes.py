"""What PrismBench's own clients see of the service, and what ours does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.server.documents import describe
from prismenv.sessions.agentfile import AgentFile, read_agent
from prismenv.sessions.local import InProcessInterface
from prismenv.testing.transport import HeldTransport, ScriptedTransport
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

pytestmark = pytest.mark.anyio
FENCED = "```python\ndef solution():\n    return 1\n```"
CODE = "def solution():\n    return 1"
PROBLEM = {"problem_statement": "P"}
SOLVER = "problem_solver"


def question(**changes: Any) -> dict[str, Any]:
    return {"session_id": "s-1", "input_data": PROBLEM, "role": SOLVER, "use_agent": False, **changes}


async def test_a_client_of_the_current_shape_asks_and_reads_and_deletes(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        design = question(role="challenge_designer", input_data={"concepts": ["loops"]})
        first = await client.post("/interact", json=design)
        assert (first.status_code, first.json()) == (200, {"message": "Write a function.", "session_id": "s-1"})
        second = await client.post("/interact", json=question())
        assert second.json()["message"].strip() == CODE
        history = (await client.get("/session_history/s-1")).json()
        assert history == {
            "session_id": "s-1",
            "history": {
                "challenge_designer": {
                    "role": "challenge_designer",
                    "history": [{"concepts": ["loops"], "response": "Write a function."}],
                },
                SOLVER: {"role": SOLVER, "history": [{**PROBLEM, "response": second.json()["message"]}]},
            },
        }
        active = (await client.get("/active_sessions")).json()
        assert active["s-1"]["roles"] == ["challenge_designer", SOLVER]
        assert active["s-1"]["exchanges"] == 2
        gone = await client.delete("/session/s-1")
        assert (gone.status_code, gone.json()["message"]) == (200, "Session s-1 deleted")
        assert (await client.get("/session_history/s-1")).status_code == 404
        assert (await client.delete("/session/s-1")).status_code == 404


async def test_a_client_of_the_older_shape_initializes_asks_and_polls(serve: Any, http: Any, until: Any) -> None:
    transport = HeldTransport({SOLVER: FENCED})
    async with serve(transport) as running, http(running) as client:
        opened = (await client.post("/initialize", json={"role": SOLVER})).json()
        asked = {"session_id": opened["session_id"], "input_data": PROBLEM, "use_agent": False}
        task = (await client.post("/interact", json=asked)).json()["task_id"]
        assert (await client.get(f"/task_status/{task}")).json()["status"] in ("pending", "processing")
        await until(lambda: transport.begun == 1)
        transport.release.set()
        while (status := (await client.get(f"/task_status/{task}")).json())["status"] == "processing":  # noqa: ASYNC110 - what is waited for has no event
            await anyio.sleep(0.01)
        assert status["status"] == "completed"
        assert status["result"]["response"].strip() == CODE
        assert status["error"] is None
        assert (await client.get(f"/session_history/{opened['session_id']}")).json()["history"][SOLVER]["history"]
        unknown = await client.post("/initialize", json={"role": "oracle"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_role")


async def test_a_long_poll_is_answered_when_the_task_is_done_and_not_before(serve: Any, http: Any, until: Any) -> None:
    transport = HeldTransport({SOLVER: FENCED})
    statuses: list[str] = []
    async with serve(transport) as running, http(running) as client:
        session = (await client.post("/initialize", json={"role": SOLVER})).json()["session_id"]
        body = {"session_id": session, "input_data": PROBLEM}
        task = (await client.post("/interact", json=body)).json()["task_id"]

        async def wait() -> None:
            statuses.append((await client.get(f"/task_status/{task}", params={"wait": "50"})).json()["status"])

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await until(lambda: transport.begun == 1)
            await anyio.sleep(0.1)
            assert not statuses
            transport.release.set()
        assert statuses == ["completed"]


async def test_a_preferred_wait_brings_the_answer_with_the_question(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        session = (await client.post("/initialize", json={"role": SOLVER})).json()["session_id"]
        body = {"session_id": session, "input_data": PROBLEM}
        done = (await client.post("/interact", json=body, headers={"Prefer": "respond-async, wait=30"})).json()
        assert done["status"] == "completed"
        assert done["result"]["response"].strip() == CODE


async def test_the_same_question_again_is_not_asked_twice(serve: Any, http: Any) -> None:
    transport = ScriptedTransport({SOLVER: [FENCED, FENCED]})
    async with serve(transport) as running, http(running) as client:
        for key in ("one", "one", "two", "two"):
            answer = await client.post("/interact", json=question(), headers={"Idempotency-Key": key})
            assert answer.json()["message"].strip() == CODE
        assert transport.calls[SOLVER] == 2
        opened = (await client.post("/initialize", json={"role": "challenge_designer"})).json()["session_id"]
        body = {"session_id": opened, "input_data": {"concepts": "loops"}}
        tasks = [
            (await client.post("/interact", json=body, headers={"Idempotency-Key": "k"})).json()["task_id"]
            for _ in range(2)
        ]
        assert tasks[0] == tasks[1]


@pytest.mark.parametrize("dialect", ["auto", "full", "message", "task"])
async def test_our_client_gets_its_answers_in_each_dialect(serve: Any, connect: Any, dialect: str) -> None:
    transport = ScriptedTransport({SOLVER: [FENCED, FENCED]})
    async with serve(transport) as running, connect(running, dialect=dialect) as client:
        await client.ping(SOLVER)
        session = await client.initialize_session(SOLVER, seed=3)
        assert (await client.interact(session, SOLVER, PROBLEM)).text.strip() == CODE
        await client.interact(session, SOLVER, {"error_feedback": "failed"})
        await client.cleanup_session(session)
        assert not await running.service.sessions("")
    assert [message.role for message in transport.requests[-1].messages] == ["system", "user", "assistant", "user"]


async def test_the_full_shape_carries_all_that_is_known_in_process(
    serve: Any, connect: Any, in_process: Callable[[ScriptedTransport], InProcessInterface]
) -> None:
    transport = ScriptedTransport({SOLVER: FENCED, "test_generator": "There are none."})
    labels = {"concepts": ["loops"], "difficulty": "easy"}
    async with serve(transport) as running, connect(running) as remote, in_process(transport) as local:
        answers, errors = [], []
        for client in (local, remote):
            session = await client.initialize_session(SOLVER, seed=7, labels=labels)
            answers.append(await client.interact(session, SOLVER, {**PROBLEM, "hint": ["a", "b"]}))
            other = await client.initialize_session("test_generator", seed=7, labels=labels)
            with pytest.raises(AgentCommunicationException) as caught:
                await client.interact(other, "test_generator", PROBLEM)
            errors.append(caught.value)
    assert answers[0] == answers[1]
    assert answers[1].appended == ("hint",)
    assert [(each.code, each.message, each.usage, each.prompt, each.raw) for each in errors[:1]] == [
        (each.code, each.message, each.usage, each.prompt, each.raw) for each in errors[1:]
    ]
    here, _, there, _ = transport.requests
    assert (here.seed, here.labels, here.messages, here.inputs) == (
        there.seed,
        there.labels,
        there.messages,
        there.inputs,
    )


async def test_an_answer_of_no_use_is_the_clients_to_judge(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        answer = await client.post("/interact", json=question(role="test_generator"))
        assert (answer.status_code, answer.json()["message"]) == (200, "There are no tests.")


@pytest.mark.parametrize(
    ("code", "status"), [("rate_limited", 429), ("timed_out", 504), ("unavailable", 502), ("unauthorised", 424)]
)
async def test_a_model_that_gives_no_answer_is_a_status_that_says_whether_to_ask_again(
    serve: Any, http: Any, connect: Any, code: str, status: int
) -> None:
    transport = ScriptedTransport({})
    transport.fail_when(lambda _: AgentCommunicationException("the model is away", code=code))
    async with serve(transport) as running, http(running) as client, connect(running) as ours:
        refused = await client.post("/interact", json=question())
        assert refused.status_code == status
        assert refused.json() == {"detail": "the model is away", "code": code}
        asked = transport.calls[SOLVER]
        session = await ours.initialize_session(SOLVER)
        with pytest.raises(AgentCommunicationException, match="the model is away") as caught:
            await ours.interact(session, SOLVER, PROBLEM)
        assert caught.value.code == code
        assert transport.calls[SOLVER] == 2 * asked  # repeated by the service, and not once more by its client


async def test_an_answer_of_ten_megabytes_is_refused_and_the_service_goes_on(
    serve: Any, http: Any, connect: Any
) -> None:
    texts = ["x" * 10_000_000, FENCED, "x" * 10_000_000]
    async with serve(ScriptedTransport({SOLVER: texts})) as running, http(running) as client:
        refused = await client.post("/interact", json=question())
        assert (refused.status_code, refused.json()["code"]) == (424, "answer_too_large")
        assert (await client.post("/interact", json=question())).status_code == 200
        async with connect(running) as ours:
            session = await ours.initialize_session(SOLVER)
            with pytest.raises(AgentCommunicationException) as caught:
                await ours.interact(session, SOLVER, PROBLEM)
            assert caught.value.code == "answer_too_large"
            assert caught.value.usage is not None


async def test_slips_of_our_clients_are_errors_of_their_configuration(serve: Any, connect: Any) -> None:
    async with serve() as running, connect(running) as client:
        session = await client.initialize_session(SOLVER)
        with pytest.raises(ConfigurationException, match="problem_statement"):
            await client.interact(session, SOLVER, {"problem_statment": "P"})
        oracle = await client.initialize_session("oracle")
        with pytest.raises(ConfigurationException, match="oracle") as caught:
            await client.interact(oracle, "oracle", {})
        assert caught.value.code == "unknown_role"


async def test_a_session_that_the_service_forgot_does_not_begin_anew(serve: Any, http: Any, connect: Any) -> None:
    async with serve() as running, http(running) as client, connect(running) as ours:
        session = await ours.initialize_session(SOLVER)
        await ours.interact(session, SOLVER, PROBLEM)
        await client.delete(f"/session/{session}")
        with pytest.raises(AgentCommunicationException, match="forgotten") as caught:
            await ours.interact(session, SOLVER, {"error_feedback": "failed"})
        assert caught.value.code == "unknown_session"


async def test_health_names_the_model_that_cannot_be_reached(serve: Any, http: Any, connect: Any) -> None:
    transport = ScriptedTransport({})
    await transport.aclose()
    async with serve(transport) as running, http(running) as client:
        found = await client.get("/health")
        assert found.status_code == 200
        assert (found.json()["status"], found.json()["service"]) == ("degraded", "llm_interface")
        assert found.json()["roles"][SOLVER] == {
            "model": f"scripted/{SOLVER}",
            "status": "unreachable",
            "error": "the scripted transport is closed",
        }
        async with connect(running) as ours:
            with pytest.raises(AgentCommunicationException, match="closed"):
                await ours.ping(SOLVER)
    async with serve() as running, http(running) as client:
        assert (await client.get("/health")).json()["status"] == "healthy"


async def test_the_documents_and_the_counters_are_there(serve: Any, http: Any) -> None:
    async with serve() as running, http(running) as client:
        await client.post("/interact", json=question())
        root = (await client.get("/")).json()
        for link in root["links"].values():
            assert (await client.get(link)).status_code == 200
        described = (await client.get("/openapi.json")).json()
        assert described == describe()
        page = (await client.get("/docs")).text
        assert all(path in page for path in described["paths"])
        counters = (await client.get("/metrics")).text
        assert f'prismenv_llm_interactions_total{{outcome="answered",role="{SOLVER}"}} 1.0' in counters
        assert f'prismenv_llm_tokens_total{{kind="completion",role="{SOLVER}"}} 10.0' in counters
        assert 'prismenv_http_requests_total{path="/interact",status="200"} 1.0' in counters
        assert "prismenv_llm_sessions 1.0" in counters


async def test_inputs_that_no_template_takes_are_told_without_a_path_of_the_service(
    serve: Any, http: Any, agents: dict[str, AgentFile], tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "role: mine\nsystem_prompt: Be brief.\ninteraction_templates:\n"
        "  default:\n    template: 'Do: {task}'\n    inputs: [{name: task}]\n"
        "    outputs: [{name: response, type: text}]\n"
    )
    agents["mine"] = read_agent(path)
    async with serve() as running, http(running) as client:
        asked = {"session_id": "s-1", "role": "mine", "input_data": {"other": "x"}}
        answer = await client.post("/interact", json=asked)
    assert (answer.status_code, answer.json()["code"]) == (422, "no_template")
    assert "no template takes the inputs other; nearest: default(task)" in answer.json()["detail"]
    assert str(tmp_path) not in answer.text
