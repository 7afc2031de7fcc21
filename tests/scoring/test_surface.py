"""The surface counts each problem where it belongs, and leaves out what says nothing about the candidate."""

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from prismenv.scoring.intervals import wilson
from prismenv.scoring.surface import Cell, Surface
from prismenv.scoring.tables import Layout, cell_text, combination_table, failure_table, surface_table
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.verdict import Verdict


def node(
    concepts: tuple[str, ...] = ("loops",),
    difficulty: str = "easy",
    *,
    problems: tuple[tuple[bool, Any], ...] = (),
    outcomes: tuple[Any, ...] = (),
    **facts: Any,
) -> NodeOutcome:
    trail = tuple(
        TrailRecord(problem_index=index, verdict=Verdict(outcome=outcome)) for index, outcome in enumerate(outcomes)
    )
    listed = tuple(
        ProblemSummary(problem_index=index, success=solved, attempts=1, fault=problem_fault)
        for index, (solved, problem_fault) in enumerate(problems)
    )
    result = ChallengeResults(success=facts.get("success", False), data_trail=trail, problems=listed)
    return NodeOutcome(NodeRequest(0, "id", concepts, difficulty, 1), result, facts.get("fault", "none"))


def surface_of(*outcomes: NodeOutcome) -> Surface:
    surface = Surface()
    for outcome in outcomes:
        surface.add(outcome)
    return surface


def test_each_problem_of_a_node_counts_and_broken_ones_are_left_out() -> None:
    surface = surface_of(node(problems=((True, "none"), (False, "candidate"), (False, "infrastructure"))))
    assert surface.singles == {("loops", "easy"): Cell(solved=1, measured=2, left_out=1)}
    assert surface.total == Cell(1, 2, 1)
    assert surface.nodes == 1
    assert surface.left_out == {"infrastructure": 1}


def test_a_node_that_lists_no_problems_counts_once() -> None:
    surface = surface_of(node(success=True), node(fault="candidate"), node(fault="tests"))
    assert surface.total == Cell(1, 2, 1)


def test_a_node_whose_environment_raised_is_left_out() -> None:
    outcome = NodeOutcome(NodeRequest(0, "id", ("loops",), "easy", 1), None, "environment", "it broke")
    assert surface_of(outcome).total == Cell(0, 0, 1)


def test_a_fault_of_the_node_is_that_of_its_unsolved_problems_where_none_says_so_itself() -> None:
    surface = surface_of(node(problems=((True, "none"), (False, "none")), fault="infrastructure"))
    assert surface.total == Cell(1, 1, 1)
    surface = surface_of(node(problems=((False, "none"), (False, "infrastructure")), fault="infrastructure"))
    assert surface.total == Cell(0, 1, 1)


def test_a_node_of_several_concepts_counts_in_each_row_and_once_in_pairs_and_totals() -> None:
    surface = surface_of(node(("sorting", "loops"), problems=((True, "none"),)))
    assert surface.singles == {("loops", "easy"): Cell(1, 1), ("sorting", "easy"): Cell(1, 1)}
    assert surface.combinations == {("loops + sorting", "easy"): Cell(1, 1)}
    assert surface.total == Cell(1, 1)


def test_failures_are_counted_by_the_last_verdict_on_their_problem() -> None:
    surface = surface_of(
        node(problems=((False, "candidate"), (False, "candidate")), outcomes=("timed_out", "failed")),
        node(problems=((True, "none"), (False, "candidate")), outcomes=("passed",)),
        node(problems=((False, "infrastructure"),), outcomes=("infrastructure_error",)),
    )
    assert surface.failures == {"timed_out": 1, "failed": 1, "no_verdict": 1}
    assert surface.left_out == {"infrastructure": 1}


NODES = st.builds(
    node,
    concepts=st.lists(st.sampled_from("abc"), max_size=3).map(tuple),
    difficulty=st.sampled_from(["hard", "easy", "odd"]),
    problems=st.lists(
        st.tuples(st.booleans(), st.sampled_from(["none", "candidate", "tests", "infrastructure"])), max_size=3
    ).map(tuple),
    fault=st.sampled_from(["none", "candidate", "environment", "infrastructure"]),
)


@given(st.lists(NODES, max_size=12))
def test_the_counts_add_up_whatever_was_measured(outcomes: list[NodeOutcome]) -> None:
    surface = surface_of(*outcomes)
    total = surface.total
    assert 0 <= total.solved <= total.measured
    assert total.left_out == sum(surface.left_out.values())
    assert total.measured - total.solved == sum(surface.failures.values())
    assert total.measured + total.left_out == sum(max(1, len(o.result.problems)) for o in outcomes if o.result)
    json.dumps(surface.to_json(), allow_nan=False)
    table = surface_table(surface)
    assert {len(row) for row in table.rows} <= {len(table.header)}


@given(st.lists(NODES, max_size=8), st.randoms(use_true_random=False))
def test_the_json_form_does_not_depend_on_the_order_of_nodes(outcomes: list[NodeOutcome], random: Any) -> None:
    shuffled = list(outcomes)
    random.shuffle(shuffled)
    assert surface_of(*outcomes).to_json() == surface_of(*shuffled).to_json()


def test_the_json_form_has_counts_and_intervals() -> None:
    surface = surface_of(node(success=True), node(fault="candidate"), node(("sorting",), "very hard", fault="tests"))
    low, high = wilson(1, 2)
    form = surface.to_json()
    measured = {"solved": 1, "measured": 2, "left_out": 0, "rate": 0.5, "low": low, "high": high}
    nothing = {"solved": 0, "measured": 0, "left_out": 1, "rate": None, "low": 0.0, "high": 1.0}
    assert form["cells"] == [
        {"concept": "loops", "difficulty": "easy", **measured},
        {"concept": "sorting", "difficulty": "very hard", **nothing},
    ]
    assert form["left_out"] == {"tests": 1}
    assert form["nodes"] == 3


def test_difficulties_stand_in_their_order_and_unknown_ones_after_them() -> None:
    surface = surface_of(*(node(difficulty=name) for name in ("odd", "very hard", "easy", "very easy", "another")))
    assert surface.difficulties() == ["very easy", "easy", "very hard", "another", "odd"]


def test_the_table_shows_counts_rates_intervals_and_what_was_left_out() -> None:
    surface = surface_of(
        *(node(success=True) for _ in range(3)),
        node(fault="candidate", outcomes=("timed_out",)),
        node(("loops", "sorting"), "hard", success=True),
        node(("sorting",), "hard", fault="infrastructure"),
    )
    table = surface_table(surface)
    assert table.header == ("concept", "easy", "hard", "all")
    assert table.rows == (
        ("loops", "3/4 75% [30-95]", "1/1 100% [21-100]", "4/5 80% [38-96]"),
        ("sorting", "", "1/1 100% [21-100] (1 left out)", "1/1 100% [21-100] (1 left out)"),
        ("all", "3/4 75% [30-95]", "2/2 100% [34-100] (1 left out)", "4/5 80% [38-96] (1 left out)"),
    )
    assert combination_table(surface, layout=Layout(rates=False)).rows == (
        ("loops + sorting", "1/1 [21-100]", "1/1 [21-100]"),
        ("all", "1/1 [21-100]", "1/1 [21-100]"),
    )
    assert combination_table(surface, layout=Layout(stacked=True)).rows[0][1] == "1/1 100%\n[21-100]"
    assert failure_table(surface).rows == (("timed out", "1"), ("left out: infrastructure", "1"))


def test_an_empty_run_has_a_table_without_rows() -> None:
    assert surface_table(Surface()).rows == ()
    assert cell_text(None) == cell_text(Cell()) == ""
    assert cell_text(Cell(left_out=2)) == "0/0 (2 left out)"


def test_adding_many_nodes_keeps_only_counts() -> None:
    surface = surface_of(*(node(success=number % 2 == 0, fault="candidate") for number in range(1000)))
    assert surface.total == Cell(500, 1000)
    assert Counter(surface.failures) == {"no_verdict": 500}
    assert len(surface.singles) == 1
