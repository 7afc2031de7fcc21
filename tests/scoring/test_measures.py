"""Rates, their intervals where problems repeat, and what is made of them: areas, gaps, effort, spread."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.scoring.areas import TOTAL, Area, by_area, weakest
from prismenv.scoring.clusters import effective_size
from prismenv.scoring.coverage import coverage
from prismenv.scoring.effort import effort
from prismenv.scoring.intervals import wilson
from prismenv.scoring.measures import Measure, measure
from prismenv.scoring.problems import Score, scores_of
from prismenv.scoring.spread import repeats, spread
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord


def score(solved: bool = True, problem: str = "", **facts: Any) -> Score:
    known: dict[str, Any] = {
        "index": 0,
        "node_id": "loops|easy",
        "concepts": ("loops",),
        "difficulty": "easy",
        "fault": "none" if solved else "candidate",
        "kind": "" if solved else "failed",
        "attempts": 1,
        **facts,
    }
    return Score(problem=problem or f"p{id(known)}", solved=solved, value=float(solved), **known)


CLUSTERS = st.lists(st.integers(1, 6).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m))), max_size=12)


@given(CLUSTERS)
def test_repetitions_are_worth_at_most_as_many_problems_and_at_least_as_many_as_all_agreeing_would_be(clusters) -> None:
    size = effective_size(clusters)
    total = sum(count for _, count in clusters)
    assert 0 <= size <= total + 1e-9
    if total:
        assert size >= total**2 / sum(count**2 for _, count in clusters) - 1e-9
    if all(count == 1 for _, count in clusters):
        assert size == pytest.approx(total)


def test_repetitions_that_agree_count_as_one_and_those_that_do_not_count_all() -> None:
    assert effective_size([(5, 5), (0, 5), (5, 5), (0, 5)]) == pytest.approx(4)
    assert effective_size([(3, 5), (2, 5), (3, 5), (2, 5)]) == pytest.approx(20)
    assert effective_size([(4, 4)]) == pytest.approx(1)  # one problem alone tells of itself


def test_a_problem_that_was_solved_five_times_says_no_more_of_its_area_than_once() -> None:
    found = measure([score(problem="same") for _ in range(5)])
    assert (found.solved, found.measured, found.distinct, found.method) == (5, 5, 1, "clustered")
    assert found.interval == pytest.approx(wilson(1, 1))


@given(st.lists(st.booleans(), max_size=20))
def test_problems_measured_once_have_wilsons_own_interval(solved: list[bool]) -> None:
    found = measure([score(each, f"p{place}") for place, each in enumerate(solved)])
    assert found.interval == pytest.approx(wilson(sum(solved), len(solved)))
    assert found.method == ("wilson" if solved else "none")


def test_the_clustered_interval_covers_the_truth_where_plain_wilson_does_not() -> None:
    """Forty problems, each solvable or not, measured five times: the truth is the share of all problems."""
    draw = random.Random(3)
    clustered = plain = 0
    for _ in range(400):
        problems = [draw.random() < 0.6 for _ in range(40)]
        scores = [score(hit, f"p{place}") for place, hit in enumerate(problems) for _ in range(5)]
        low, high = measure(scores).interval
        clustered += low <= 0.6 <= high
        low, high = wilson(5 * sum(problems), 200)
        plain += low <= 0.6 <= high
    assert clustered / 400 >= 0.92
    assert plain / 400 < 0.75


def test_what_says_nothing_of_the_candidate_is_left_out_and_counted() -> None:
    found = measure([score(), score(False), score(False, fault="infrastructure"), score(False, fault="tests")])
    assert (found.solved, found.measured, found.left_out) == (1, 2, 2)
    nothing = measure([score(False, fault="infrastructure")])
    assert nothing == Measure(left_out=1)
    assert (nothing.rate, nothing.interval) == (None, (0.0, 1.0))


def outcome(index: int, *solved: bool, node: str = "loops|easy", **more: Any) -> NodeOutcome:
    listed = [ProblemSummary(problem_index=i, success=hit, attempts=2, fault="none") for i, hit in enumerate(solved)]
    trail = [TrailRecord(problem_index=i, problem_statement=more.pop(f"text{i}", None)) for i in range(len(solved))]
    result = ChallengeResults(success=all(solved), data_trail=trail, problems=listed, **more)
    return NodeOutcome(NodeRequest(index, node, ("loops",), "easy", 1), result)


def test_a_problem_is_known_again_by_its_id_its_statement_or_its_place() -> None:
    named = [next(scores_of(outcome(index, True, problem_id="HumanEval/1"))).problem for index in (0, 1)]
    assert named == ["id:HumanEval/1"] * 2
    first, again, other = (next(scores_of(outcome(i, True, text0=text))) for i, text in enumerate("aab"))
    assert first.problem == again.problem != other.problem
    assert next(scores_of(outcome(3, True))).problem != next(scores_of(outcome(4, True))).problem


def test_samples_of_a_problem_are_its_value() -> None:
    found = next(scores_of(outcome(0, True, samples=4, passed=1)))
    assert (found.solved, found.value, found.samples) == (True, 0.25, 4)


def test_the_weakest_area_is_the_one_that_is_known_to_be_weak() -> None:
    scores = [score(place < 2, f"s{place}", concepts=("sorting",)) for place in range(20)]
    scores += [score(False, "one", concepts=("trees",), difficulty="hard", node_id="trees|hard")]
    found = weakest(by_area(scores))
    assert [item.area.label for item in found] == ["sorting, easy", "trees, hard"]  # each concept has one cell alone
    assert found[0].certain
    assert found[0].failures == {"failed": 18}
    trees = next(item for item in found if item.area == Area("cell", "trees", "hard"))
    assert (trees.certain, trees.nodes) == (False, ("trees|hard",))
    assert all(item.area.kind not in ("total", "difficulty") for item in found)


def test_a_node_of_two_concepts_counts_in_both_in_their_combination_and_once_in_the_total() -> None:
    areas = by_area([score(concepts=("b", "a", "b"))])
    assert {area.label for area in areas} == {"all", "easy", "a", "a, easy", "b", "b, easy", "a + b", "a + b, easy"}
    assert all(len(found) == 1 for found in areas.values())
    assert by_area([]) == {TOTAL: []}


def test_every_cell_of_the_plan_is_measured_or_has_a_reason() -> None:
    plan = [(name, level) for name in "abc" for level in ("easy", "hard")]
    scores = [
        score(concepts=("a",)),
        score(False, concepts=("a",), difficulty="hard", fault="infrastructure"),
        score(False, concepts=("b",), fault="tests"),
    ]
    found = coverage(scores, plan, "budget_reached", "budget.nodes: 3 of 3")
    assert (found.planned, found.measured) == (6, 1)
    assert [(gap.code, gap.cells) for gap in found.gaps] == [
        ("infrastructure", (("a", "hard"),)),
        ("tests", (("b", "easy"),)),
        ("budget_reached", (("b", "hard"), ("c", "easy"), ("c", "hard"))),
    ]
    assert found.gaps[2].reason == "the budget was spent: budget.nodes: 3 of 3"
    assert (
        coverage(scores, plan, "finished", limit="search.nodes: 3").gaps[2].reason == "never asked for: search.nodes: 3"
    )
    assert coverage(scores, None, "finished").planned is None
    made = coverage([*scores, score(concepts=("a", "d"))], plan, "finished")
    assert (made.planned, made.measured, made.beyond) == (6, 1, 2)  # a + d, and with it d


def test_effort_tells_first_attempts_the_fixer_and_what_failed() -> None:
    made = effort(
        [
            score(attempts=1),
            score(attempts=3),
            score(attempts=4, by_fixer=True),
            score(False, attempts=4, kind="timed_out"),
            score(False, attempts=1, fault="infrastructure"),
        ]
    )
    assert (made.first.solved, made.alone.solved, made.total.solved, made.total.measured) == (1, 2, 3, 4)
    assert (made.by_fixer, made.fixer_share, made.attempts, made.attempts_each) == (1, pytest.approx(1 / 3), 12, 3.0)
    assert (made.by_attempts, made.failures, made.left_out) == (
        {1: 1, 3: 1, 4: 1},
        {"timed_out": 1},
        {"infrastructure": 1},
    )
    sampled = effort([score(samples=4, attempts=4), score(attempts=1)])
    assert (sampled.total.measured, sampled.first.measured, sampled.attempts) == (2, 1, 1)
    nothing = effort([])
    assert (nothing.fixer_share, nothing.attempts_each) == (None, None)


def test_repetitions_are_averaged_with_their_spread_over_the_same_nodes() -> None:
    hits = {"a": (True, False, True), "b": (True, True, False), "c": (False, False)}
    scores = [
        score(hit, index=3 * at + i, node_id=name)
        for at, (name, all_hits) in enumerate(hits.items())
        for i, hit in enumerate(all_hits)
    ]
    found = repeats(scores)
    assert found is not None
    assert found.rates == (1.0, 0.5, 0.5)
    assert found.mean == pytest.approx(2 / 3)
    assert found.deviation == pytest.approx(0.288675, abs=1e-6)
    assert repeats([score(node_id=str(place), index=place) for place in range(5)]) is None
    assert spread([0.4]).deviation is None
    assert spread([]).mean is None
