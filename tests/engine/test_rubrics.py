"""Rewards of named parts: what they come to, what each gave, and what is wrong with one is told by its name."""

import math
from collections.abc import Mapping
from typing import Any

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv import (
    Action,
    BaseEnvironment,
    ConfigurationException,
    EnvironmentClient,
    EnvironmentExecutionException,
    Gate,
    Observation,
    Rubric,
    RubricScore,
    Sequential,
    WeightedSum,
    environment_registry,
    read_rubric,
)

NUMBERS = st.floats(-100, 100)


def scored(rubric: Rubric, outcome: Any = None) -> RubricScore:
    return anyio.run(rubric.score, "action", outcome)


def always(value: Any) -> Any:
    async def part(_action: Any, _outcome: Any) -> Any:
        return value

    return part


def names(count: int) -> list[str]:
    return [f"part{number}" for number in range(count)]


def test_parts_are_asked_with_the_action_and_its_outcome_plain_or_async() -> None:
    def length(action: str, _outcome: Any) -> int:
        return len(action)

    async def seen(_action: str, outcome: Mapping[str, int]) -> float:
        return outcome["seen"]

    rubric = WeightedSum({"length": length, "seen": seen}, {"length": 0.5, "seen": 2})
    assert scored(rubric, {"seen": 3}) == RubricScore(9.0, {"length": 6.0, "seen": 3.0})


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=6))
def test_a_weighted_sum_is_the_sum_of_parts_by_weights(given: list[tuple[float, float]]) -> None:
    parts = {name: always(value) for name, (value, _) in zip(names(len(given)), given, strict=True)}
    weights = {name: weight for name, (_, weight) in zip(names(len(given)), given, strict=True)}
    found = scored(WeightedSum(parts, weights))
    assert found.value == pytest.approx(sum(value * weight for value, weight in given))
    assert dict(found.parts) == {name: value for name, (value, _) in zip(names(len(given)), given, strict=True)}


@given(st.lists(NUMBERS, min_size=1, max_size=6))
def test_without_weights_it_is_the_mean(values: list[float]) -> None:
    found = scored(WeightedSum({name: always(value) for name, value in zip(names(len(values)), values, strict=True)}))
    assert found.value == pytest.approx(sum(values) / len(values))


@given(NUMBERS, NUMBERS)
def test_a_gate_lets_through_what_is_enough(value: float, least: float) -> None:
    assert scored(Gate(always(value), least)).value == (value if value >= least else 0.0)


@given(st.lists(NUMBERS, min_size=1, max_size=6))
def test_a_sequence_ends_at_the_first_part_that_gives_nothing(values: list[float]) -> None:
    found = scored(Sequential({name: always(value) for name, value in zip(names(len(values)), values, strict=True)}))
    failing = next((index for index, value in enumerate(values) if value <= 0), None)
    assert found.value == (values[-1] if failing is None else 0.0)
    assert list(found.parts) == names(len(values) if failing is None else failing + 1)


def test_parts_of_parts_have_dotted_names_in_the_order_of_asking() -> None:
    style = WeightedSum({"short": always(1.0), "plain": always(0.0)})
    rubric = Sequential({"runs": always(1), "quality": WeightedSum({"right": Gate(always(0.5), 0.4), "style": style})})
    found = scored(rubric)
    assert found.value == pytest.approx(0.5)
    parts = {"runs": 1.0, "quality.right": 0.5, "quality.style.short": 1.0, "quality.style.plain": 0.0}
    assert list(found.parts.items()) == [*parts.items(), ("quality.style", 0.5), ("quality", 0.5)]


COMPOSED = [lambda part: WeightedSum({"a": part, "b": always(1)}), Gate, lambda part: Sequential({"a": part})]


@pytest.mark.parametrize("compose", COMPOSED)
def test_what_measured_nothing_makes_the_whole_unmeasured(compose: Any) -> None:
    found = scored(compose(always(None)))
    assert (found.value, "a" in found.parts) == (None, False)


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", [], np.float64("nan")])
def test_what_is_no_number_is_told_with_the_parts_name(value: Any) -> None:
    with pytest.raises(EnvironmentExecutionException, match=r"outer\.inner") as wrong:
        scored(Sequential({"outer": WeightedSum({"inner": always(value)})}))
    assert wrong.value.code == "bad_score"


def test_numbers_of_numpy_and_truths_are_numbers() -> None:
    found = scored(WeightedSum({"a": always(np.float32(0.5)), "b": always(True)}, {"a": 1, "b": 1}))
    assert (found.value, dict(found.parts)) == (1.5, {"a": 0.5, "b": 1.0})


def test_a_part_that_raises_is_told_by_its_name_and_a_cancelled_one_is_cancelled() -> None:
    async def raises(_action: Any, _outcome: Any) -> float:
        raise KeyError("missing")

    with pytest.raises(EnvironmentExecutionException, match=r"part check raised KeyError") as wrong:
        scored(WeightedSum({"check": raises}))
    assert (wrong.value.code, type(wrong.value.__cause__)) == ("rubric_failed", KeyError)

    async def hangs(_action: Any, _outcome: Any) -> float:
        await anyio.sleep_forever()
        raise AssertionError

    async def main() -> bool:
        with anyio.move_on_after(0.01) as scope:
            await Gate(hangs).score(None, None)
        return scope.cancelled_caught

    assert anyio.run(main)


@pytest.mark.parametrize(
    "make",
    [
        lambda: WeightedSum({}),
        lambda: WeightedSum({"a.b": always(1)}),
        lambda: WeightedSum({"": always(1)}),
        lambda: WeightedSum({"a": 1}),  # type: ignore[dict-item]
        lambda: WeightedSum({"a": always(1)}, {}),
        lambda: WeightedSum({"a": always(1)}, {"a": 1, "b": 1}),
        lambda: WeightedSum({"a": always(1)}, {"a": math.nan}),
        lambda: WeightedSum({"a": always(1)}, {"a": True}),
        lambda: Gate(always(1), math.inf),
        lambda: Gate("a"),  # type: ignore[arg-type]
        lambda: Sequential({}),
    ],
)
def test_what_is_composed_wrongly_is_told_when_it_is_made(make: Any) -> None:
    with pytest.raises(ConfigurationException) as wrong:
        make()
    assert wrong.value.code == "bad_rubric"


CRITERIA = {"one": always(1.0), "half": always(0.5), "none": always(0.0)}


@pytest.mark.parametrize(
    ("document", "value", "parts"),
    [
        ("half", 0.5, {"half": 0.5}),
        ({"weighted": {"one": 2, "half": -1}}, 1.5, {"one": 1.0, "half": 0.5}),
        ({"sequence": ["one", "none", "half"]}, 0.0, {"one": 1.0, "none": 0.0}),
        ({"gate": "half", "at_least": 0.6}, 0.0, {}),
        ({"gate": "half", "at_least": 0.5}, 0.5, {}),
        (
            {"weighted": [{"all": {"sequence": ["one", "half"]}, "weight": 0.8}, {"one": "one", "weight": 0.2}]},
            0.6,
            {"all.one": 1.0, "all.half": 0.5, "all": 0.5, "one": 1.0},
        ),
        ({"sequence": [{"enough": {"gate": "half", "at_least": 0.1}}, "one"]}, 1.0, {"enough": 0.5, "one": 1.0}),
    ],
)
def test_a_file_composes_what_there_is(document: Any, value: float, parts: dict[str, float]) -> None:
    found = scored(read_rubric(document, CRITERIA))
    assert (found.value, dict(found.parts)) == (pytest.approx(value), parts)


def deep(levels: int) -> Any:
    return "one" if levels == 0 else {"gate": deep(levels - 1)}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("on", "did you mean 'one'"),
        (None, "expected a part's name"),
        ({"gate": "share", "at_leest": 1}, "unknown key 'at_leest'; did you mean 'at_least'"),
        ({"wighted": {"share": 1}}, "unknown key 'wighted'; did you mean 'weighted'"),
        ({"weighted": {}}, "parts must be"),
        ({"weighted": {"one": "much"}}, "finite number"),
        ({"weighted": [{"one": "one"}]}, r"weighted\[0\]"),
        ({"weighted": [{"a": "one", "b": "half", "weight": 1}]}, r"weighted\[0\]"),
        ({"sequence": "one"}, "rubric.sequence"),
        ({"sequence": ["one", "one"]}, "named twice"),
        ({"sequence": ["one", {"gate": "half"}]}, "NAME: RUBRIC"),
        ({"gate": "one", "most": 1}, "expected"),
        (deep(30), "nested"),
    ],
)
def test_a_file_that_composes_wrongly_is_told_where(document: Any, says: str) -> None:
    with pytest.raises(ConfigurationException, match=says):
        read_rubric(document, CRITERIA)


class Say(Action):
    word: str


class Heard(Observation):
    word: str


async def short(action: Say, _heard: Heard) -> float:
    return float(len(action.word) < 5)


async def polite(_action: Say, heard: Heard) -> float | None:
    return None if heard.word == "?" else float(heard.word == "please")


def test_an_environment_is_rewarded_by_its_rubric_in_one_line() -> None:
    with environment_registry.isolated():

        @environment_registry.register("environment_manners")
        class Manners(BaseEnvironment):
            rubric = WeightedSum({"short": short, "polite": polite}, {"short": 0.25, "polite": 1})

            async def reset(self) -> Heard:
                return Heard(word="")

            async def step(self, action: Say) -> Heard:
                return Heard(word=action.word, reward=1.0 if action.word == "twice" else None)

        with EnvironmentClient.local("environment_manners").sync() as env:
            env.reset()
            step = env.step({"word": "please"})
            assert (step.reward, step.info) == (1.0, {"rubric": {"short": 0.0, "polite": 1.0}})
            unknown = env.step({"word": "?"})
            assert (unknown.reward, unknown.info) == (None, {"rubric": {"short": 1.0}})
            assert env.compute_reward() == 1.0
            with pytest.raises(EnvironmentExecutionException, match="which its rubric gives"):
                env.step({"word": "twice"})
