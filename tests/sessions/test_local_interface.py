"""The LLM interface in process, over a scripted model."""

import itertools
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from prismenv.contracts.clock import Clock
from prismenv.contracts.transport import ChatTransport
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.testing.transport import ScriptedTransport
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException
from prismenv.words.seeding import derive_seed
from prismenv.words.usage import Usage

pytestmark = pytest.mark.anyio
Build = Callable[..., InProcessInterface]
FENCED = "Here it is:\n```python\ndef solution():\n    return 1\n```\nDone."
CODE = "def solution():\n    return 1"
PROBLEM = {"problem_statement": "P"}


def failure(code: str) -> AgentCommunicationException:
    return AgentCommunicationException("no", code=code)


class FixedTransport(ChatTransport):
    """Gives one reply, or raises, whatever it is asked."""

    def __init__(self, reply: ChatReply | Exception) -> None:
        self.reply = reply

    async def complete(self, request: ChatRequest) -> ChatReply:
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    async def ping(self) -> None:
        return


class GatedTransport(ChatTransport):
    """Answers a question only when it is let through; says how many wait at once."""

    def __init__(self) -> None:
        self.gate = anyio.Event()
        self.waiting = 0
        self.seen: list[int] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.waiting += 1
        await self.gate.wait()
        self.seen.append(len(request.messages))
        return ChatReply(CODE, Usage(calls=1))

    async def ping(self) -> None:
        return


async def test_an_answer_is_extracted_and_its_raw_text_kept(interface_for: Build) -> None:
    interface = interface_for({"problem_solver": FENCED})
    session = await interface.initialize_session("problem_solver")
    answer = await interface.interact(session, "problem_solver", {"problem_statement": "Add {x} and {y}."})
    assert answer.text.strip() == CODE
    assert answer.raw == FENCED
    assert answer.prompt == "Solve this.\n\nAdd {x} and {y}."
    assert answer.template == "default"
    assert answer.usage.calls == 1
    assert answer.appended == ()


async def test_a_later_question_is_asked_with_all_earlier_ones(interface_for: Build) -> None:
    transport = ScriptedTransport({"problem_solver": FENCED})
    interface = interface_for(transport)
    session = await interface.initialize_session("problem_solver")
    await interface.interact(session, "problem_solver", PROBLEM)
    await interface.interact(session, "problem_solver", {"error_feedback": "failed"})
    shown = [(message.role, message.content) for message in transport.requests[-1].messages]
    assert shown == [
        ("system", "You solve {problem_statement} literally."),
        ("user", "Solve this.\n\nP"),
        ("assistant", FENCED),
        ("user", "Again: failed"),
    ]
    assert len(interface.history(session, "problem_solver")) == 5


async def test_the_request_says_who_asks_what_about_what_and_how(interface_for: Build) -> None:
    transport = ScriptedTransport({"problem_solver": FENCED})
    interface = interface_for(transport)
    session = await interface.initialize_session("problem_solver", seed=7, labels={"concepts": ("loops",)})
    await interface.interact(session, "problem_solver", {**PROBLEM, "hint": "none"})
    request = transport.requests[0]
    assert request.role == "problem_solver"
    assert request.inputs == {**PROBLEM, "hint": "none"}
    assert request.labels == {"concepts": ("loops",)}
    assert request.params == {"temperature": 0.5, "made_up": [1, 2]}
    assert request.seed == derive_seed(7, 1)
    assert request.deadline is not None
    assert request.messages[-1].content == "Solve this.\n\nP\n\n## Hint\nnone"


async def test_seeds_follow_from_the_session_and_the_number_of_the_call_alone(interface_for: Build) -> None:
    transport = ScriptedTransport({"problem_solver": FENCED})
    interface = interface_for(transport)
    first = await interface.initialize_session("problem_solver", seed=1)
    second = await interface.initialize_session("problem_solver", seed=1)
    for session in (first, second, second, first):
        await interface.interact(session, "problem_solver", PROBLEM)
    seeds = [request.seed for request in transport.requests]
    assert seeds == [derive_seed(1, 1), derive_seed(1, 1), derive_seed(1, 2), derive_seed(1, 2)]


async def test_without_a_seed_the_model_draws_freely(interface_for: Build) -> None:
    transport = ScriptedTransport({"problem_solver": FENCED})
    interface = interface_for(transport)
    await interface.interact(await interface.initialize_session("problem_solver"), "problem_solver", PROBLEM)
    assert transport.requests[0].seed is None


@pytest.mark.parametrize("text", ["", "  \n", "I am sorry, I cannot do that."])
async def test_an_answer_without_code_is_not_usable_but_was_paid_for(interface_for: Build, text: str) -> None:
    interface = interface_for({"problem_solver": text})
    session = await interface.initialize_session("problem_solver")
    with pytest.raises(AgentCommunicationException) as caught:
        await interface.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == "no_usable_answer"
    assert caught.value.usage is not None
    assert caught.value.usage.calls == 1
    assert caught.value.raw == text
    assert caught.value.prompt == "Solve this.\n\nP"
    assert len(interface.history(session, "problem_solver")) == (3 if text.strip() else 1)


async def test_a_session_labelled_raw_hands_answers_back_as_they_came(interface_for: Build) -> None:
    interface = interface_for({"problem_solver": ["    return 1\n", ""]})
    session = await interface.initialize_session("problem_solver", labels={"raw": True})
    assert (await interface.interact(session, "problem_solver", PROBLEM)).text == "    return 1\n"
    assert (await interface.interact(session, "problem_solver", PROBLEM)).text == ""


@pytest.mark.parametrize("text", ["x" * 101, "é" * 51])
async def test_an_answer_that_is_too_large_is_refused_whole(interface_for: Build, text: str) -> None:
    interface = interface_for({"writer": text}, LocalTuning(max_answer_bytes=100))
    session = await interface.initialize_session("writer")
    with pytest.raises(AgentCommunicationException) as caught:
        await interface.interact(session, "writer", {"concepts": ["a"], "mood": "b"})
    assert caught.value.code == "answer_too_large"
    assert caught.value.usage is not None
    assert interface.history(session, "writer") == ()


async def test_an_answer_of_a_megabyte_is_taken_by_default(interface_for: Build) -> None:
    interface = interface_for({"writer": ["x" * 2**20, "x" * (2**20 + 1)]})
    session = await interface.initialize_session("writer", labels={"raw": True})
    assert len((await interface.interact(session, "writer", {"concepts": ["a"], "mood": "b"})).text) == 2**20
    with pytest.raises(AgentCommunicationException, match="1,048,577 bytes"):
        await interface.interact(session, "writer", {"concepts": ["a"], "mood": "b"})


async def test_lone_surrogates_do_not_get_into_the_system(interface_for: Build) -> None:
    interface = interface_for({"writer": "a\ud800b"})
    session = await interface.initialize_session("writer")
    answer = await interface.interact(session, "writer", {"concepts": ["a"], "mood": "b"})
    assert answer.text.encode()
    assert answer.text.startswith("a")


@pytest.mark.parametrize(
    ("reply", "taken"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ('Sure:\n```json\n{"a": [1]}\n```', '{"a": [1]}'),
        ("[1]", None),
        ('{"a": NaN}', None),
        ("[" * 100_000, None),
        ("nothing", None),
    ],
)
async def test_an_output_of_a_json_type_is_checked(interface_for: Build, reply: str, taken: str | None) -> None:
    interface = interface_for({"writer": reply})
    session = await interface.initialize_session("writer")
    if taken is None:
        with pytest.raises(AgentCommunicationException) as caught:
            await interface.interact(session, "writer", {"numbers": [1]})
        assert caught.value.code == "no_usable_answer"
    else:
        assert (await interface.interact(session, "writer", {"numbers": [1]})).text == taken


@pytest.mark.parametrize("code", ["rate_limited", "unavailable", "timed_out"])
async def test_errors_that_pass_are_tried_again_with_growing_waits(interface_for: Build, clock: Any, code: str) -> None:
    transport = ScriptedTransport({"problem_solver": FENCED})
    transport.fail_next(failure(code), failure(code))
    interface = interface_for(transport)
    session = await interface.initialize_session("problem_solver", seed=3)
    answer = await interface.interact(session, "problem_solver", PROBLEM)
    assert answer.text.strip() == CODE
    assert transport.calls["problem_solver"] == 3
    first, second = clock.slept
    assert 0.25 <= first <= 0.75
    assert 0.5 <= second <= 1.5
    assert len({request.seed for request in transport.requests}) == 3
    assert len(interface.history(session, "problem_solver")) == 3


async def test_after_three_tries_the_error_is_the_callers(interface_for: Build) -> None:
    transport = ScriptedTransport({"problem_solver": FENCED})
    transport.fail_next(*(failure("unavailable") for _ in range(5)))
    interface = interface_for(transport)
    session = await interface.initialize_session("problem_solver")
    with pytest.raises(AgentCommunicationException) as caught:
        await interface.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == "unavailable"
    assert caught.value.usage is None
    assert transport.calls["problem_solver"] == 3


@pytest.mark.parametrize("code", ["unauthorised", "unknown_model", "bad_answer", "no_sample"])
async def test_errors_that_stay_are_not_tried_again(interface_for: Build, code: str) -> None:
    transport = ScriptedTransport({"problem_solver": FENCED})
    transport.fail_next(failure(code))
    interface = interface_for(transport)
    session = await interface.initialize_session("problem_solver")
    with pytest.raises(AgentCommunicationException) as caught:
        await interface.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == code
    assert transport.calls["problem_solver"] == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyError("choices"), "provider_failed"),
        (TimeoutError("slow"), "timed_out"),
        (ConnectionResetError("gone"), "unavailable"),
    ],
)
async def test_a_providers_plain_exceptions_are_classified(interface_for: Build, error: Exception, code: str) -> None:
    transport = ScriptedTransport({"problem_solver": FENCED})
    transport.fail_when(lambda _request: error)
    interface = interface_for(transport)
    session = await interface.initialize_session("problem_solver")
    with pytest.raises(AgentCommunicationException) as caught:
        await interface.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == code
    assert type(error).__name__ in str(caught.value)
    assert caught.value.__cause__ is error


async def test_a_reply_that_is_no_text_is_the_providers_fault(agents: dict[str, AgentFile], clock: Clock) -> None:
    transport = FixedTransport(ChatReply(None, Usage(calls=1)))  # type: ignore[arg-type]
    interface = InProcessInterface(agents, lambda _role: transport, clock)
    session = await interface.initialize_session("writer")
    with pytest.raises(AgentCommunicationException) as caught:
        await interface.interact(session, "writer", {"numbers": [1]})
    assert caught.value.code == "bad_answer"


async def test_an_interaction_has_a_deadline(agents: dict[str, AgentFile], clock: Clock) -> None:
    transport = GatedTransport()
    tuning = LocalTuning(timeout_seconds=0.05)
    interface = InProcessInterface(agents, lambda _role: transport, clock, tuning=tuning)
    session = await interface.initialize_session("problem_solver")
    with pytest.raises(AgentCommunicationException) as caught:
        await interface.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == "timed_out"


async def test_a_session_has_one_writer_and_sessions_are_parallel(agents: dict[str, AgentFile], clock: Clock) -> None:
    transport = GatedTransport()
    interface = InProcessInterface(agents, lambda _role: transport, clock)
    one = await interface.initialize_session("problem_solver")
    other = await interface.initialize_session("problem_solver")
    async with anyio.create_task_group() as group:
        for session in (one, one, other):
            group.start_soon(interface.interact, session, "problem_solver", PROBLEM)
        await anyio.wait_all_tasks_blocked()
        assert transport.waiting == 2
        transport.gate.set()
    assert sorted(transport.seen) == [2, 2, 4]
    assert len(interface.history(one, "problem_solver")) == 5


async def test_a_cancelled_interaction_leaves_the_session_as_it_was(agents: dict[str, AgentFile], clock: Clock) -> None:
    transport = GatedTransport()
    interface = InProcessInterface(agents, lambda _role: transport, clock)
    session = await interface.initialize_session("problem_solver")
    with anyio.move_on_after(0.02) as scope:
        await interface.interact(session, "problem_solver", PROBLEM)
    assert scope.cancelled_caught
    assert len(interface.history(session, "problem_solver")) == 1
    transport.gate.set()
    assert (await interface.interact(session, "problem_solver", PROBLEM)).text == CODE


async def test_cleaning_up_twice_is_harmless_and_a_closed_session_is_gone(interface_for: Build) -> None:
    interface = interface_for({"problem_solver": FENCED})
    session = await interface.initialize_session("problem_solver")
    await interface.cleanup_session(session)
    await interface.cleanup_session(session)
    await interface.cleanup_session("never-there")
    with pytest.raises(AgentCommunicationException) as caught:
        await interface.interact(session, "problem_solver", PROBLEM)
    assert caught.value.code == "unknown_session"


async def test_a_session_belongs_to_its_role(interface_for: Build) -> None:
    interface = interface_for({"problem_solver": FENCED})
    session = await interface.initialize_session("problem_solver")
    with pytest.raises(ConfigurationException, match=r"problem_solver.*writer"):
        await interface.interact(session, "writer", PROBLEM)


async def test_an_unknown_role_is_an_error_with_the_nearest_name(interface_for: Build) -> None:
    interface = interface_for({"problem_solver": FENCED})
    with pytest.raises(ConfigurationException, match="Did you mean problem_solver"):
        await interface.initialize_session("problem_sover")


async def test_templates_and_ping_know_the_roles(interface_for: Build) -> None:
    transport = ScriptedTransport({"problem_solver": FENCED})
    interface = interface_for(transport)
    assert interface.templates("problem_solver") == (("problem_statement",), ("error_feedback",))
    await interface.ping("problem_solver")
    assert not transport.calls
    await transport.aclose()
    with pytest.raises(AgentCommunicationException):
        await interface.ping("problem_solver")


async def test_what_a_provider_still_holds_is_passed_on(agents: dict[str, AgentFile], clock: Clock) -> None:
    transport = FixedTransport(ChatReply(CODE, Usage(calls=1), remaining=4))
    interface = InProcessInterface(agents, lambda _role: transport, clock)
    session = await interface.initialize_session("problem_solver")
    assert (await interface.interact(session, "problem_solver", PROBLEM)).remaining == 4


async def test_many_sessions_at_once_do_not_mix(interface_for: Build) -> None:
    interface = interface_for(lambda request: f"def f():\n    return {request.inputs['problem_statement']!r}")
    answers: dict[str, str] = {}

    async def ask(name: str) -> None:
        session = await interface.initialize_session("problem_solver")
        answers[name] = (await interface.interact(session, "problem_solver", {"problem_statement": name})).text
        await interface.cleanup_session(session)

    async with anyio.create_task_group() as group:
        for number in itertools.islice(itertools.count(), 50):
            group.start_soon(ask, f"p{number}")
    assert all(repr(name) in text for name, text in answers.items())
    assert len(answers) == 50
