"""Summaries of stored runs, and which runs pruning removes."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from prismenv.contracts.archive import NodeRecord, Store
from prismenv.engine.summaries import find_run, prune_runs, summarise_run
from prismenv.scoring.surface import Cell
from prismenv.store.database import open_store
from prismenv.words.errors import ConfigurationException, StorageException
from prismenv.words.records import ChallengeResults
from prismenv.words.usage import Usage

DAY = 86_400.0


def test_a_summary_adds_up_surface_samples_and_usage(store: Store, make_run, make_node) -> None:
    store.save_run(make_run(seed=3))
    store.save_nodes("run-1", [make_node(0, passed=True)])
    store.save_nodes("run-1", [make_node(1, passed=False)])
    broken = make_node(2, passed=False)
    store.save_nodes("run-1", [NodeRecord(replace(broken.outcome, fault="infrastructure"))])
    summary = summarise_run(store, "run-1")
    assert summary.surface.total == Cell(solved=1, measured=2, left_out=1)
    assert summary.attempts == 6
    assert summary.models == {"simulated/perfect"}
    assert summary.total_usage == Usage(
        model="simulated/perfect", calls=6, prompt_tokens=60, completion_tokens=30, cost_usd=None
    )
    form = json.loads(json.dumps(summary.to_json(), allow_nan=False))
    assert form["nodes_done"] == 3
    assert form["pass_at_k"] == []  # a challenge of its own making is no sample of a known problem
    assert form["surface"]["left_out"] == {"infrastructure": 1}


def test_a_run_over_known_problems_has_pass_at_k(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    for index, passed in enumerate((10, 0)):
        outcome = make_node(index).outcome
        counted = ChallengeResults(success=passed > 0, problem_id=f"p{index}", samples=10, passed=passed)
        store.save_nodes("run-1", [NodeRecord(replace(outcome, result=counted))])
    estimates = summarise_run(store, "run-1").to_json()["pass_at_k"]
    assert [(estimate["k"], estimate["value"], estimate["samples"]) for estimate in estimates] == [
        (1, 0.5, 20),
        (10, 0.5, 20),
    ]


def test_an_empty_run_has_a_summary(store: Store, make_run) -> None:
    store.save_run(make_run())
    form = summarise_run(store, "run-1").to_json()
    assert (form["attempts"], form["pass_at_k"], form["surface"]["total"]["rate"]) == (0, [], None)


def test_a_run_is_found_by_its_id_or_an_unambiguous_beginning(store: Store, make_run) -> None:
    for run_id in ("run-a", "run-ab", "run-c"):
        store.save_run(make_run(run_id))
    assert find_run(store, "run-a").run_id == "run-a"
    assert find_run(store, "run-c").run_id == "run-c"
    with pytest.raises(StorageException, match="beginning of 3 runs"):
        find_run(store, "run")
    with pytest.raises(StorageException, match="Did you mean run-c"):
        find_run(store, "run-d")
    with pytest.raises(StorageException, match="There is no run"):
        find_run(store, "completely else")


@pytest.fixture
def aged(store: Store, make_run) -> Store:
    for age in (0, 5, 10, 20):
        store.save_run(make_run(f"run-{age}", started_at=100 * DAY - age * DAY))
    return store


@pytest.mark.parametrize(
    ("rule", "removed"),
    [
        ({"older_than_days": 7.0}, ["run-10", "run-20"]),
        ({"keep": 1}, ["run-5", "run-10", "run-20"]),
        ({"keep": 3, "older_than_days": 7.0}, ["run-20"]),
        ({"keep": 0}, ["run-0", "run-5", "run-10", "run-20"]),
        ({"older_than_days": 30.0}, []),
    ],
)
def test_pruning_removes_what_is_too_old_and_too_many_and_a_dry_run_only_says_so(aged: Store, rule, removed) -> None:
    before = [run.run_id for run in aged.runs()]
    assert [run.run_id for run in prune_runs(aged, now=100 * DAY, dry_run=True, **rule).removed] == removed
    assert [run.run_id for run in aged.runs()] == before
    assert [run.run_id for run in prune_runs(aged, now=100 * DAY, **rule).removed] == removed
    assert [run.run_id for run in aged.runs()] == [run_id for run_id in before if run_id not in removed]


def test_a_run_that_is_worked_on_is_spared(aged: Store, file: Path) -> None:
    with closing(open_store(file)) as other, other.lock_run("run-10"):
        pruning = prune_runs(aged, now=100 * DAY, keep=1)
    assert [run.run_id for run in pruning.busy] == ["run-10"]
    assert [run.run_id for run in aged.runs()] == ["run-0", "run-10"]


@pytest.mark.parametrize("rule", [{}, {"keep": -1}, {"older_than_days": -1.0}])
def test_pruning_without_a_sensible_rule_removes_nothing(aged: Store, rule) -> None:
    with pytest.raises(ConfigurationException):
        prune_runs(aged, now=100 * DAY, **rule)
    assert len(aged.runs()) == 4


def test_cached_answers_are_pruned_by_their_age_alone(aged) -> None:
    for day in (10, 50, 99):
        aged.answers.keep(f"answer of day {day}", "m", "{}", day * DAY)
    assert prune_runs(aged, now=100 * DAY, keep=1).answers == 0
    assert prune_runs(aged, now=100 * DAY, older_than_days=30, keep=99, dry_run=True).answers == 2
    assert prune_runs(aged, now=100 * DAY, older_than_days=30, keep=99).answers == 2
    kept = [day for day in (10, 50, 99) if aged.answers.find(f"answer of day {day}") is not None]
    assert kept == [99]
