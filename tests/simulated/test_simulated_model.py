"""The simulated model as its callers see it: roles, abilities, faults, and the same answer to the same question."""

import json
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismenv import BaseEnvironment
from prismenv.answers.code import extract_code
from prismenv.contracts.transport import ModelReference, ProviderContext
from prismenv.finding.plugins import providers
from prismenv.simulated.bank import CONCEPTS, DIFFICULTIES, Challenge, load_bank
from prismenv.simulated.lookup import Lookup
from prismenv.simulated.mutants import mutants_of
from prismenv.simulated.profiles import load_profile
from prismenv.simulated.transport import SimulatedTransport
from prismenv.simulated.variants import SUFFIXES, renamed
from prismenv.testing.clock import ManualClock
from prismenv.words.chat import ChatMessage, ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

untimed = settings(deadline=None)

BANK = load_bank()
every_challenge = st.sampled_from(BANK.challenges)
seeds = st.integers(0, 2**63 - 1)


def open_model(name: str) -> SimulatedTransport:
    context = ProviderContext(ManualClock(), Path(), seed=0)
    transport = providers()["simulated"].open(ModelReference("simulated", name), context)
    assert isinstance(transport, SimulatedTransport)
    return transport


PERFECT, WEAK, FLAKY, GPT = (open_model(name) for name in ("perfect", "weak", "flaky", "gpt-4o"))


def request(
    role: str,
    inputs: Mapping[str, Any] | None = None,
    *,
    seed: int | None = 1,
    prompts: tuple[str, ...] = (),
    labels: Mapping[str, Any] | None = None,
) -> ChatRequest:
    texts = prompts or ("\n".join(map(str, (inputs or {}).values())),)
    messages = (ChatMessage("system", "You are asked."), *(ChatMessage("user", text) for text in texts))
    return ChatRequest("simulated", messages, role, inputs or {}, labels or {}, seed=seed)


def reply(model: SimulatedTransport, asked: ChatRequest) -> ChatReply:
    """The model's reply, without an event loop: nothing in it waits unless the profile has a latency."""
    call = model.complete(asked)
    try:
        call.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the simulated model waited")


def answer(model: SimulatedTransport, role: str, inputs: Mapping[str, Any] | None = None, **options: Any) -> str:
    return reply(model, request(role, inputs, **options)).text


def right_answers(challenge: Challenge) -> set[str]:
    return {source.strip() for source in (challenge.solution, *(renamed(challenge, suffix) for suffix in SUFFIXES))}


def is_right(text: str, challenge: Challenge) -> bool:
    return (extract_code(text) or "").strip() in right_answers(challenge)


# --- being listed


def test_the_provider_says_everywhere_that_it_is_simulated() -> None:
    entry = providers()["simulated"]
    assert entry.summary.startswith("simulated")
    assert entry.models is not None
    assert "perfect" in entry.models()
    assert reply(PERFECT, request("problem_solver")).usage.model == "simulated/perfect"


def test_an_unknown_profile_cannot_be_opened() -> None:
    with pytest.raises(ConfigurationException, match="simulated/flaky"):
        open_model("flakey")


def test_usage_is_estimated_and_free() -> None:
    usage = reply(PERFECT, request("problem_solver", prompts=("x" * 400,))).usage
    assert (usage.calls, usage.cost_usd, usage.estimated) == (1, 0.0, True)
    assert 100 <= usage.prompt_tokens <= 110
    assert usage.completion_tokens > 0


def test_it_can_always_be_asked_and_closing_it_is_harmless() -> None:
    async def main() -> None:
        async with open_model("flaky") as model:
            await model.ping()

    anyio.run(main)


# --- repeatable answers


@untimed
@given(st.lists(st.tuples(every_challenge, seeds), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_answers_do_not_depend_on_what_was_asked_before(questions: list[tuple[Challenge, int]], random: Any) -> None:
    asked = [request("problem_solver", {"problem_statement": each.statement}, seed=seed) for each, seed in questions]
    answers = {id(one): reply(WEAK, one).text for one in asked}
    random.shuffle(asked)
    fresh = open_model("weak")
    assert all(reply(fresh, one).text == answers[id(one)] for one in asked)


def test_another_seed_gives_other_answers() -> None:
    inputs = {"problem_statement": BANK.challenges[0].statement}
    assert len({answer(WEAK, "problem_solver", inputs, seed=seed) for seed in range(40)}) > 10


def test_without_a_seed_the_same_words_get_the_same_answer() -> None:
    for challenge in BANK.challenges[:5]:
        inputs = {"problem_statement": challenge.statement}
        assert answer(WEAK, "problem_solver", inputs, seed=None) == answer(WEAK, "problem_solver", inputs, seed=None)
    texts = {
        answer(WEAK, "problem_solver", {"problem_statement": each.statement}, seed=None) for each in BANK.challenges
    }
    assert len(texts) > 20


# --- the designer


@untimed
@given(every_challenge, seeds)
def test_the_designer_sets_a_challenge_of_the_cell(wanted: Challenge, seed: int) -> None:
    inputs = {"concepts": list(wanted.concepts), "difficulty_level": wanted.difficulty}
    found = Lookup(BANK).find(answer(PERFECT, "challenge_designer", inputs, seed=seed))
    assert found in BANK.for_cell(wanted.concepts, wanted.difficulty)


def test_a_cell_without_a_challenge_gets_the_nearest() -> None:
    concepts = next(pair for pair in combinations(CONCEPTS, 2) if not BANK.for_cell(pair, "hard"))
    inputs = {"concepts": list(concepts), "difficulty_level": "hard"}
    found = Lookup(BANK).find(answer(PERFECT, "challenge_designer", inputs))
    assert found is not None
    assert set(found.concepts) & set(concepts)


@pytest.mark.parametrize("role", ["challenge_designer", "challenge_designer_advanced"])
@pytest.mark.parametrize(
    ("concepts", "difficulty", "says"),
    [
        (["zzz"], "easy", "no challenges on 'zzz'; it knows: loops, conditionals, "),
        (["loops", "recurson"], "easy", "no challenges on 'recurson'; did you mean 'recursion'?"),
        (["loops"], "impossible", "no difficulty 'impossible'; it knows: very easy, easy, "),
        (["loops"], "very hrad", "no difficulty 'very hrad'; did you mean 'very hard'?"),
    ],
)
def test_what_the_bank_does_not_know_is_an_error_with_the_known_names(
    role: str, concepts: list[str], difficulty: str, says: str
) -> None:
    with pytest.raises(ConfigurationException) as caught:
        answer(PERFECT, role, {"concepts": concepts, "difficulty_level": difficulty})
    assert says in str(caught.value)
    with pytest.raises(ConfigurationException, match="the simulated model has no"):
        answer(PERFECT, role, prompts=("Set one.",), labels={"concepts": concepts, "difficulty": difficulty})


@pytest.mark.parametrize("difficulty", ["very hard", "Very Hard", "very_hard", ""])
@pytest.mark.parametrize("concepts", ["loops", "Error Handling", "", []])
def test_known_names_in_any_spelling_and_missing_ones_get_a_challenge(concepts: Any, difficulty: str) -> None:
    inputs = {"concepts": concepts, "difficulty_level": difficulty}
    found = Lookup(BANK).find(answer(PERFECT, "challenge_designer", inputs))
    assert found is not None
    assert found.difficulty == "very hard" or not difficulty


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({"concept": "zzz", "difficulty_level": "impossible"}, "no challenges on 'zzz'"),
        ({"concept": "loops", "difficulty_level": "impossible"}, "no difficulty 'impossible'"),
    ],
)
@pytest.mark.parametrize("name", ["environment_coding_challenge", "environment_enhanced_coding_challenge"])
def test_a_node_on_an_unknown_concept_or_difficulty_fails_by_configuration(
    name: str, node: dict[str, str], says: str
) -> None:
    async def main() -> None:
        async with BaseEnvironment(name, seed=1) as environment:
            await environment.execute_node(**node)

    with pytest.raises(ConfigurationException, match=says):
        anyio.run(main)


def test_earlier_problems_are_not_set_again_while_others_are_left() -> None:
    previous: list[str] = []
    lookup = Lookup(BANK)
    for turn in range(len(BANK.challenges)):
        inputs = {"concepts": ["loops"], "difficulty_level": "easy", "previous_problems": list(previous)}
        previous.append(answer(PERFECT, "challenge_designer_advanced", inputs, seed=turn))
    assert len({lookup.find(text) for text in previous}) == len(BANK.challenges)
    inputs = {"concepts": ["loops"], "difficulty_level": "easy", "previous_problems": previous}
    assert lookup.find(answer(PERFECT, "challenge_designer_advanced", inputs)) in BANK.for_cell(["loops"], "easy")


def test_the_designer_reads_its_prompt_when_it_gets_no_inputs() -> None:
    first = "Set one challenge.\nConcepts: error_handling\nDifficulty: very hard\nNo functions with side effects."
    found = Lookup(BANK).find(answer(PERFECT, "challenge_designer", prompts=(first,)))
    assert found in BANK.for_cell(["error_handling"], "very hard")


def test_earlier_problems_in_a_prompt_are_seen_too() -> None:
    (challenge, *rest) = BANK.for_cell(["loops"], "medium")
    prompt = f"Concepts: loops\nDifficulty: medium\nThese exist already:\n{challenge.statement}"
    assert not rest
    found = Lookup(BANK).find(answer(PERFECT, "challenge_designer_advanced", prompts=(prompt,)))
    assert found is not None
    assert found != challenge
    assert "loops" in found.concepts


# --- test generator and solver


@untimed
@given(every_challenge, seeds)
def test_what_the_designer_says_is_understood_by_generator_and_solver(challenge: Challenge, seed: int) -> None:
    inputs = {"concepts": challenge.concepts, "difficulty_level": challenge.difficulty}
    statement = answer(PERFECT, "challenge_designer", inputs, seed=seed)
    meant = Lookup(BANK).find(statement)
    assert meant is not None
    given_statement = {"problem_statement": statement}
    assert (
        extract_code(answer(PERFECT, "test_generator", given_statement, seed=seed)) or ""
    ).strip() == meant.tests.strip()
    assert is_right(answer(PERFECT, "problem_solver", given_statement, seed=seed), meant)


@untimed
@given(
    every_challenge, st.sampled_from(["", "Solve this.\n\n", "> x\n" * 2000]), st.sampled_from(["\n", "\r\n", "\n    "])
)
def test_a_statement_is_recognised_wherever_it_stands_and_however_it_is_broken(
    challenge: Challenge, before: str, newline: str
) -> None:
    prompt = before + challenge.statement.replace("\n", newline) + "\n\nAnswer with code."
    assert is_right(answer(PERFECT, "problem_solver", prompts=(prompt,)), challenge)


def test_the_last_challenge_spoken_of_is_the_one_that_is_meant() -> None:
    first, second = BANK.challenges[:2]
    prompts = (first.statement, second.statement, "Try again, please.")
    assert is_right(answer(PERFECT, "problem_solver", prompts=prompts), second)


@untimed
@given(st.text(max_size=300), st.sampled_from(["problem_solver", "test_generator", "problem_fixer"]))
def test_unknown_problems_get_an_honest_answer_without_code(text: str, role: str) -> None:
    given_text = answer(PERFECT, role, {"problem_statement": text})
    assert "simulated" in given_text
    assert extract_code(given_text) is None


def test_a_flood_of_a_problem_is_no_problem() -> None:
    flood = ("sorted(" * 100_000) + "".join(f"{challenge.entry_point}(\n" for challenge in BANK.challenges)
    assert "simulated" in answer(PERFECT, "problem_solver", {"problem_statement": flood})


@pytest.mark.parametrize("model", [GPT, WEAK])
def test_nodes_succeed_about_as_often_as_the_profile_says(model: SimulatedTransport) -> None:
    """Three attempts and the fixer, as an environment plays them; each seed is a node."""
    profile = load_profile(model.model.removeprefix("simulated/"))
    for difficulty in DIFFICULTIES:
        (challenge, *_) = BANK.for_cell(["recursion"], difficulty)
        labels = {"concepts": challenge.concepts, "difficulty": difficulty}
        solved = 0
        for seed in range(300):
            statement = {"problem_statement": challenge.statement}
            feedback = {"error_feedback": challenge.statement + "\n1 test failed"}
            fix = {**statement, "test_cases": "", "current_solution": "", "error_output": ""}
            turns = [("problem_solver", statement), *[("problem_solver", feedback)] * 2, ("problem_fixer", fix)]
            solved += any(
                is_right(answer(model, role, inputs, seed=4 * seed + turn, labels=labels), challenge)
                for turn, (role, inputs) in enumerate(turns)
            )
        expected = profile.success_chance(challenge.concepts, difficulty)
        assert abs(solved / 300 - expected) < 0.12, difficulty


def test_labels_decide_about_the_ability_before_the_challenge_does() -> None:
    (challenge, *_) = BANK.for_cell(["dynamic_programming"], "very easy")
    counts = Counter()
    for seed, level in ((seed, level) for seed in range(150) for level in ("very easy", "very hard")):
        labels = {"concepts": ["dynamic_programming"], "difficulty": level}
        text = answer(GPT, "problem_solver", {"problem_statement": challenge.statement}, seed=seed, labels=labels)
        counts[level] += is_right(text, challenge)
    assert counts["very easy"] > 5 * counts["very hard"]


def test_wrong_answers_are_of_every_kind_that_the_profile_names() -> None:
    (challenge, *_) = BANK.for_cell(["sorting"], "medium")
    kinds = Counter()
    bugs = {source.strip() for source in mutants_of(challenge)}
    for seed in range(400):
        text = answer(WEAK, "problem_solver", {"problem_statement": challenge.statement}, seed=seed)
        code = extract_code(text)
        if code is None:
            kinds["prose"] += 1
        elif code.strip() in bugs:
            kinds["mutant"] += 1
        elif "while True:\n" in code:
            kinds["timeout"] += 1
        elif code.strip() not in right_answers(challenge):
            kinds["crash or syntax"] += 1
    assert set(kinds) == {"prose", "mutant", "timeout", "crash or syntax"}
    assert kinds["mutant"] > sum(kinds.values()) / 2


# --- the roles that report


def test_the_validator_has_no_complaint_and_says_so_in_json() -> None:
    challenge = BANK.challenges[0]
    inputs = {"problem_statement": challenge.statement, "test_cases": challenge.tests}
    report = json.loads(answer(PERFECT, "test_validator", inputs))
    assert report["issues"] == []
    assert report["valid"] is True


def test_the_validator_notices_that_there_are_no_tests() -> None:
    report = json.loads(answer(PERFECT, "test_validator", {"problem_statement": "x", "test_cases": "x = 1"}))
    assert report["valid"] is False


def test_a_flaky_validator_raises_false_alarms_at_times() -> None:
    challenge = BANK.challenges[0]
    inputs = {"problem_statement": challenge.statement, "test_cases": challenge.tests}
    found = []
    for seed in range(60):
        try:
            found.append(json.loads(answer(FLAKY, "test_validator", inputs, seed=seed))["valid"])
        except (ValueError, AgentCommunicationException):
            continue
    assert set(found) == {True, False}
    assert found.count(False) < found.count(True)


def test_the_analyser_names_failing_tests_and_gives_a_hint() -> None:
    output = "FAIL: test_empty (TestX)\nIndexError: list index out of range\n--- errored: TestX.test_last\n"
    text = answer(PERFECT, "test_error_analyzer", {"test_output": output, "code_under_test": "x"})
    assert "test_empty, test_last" in text
    assert "IndexError" in text
    assert "bounds of loops" in text


def test_the_pattern_report_counts_what_is_there() -> None:
    code = "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\n"
    text = answer(PERFECT, "solution_pattern_analyzer", {"problem_description": "x", "solution_code": code})
    assert "recursive functions: 1" in text
    assert "branches: 1" in text


@pytest.mark.parametrize("code", ["def (", "\x00", "(" * 5000, "x = " + "-" * 90_000 + "1", "\ud800"])
def test_hostile_code_does_not_break_the_pattern_report(code: str) -> None:
    text = answer(PERFECT, "solution_pattern_analyzer", {"problem_description": "x", "solution_code": code})
    assert "does not parse" in text or "Patterns" in text


def test_an_unknown_role_is_told_that_this_is_simulated() -> None:
    assert "simulated/perfect" in answer(PERFECT, "poet", {"topic": "spring"})


# --- faults on purpose


def test_the_flaky_model_does_all_that_goes_wrong_and_still_answers_mostly() -> None:
    challenge = BANK.challenges[0]
    kinds: Counter[str] = Counter()
    for seed in range(1500):
        try:
            text = answer(FLAKY, "problem_solver", {"problem_statement": challenge.statement}, seed=seed)
        except AgentCommunicationException as error:
            kinds[error.code] += 1
            continue
        if not text.strip():
            kinds["empty"] += 1
        elif len(text) >= 2**20:
            kinds["huge"] += 1
        elif "javascript" in text or "rust" in text:
            kinds["foreign"] += 1
        elif is_right(text, challenge):
            kinds["right"] += 1
    assert kinds["right"] > 400
    assert set(kinds) == {"rate_limited", "unavailable", "timed_out", "empty", "huge", "foreign", "right"}


def failures(model: SimulatedTransport, seed: int, most: int = 8) -> int:
    """How often in a row the model is away for this request."""
    for count in range(most):
        try:
            reply(model, request("problem_solver", seed=seed, prompts=("hello",)))
        except AgentCommunicationException:
            continue
        return count
    return most


def test_who_asks_again_gets_an_answer_and_the_same_as_anybody_else() -> None:
    counts = [failures(open_model("flaky"), seed) for seed in range(300)]
    assert set(counts) == {0, 1, 2, 5}
    shared_model = open_model("flaky")
    assert [failures(shared_model, seed) for seed in range(300)] == counts


def slow_model(clock: ManualClock) -> SimulatedTransport:
    return SimulatedTransport(load_profile("perfect").model_copy(update={"latency_seconds": 2.0}), clock)


def test_latency_passes_on_the_callers_clock() -> None:
    clock = ManualClock(monotonic=100.0)
    anyio.run(slow_model(clock).complete, request("poet"))
    assert clock.monotonic() == 102.0


def test_a_deadline_ends_a_slow_answer() -> None:
    clock = ManualClock(monotonic=100.0)
    asked = ChatRequest("simulated", (), "poet", deadline=100.5)
    with pytest.raises(AgentCommunicationException) as caught:
        anyio.run(slow_model(clock).complete, asked)
    assert caught.value.code == "timed_out"
    assert clock.monotonic() == 100.5
