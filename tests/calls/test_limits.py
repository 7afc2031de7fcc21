"""Limits of calls as a recipe gives them: who waits, who is asked again, who is left alone."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.recipe import CallSettings, Recipe
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderEntry
from prismenv.finding.plugins import providers
from prismenv.finding.recipes import load_recipe
from prismenv.finding.workspace import WorkspaceSet
from prismenv.sessions.calls.chain import CallResources, open_chain
from prismenv.testing.clock import ManualClock, VirtualClock
from prismenv.testing.openai_faults import Fault
from prismenv.testing.openai_server import OpenAIServer
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, BudgetException, ConfigurationException
from prismenv.words.usage import Usage

SEARCH = {"concepts": ["loops", "sorting"], "difficulties": ["easy"]}

pytestmark = pytest.mark.anyio
Ask = Callable[..., ChatRequest]
USAGE = Usage(model="fake/m", calls=1, prompt_tokens=10, completion_tokens=20, cost_usd=0.5)


class Fake(ChatTransport):
    """Takes `seconds` for each answer, in order, the last for all further ones; raises where one is an error."""

    def __init__(self, clock: Clock, *steps: float | Exception) -> None:
        self._clock = clock
        self._steps = deque(steps or (0.0,))
        self.asked: list[tuple[float, ChatRequest]] = []
        self.running = self.most = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        number = len(self.asked)
        self.asked.append((self._clock.monotonic(), request))
        step = self._steps.popleft() if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._clock.sleep(step)
        finally:
            self.running -= 1
        return ChatReply(f"answer {number}", USAGE)

    async def ping(self) -> None:
        return

    @property
    def times(self) -> list[float]:
        """Seconds between the first call and each."""
        return [at - self.asked[0][0] for at, _ in self.asked]


def wrapped(fake: Fake, clock: Clock, *, remote: bool = True, **limits: Any) -> Any:
    """The fake within the chain of a recipe with these limits; a context manager."""
    recipe = Recipe(name="r", environment="e", limits=CallSettings.model_validate(limits))
    entry = ProviderEntry("fake", "", lambda _reference, _context: fake, remote=remote)

    class Opened:
        def __enter__(self) -> ChatTransport:
            self.chain = open_chain(recipe, {"fake": entry}, CallResources(clock, Path()))
            return self.chain.__enter__().wrap(ModelReference("fake", "m"), entry, fake)

        def __exit__(self, *error: object) -> None:
            self.chain.__exit__(*error)

    return Opened()


def error(code: str, retry_after: float | None = None) -> AgentCommunicationException:
    made = AgentCommunicationException(f"the provider: {code}", code=code)
    made.retry_after_seconds = retry_after
    return made


async def failure(transport: ChatTransport, request: ChatRequest) -> AgentCommunicationException:
    with pytest.raises(AgentCommunicationException) as caught:
        await transport.complete(request)
    return caught.value


async def all_of(transport: ChatTransport, requests: list[ChatRequest]) -> None:
    async with anyio.create_task_group() as tasks:
        for request in requests:
            tasks.start_soon(transport.complete, request)


@pytest.mark.parametrize("named", ["models", "providers"])
async def test_a_recipe_limits_calls_at_once_and_in_a_minute(ask: Ask, named: str) -> None:
    key = {"models": "fake/m", "providers": "fake"}[named]
    limits = {named: {key: {"concurrency": 2, "requests_per_minute": 4}}}
    async with VirtualClock() as clock:
        fake = Fake(clock, 5.0)
        with wrapped(fake, clock, remote=False, **limits) as transport:
            await all_of(transport, [ask(seed=number) for number in range(9)])
    assert fake.most == 2
    assert fake.times == pytest.approx([0, 0, 5, 5, 60, 60, 65, 65, 120])


async def test_tokens_in_a_minute_are_reserved_and_settled(ask: Ask) -> None:
    limits = {"models": {"fake/m": {"tokens_per_minute": 100}}}
    async with VirtualClock() as clock:
        fake = Fake(clock, 1.0)
        with wrapped(fake, clock, **limits) as transport:
            await all_of(transport, [ask("x", seed=number, params={"max_tokens": 50}) for number in range(4)])
    # Each is expected to use 50 and its prompt, and uses 30: a second one fits as soon as the first one ended.
    assert fake.times == pytest.approx([0, 1, 60, 61], abs=0.1)


async def test_a_prompt_that_is_larger_than_the_limit_is_refused_with_what_to_do(ask: Ask) -> None:
    limits = {"models": {"fake/m": {"tokens_per_minute": 50}}}
    async with VirtualClock() as clock:
        fake = Fake(clock, 1.0)
        with wrapped(fake, clock, **limits) as transport:
            with pytest.raises(AgentCommunicationException, match="tokens_per_minute is 50") as caught:
                await transport.complete(ask("x" * 1000, params={"max_tokens": 10}))
            assert caught.value.code == "limit_too_small"
            assert "Raise tokens_per_minute" in (caught.value.hint or "")
            assert fake.times == []
            await transport.complete(ask("x", params={"max_tokens": 100}))  # one that may be is waited for
    assert len(fake.times) == 1


async def test_without_limits_nobody_waits(ask: Ask) -> None:
    async with VirtualClock() as clock:
        fake = Fake(clock, 5.0)
        with wrapped(fake, clock) as transport:
            await all_of(transport, [ask(seed=number) for number in range(50)])
    assert fake.most == 50


async def test_a_refusal_holds_back_everybody_for_the_time_that_it_asks(ask: Ask) -> None:
    async with VirtualClock() as clock:
        fake = Fake(clock, error("rate_limited", 40.0), 1.0)
        with wrapped(fake, clock) as transport, anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(transport.complete, ask(seed=1))
                await clock.sleep(3)
                tasks.start_soon(transport.complete, ask(seed=2))
    assert fake.times == pytest.approx([0, 40, 41])  # one at a time after it


@pytest.mark.parametrize("code", ["rate_limited", "timed_out", "unavailable"])
async def test_what_may_pass_is_asked_again_as_often_as_the_recipe_says(ask: Ask, code: str) -> None:
    clock = ManualClock()
    fake = Fake(clock, error(code))
    with wrapped(fake, clock, tries=5) as transport:
        assert (await failure(transport, ask())).code == code
    assert len(fake.asked) == 5
    assert len({request.seed for _, request in fake.asked}) == 5


@pytest.mark.parametrize("code", ["unauthorised", "refused", "context_too_long", "quota_exhausted", "bad_answer"])
async def test_what_does_not_pass_is_asked_once(ask: Ask, code: str) -> None:
    fake = Fake(ManualClock(), error(code))
    with wrapped(fake, ManualClock(), tries=5) as transport:
        assert (await failure(transport, ask())).code == code
    assert len(fake.asked) == 1


async def test_a_long_retry_after_is_waited_up_to_the_deadline_and_not_a_second_shorter(ask: Ask) -> None:
    clock = ManualClock()
    fake = Fake(clock, error("rate_limited", 250.0), 0.0)
    with wrapped(fake, clock) as transport:
        await transport.complete(ask(deadline=clock.monotonic() + 300))
    assert fake.times == pytest.approx([0, 250], abs=1)


async def test_a_retry_after_beyond_the_deadline_fails_at_once_and_says_so(ask: Ask) -> None:
    clock = ManualClock()
    fake = Fake(clock, error("rate_limited", 301.0))
    with wrapped(fake, clock) as transport:
        before = clock.monotonic()
        told = await failure(transport, ask(deadline=before + 300))
    assert clock.monotonic() == before
    assert told.code == "rate_limited"
    assert "301 s are to be waited, longer than is left" in str(told)


async def test_a_service_that_does_not_answer_is_left_alone_and_then_asked_once(ask: Ask) -> None:
    async with VirtualClock() as clock:
        fake = Fake(clock, *[error("unavailable")] * 4, 0.0)
        with wrapped(fake, clock, tries=1, breaker_failures=3, breaker_seconds=20) as transport:
            for _ in range(3):
                await failure(transport, ask())
            told = await failure(transport, ask(deadline=clock.monotonic() + 19))  # no time to wait for the next look
            assert (told.message, told.code) == ("the provider: unavailable", "unavailable")
            assert told.retry_after_seconds == 20
            assert "no answer came to 3 calls in a row" in str(told)
            await failure(transport, ask())  # half open: it goes out, and fails
            for _ in range(2):  # the next one closes it
                assert (await transport.complete(ask())).text
    assert fake.times == [0, 0, 0, 20, 40, 40]


async def test_a_failed_look_is_the_failure_of_all_that_waited_for_it(ask: Ask) -> None:
    async with VirtualClock() as clock:
        fake = Fake(clock, error("timed_out"))
        with wrapped(fake, clock, tries=3, breaker_failures=1, breaker_seconds=10) as transport:
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(failure, transport, ask(seed=number))
            assert clock.monotonic() - 1000 <= 60
    assert len(fake.asked) <= 7


async def test_of_many_one_goes_out_through_a_half_open_breaker(ask: Ask) -> None:
    async with VirtualClock() as clock:
        fake = Fake(clock, error("timed_out"), 5.0)
        with wrapped(fake, clock, breaker_failures=1, breaker_seconds=10) as transport:
            await all_of(transport, [ask(seed=number) for number in range(4)])
    assert fake.times == [0, 10, 15, 15, 15]  # one failed, one saw, and then all


async def test_any_answer_keeps_the_breaker_closed(ask: Ask) -> None:
    clock = ManualClock()
    fake = Fake(clock, *[error("unavailable"), error("unavailable"), error("refused")] * 4)
    with wrapped(fake, clock, tries=1, breaker_failures=3) as transport:
        for _ in range(12):
            await failure(transport, ask())
    assert len(fake.asked) == 12


async def test_a_cancelled_probe_is_no_answer_and_lets_the_next_one_see(ask: Ask) -> None:
    async with VirtualClock() as clock:
        fake = Fake(clock, error("unavailable"), 1000.0, 1.0)
        with wrapped(fake, clock, tries=1, breaker_failures=1, breaker_seconds=10) as transport:
            await failure(transport, ask())
            await clock.sleep(10)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(transport.complete, ask())
                await clock.sleep(5)
                tasks.cancel_scope.cancel()
            assert (await transport.complete(ask())).text == "answer 2"


async def test_runs_share_a_breaker_while_one_of_them_is_open(ask: Ask) -> None:
    clock = SystemClock()
    fakes = [Fake(clock, error("unavailable")) for _ in range(3)]
    settings = {"tries": 1, "breaker_failures": 2, "breaker_seconds": 1000}
    with wrapped(fakes[0], clock, **settings) as one, wrapped(fakes[1], clock, **settings) as other:
        for transport in (one, other, one, other):
            await failure(transport, ask(deadline=clock.monotonic() + 100))
    with wrapped(fakes[2], clock, **settings) as later:
        await failure(later, ask(deadline=clock.monotonic() + 100))
    assert [len(fake.asked) for fake in fakes] == [1, 1, 1]


async def test_runs_of_a_process_share_the_limits(ask: Ask) -> None:
    clock = SystemClock()
    limits = {"models": {"fake/shared": {"concurrency": 1}}}
    running = most = 0

    class Counting(Fake):
        async def complete(self, request: ChatRequest) -> ChatReply:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await anyio.sleep(0.001)
            running -= 1
            return ChatReply("x", USAGE)

    async def run() -> None:
        entry = ProviderEntry("fake", "", lambda _reference, _context: Counting(clock))
        recipe = Recipe(name="r", environment="e", limits=CallSettings.model_validate(limits))
        with open_chain(recipe, {"fake": entry}, CallResources(clock, Path())) as chain:
            transport = chain.wrap(ModelReference("fake", "shared"), entry, Counting(clock))
            await all_of(transport, [ask(seed=number) for number in range(5)])

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(run)
    assert most == 1


async def test_a_second_request_goes_out_after_a_while_and_the_first_answer_wins(ask: Ask) -> None:
    async with VirtualClock() as clock:
        fake = Fake(clock, 100.0, 5.0)
        with wrapped(fake, clock, hedge_seconds=10) as transport:
            pieces: list[str] = []
            reply = await transport.complete(ask(watch=pieces.append))
    assert (reply.text, fake.times, pieces) == ("answer 1", [0, 10], ["", "answer 1"])
    assert (reply.usage.calls, reply.usage.tokens, reply.usage.cost_usd, reply.usage.estimated) == (2, 60, 1.0, True)
    assert fake.running == 0


async def test_an_answer_in_time_is_asked_for_once(ask: Ask) -> None:
    async with VirtualClock() as clock:
        fake = Fake(clock, 9.0)
        with wrapped(fake, clock, hedge_seconds=10) as transport:
            reply = await transport.complete(ask())
    assert (reply.usage, len(fake.asked)) == (USAGE, 1)


async def test_a_second_request_takes_a_place_of_its_own(ask: Ask) -> None:
    limits = {"models": {"fake/m": {"concurrency": 1}}}
    async with VirtualClock() as clock:
        fake = Fake(clock, 30.0)
        with wrapped(fake, clock, hedge_seconds=10, **limits) as transport:
            reply = await transport.complete(ask())
    assert (reply.usage.calls, len(fake.asked)) == (1, 1)  # there was no place, and so no second one


async def test_where_one_of_two_fails_the_other_still_answers(ask: Ask) -> None:
    async with VirtualClock() as clock:
        fake = Fake(clock, 20.0, error("refused"))
        with wrapped(fake, clock, hedge_seconds=10) as transport:
            reply = await transport.complete(ask())
        assert (reply.text, reply.usage.calls) == ("answer 0", 2)
        failing = Fake(clock, error("refused"))
        with wrapped(failing, clock, hedge_seconds=10) as transport:
            assert (await failure(transport, ask())).code == "refused"
        assert len(failing.asked) == 1


async def test_a_spent_budget_is_not_asked_again(ask: Ask) -> None:
    fake = Fake(ManualClock(), BudgetException("spent"))
    with wrapped(fake, ManualClock()) as transport, pytest.raises(BudgetException):
        await transport.complete(ask())
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("limits:\n  tries: 0", r":3: limits\.tries: found 0; expected greater than or equal to 1"),
        (
            "limits:\n  providers:\n    openia: {concurrency: 1}",
            r":4: limits\.providers\.openia: .*mean.*openai",
        ),
        ("limits:\n  models:\n    gpt-5: {concurrency: 1}", r":4: limits\.models\.gpt-5: .*names no model"),
        ("limits:\n  models:\n    openai/x: {rpm: 1}", r":4: limits\.models\.openai/x\.rpm: unknown key"),
        ("limits:\n  providers:\n    openai: {concurrency: yes}", r":4: .*concurrency.*expected"),
        (
            "interface: {type: http, url: http://127.0.0.1:9}\nlimits:\n  tries: 1",
            r":3: limits: .* asked by",
        ),
    ],
    ids=["range", "provider", "model", "key", "type", "service"],
)
def test_what_a_recipe_has_wrong_is_told_with_file_and_line(
    workspaces: WorkspaceSet, lines: str, words: str, run: Any
) -> None:
    path = workspaces.project_folder / "wrong.yaml"
    path.write_text(f"environment: environment_caller\n{lines}\nmodels: {{default: simulated/weak}}\n")

    def load_and_run() -> None:
        loaded = load_recipe(str(path), workspaces, {})
        with loaded.placing():
            run(loaded.recipe, workspaces)

    with pytest.raises(ConfigurationException, match=rf"wrong\.yaml{words}"):
        load_and_run()


def test_a_model_that_fails_for_good_is_a_fault_of_the_infrastructure(
    workspaces: WorkspaceSet, run: Any, asking: Any
) -> None:
    with OpenAIServer(lambda _: "```python\nreturn 1\n```") as server:
        fine, gone = None, Fault.error(503, "overloaded")
        server.script.extend([fine, gone, gone])
        report = run(asking(server, limits={"tries": 2}, concurrency={"nodes": 1}), workspaces)
    assert report.status == "finished"
    assert report.progress["left_out"] == {"infrastructure": 1}
    assert (report.progress["measured"], report.progress["solved"]) == (1, 1)
    assert len(server.calls) == 5


def test_a_run_with_a_service_that_is_away_ends_as_failed(workspaces: WorkspaceSet, run: Any, asking: Any) -> None:
    with OpenAIServer(lambda _: "x") as server:
        server.always = Fault.error(500, "down")
        limits = {"tries": 2, "breaker_failures": 3, "breaker_seconds": 0.05}
        report = run(asking(server, limits=limits), workspaces)
    assert report.status == "failed"
    assert "answered 500: 'down'" in report.note


def test_limits_of_a_recipe_hold_for_a_real_service(workspaces: WorkspaceSet, run: Any, asking: Any) -> None:
    answered, under_way = 0, []

    def respond(_: Any) -> str:
        nonlocal answered
        under_way.append(len(server.calls) - answered)
        answered += 1
        return "```python\nreturn 1\n```"

    with OpenAIServer(respond, latency_seconds=0.01) as server:
        name = f"openai@{server.url}/test-model"
        search = {"concepts": ["loops", "sorting"], "difficulties": ["easy"], "repeats": 4}
        limits = {"models": {name: {"concurrency": 1}}}
        report = run(asking(server, limits=limits, search=search), workspaces)
    assert (report.status, under_way) == ("finished", [1] * 16)


def test_a_question_has_the_deadline_of_the_recipe(workspaces: WorkspaceSet, run: Any, asking: Any) -> None:
    with OpenAIServer(lambda _: "x", latency_seconds=30) as server:
        limits = {"timeout_seconds": 0.2, "tries": 1}
        report = run(asking(server, limits=limits), workspaces)
    assert report.status == "failed"
    assert "no answer" in report.note


def test_the_limits_may_change_when_a_run_is_resumed(workspaces: WorkspaceSet, run: Any, asking: Any) -> None:
    with OpenAIServer(lambda _: "```python\nreturn 1\n```") as server:
        chosen = asking(server, budget={"nodes": 1})
        first = run(chosen, workspaces)
        other = replace_limits(chosen)
        assert run(other, workspaces, resume=first.run_id).status == "finished"


def replace_limits(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"limits": CallSettings(tries=9), "budget": Recipe(name="").budget})


def test_every_service_of_ours_is_known_to_be_one() -> None:
    remote = sorted(name for name, entry in providers().items() if entry.remote)
    assert remote == ["litellm", "ollama", "openai", "openrouter", "vllm"]
