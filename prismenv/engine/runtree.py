"""The tree of a stored run, in the shape of PrismBench's `/tree`.

A search that keeps a tree (`prismbench`, `mcts`) is played again over the stored outcomes, as when a run is resumed, so
that edges, visits and values are the search's own. A run of any other search is a tree without edges: its nodes in the
order in which they were measured. Results that say nothing about the candidate are none of a node's: `left_out` counts
them by fault.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TextIO

from prismenv.contracts.archive import RunRecord, Store
from prismenv.contracts.policy import SearchPolicy
from prismenv.contracts.recipe import Recipe
from prismenv.engine.planning import build_policy, find_policy
from prismenv.engine.reference import reference_outcomes
from prismenv.engine.resuming import stored_recipe
from prismenv.engine.runner import Pace, Runner, RunnerHooks
from prismenv.engine.summaries import find_run
from prismenv.engine.switch import StopSwitch
from prismenv.finding.recipes import resolve_cells
from prismenv.finding.workspace import WorkspaceSet
from prismenv.store.jsontext import dump
from prismenv.words.errors import ConfigurationException
from prismenv.words.nodes import NodeOutcome, NodeRequest


@dataclass(slots=True)
class _Measured:
    """What was measured of one node: results as JSON texts, so that they take little memory."""

    request: NodeRequest
    results: list[str] = field(default_factory=list)
    solved: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: NodeOutcome) -> None:
        if outcome.result is None or not outcome.measured:
            self.left_out[outcome.fault] += 1
            return
        self.results.append(dump(outcome.result))
        self.solved += outcome.success


def write_run_tree(store: Store, run_id: str, workspaces: WorkspaceSet, out: TextIO, *, flat: bool = False) -> int:
    """Write the tree of a run to `out`; how many nodes it has.

    `flat`: without edges whatever search it was, for runs whose search cannot be played again. Raises StorageException
    for an unknown or damaged run, ConfigurationException (`run_diverged`) where the search now asks for something else
    than what is stored.
    """
    run = find_run(store, run_id)
    recipe = stored_recipe(run)
    entry = None if flat else find_policy(recipe.search.policy, workspaces)
    measured: dict[str, _Measured] = {}
    if entry is not None and entry.keeps_tree:
        reference = reference_outcomes(recipe.search.reference, store)
        policy = build_policy(recipe, entry, None, workspaces, reference)
        play_again(policy, _taken(store, run, measured), recipe.search.window)
        tree = policy.tree_json() or _flat(recipe, measured, workspaces)
    else:
        for _ in _taken(store, run, measured):
            pass
        tree = _flat(recipe, measured, workspaces)
    return _write(tree, measured, out)


def _taken(store: Store, run: RunRecord, measured: dict[str, _Measured]) -> Iterator[NodeOutcome]:
    """The outcomes in index order, each taken down when it is passed on."""
    for record in store.nodes(run.run_id):
        outcome = record.outcome
        node = measured.setdefault(outcome.request.node_id, _Measured(replace(outcome.request, options={})))
        node.add(outcome)
        yield replace(outcome, replayed=True)


def play_again(policy: SearchPolicy, outcomes: Iterable[NodeOutcome], window: int) -> None:
    """Tell the policy what was stored, in index order, as a resumed run does, and run nothing.

    ConfigurationException (`run_diverged`) where it asks for something else.
    """
    hooks = RunnerHooks(
        gate=lambda: None,
        broken=lambda: None,
        started=lambda _: None,
        arrived=lambda _: None,
        told=lambda _: None,
    )
    runner = Runner(policy, _run_nothing, hooks, StopSwitch(), Pace(1, window))
    for outcome in outcomes:
        runner.replay(outcome)


async def _run_nothing(request: NodeRequest) -> NodeOutcome | None:
    raise AssertionError(f"{request.node_id} was to be run, where a run is only looked at")


def _flat(recipe: Recipe, measured: Mapping[str, _Measured], workspaces: WorkspaceSet) -> dict[str, Any]:
    """A tree of roots. A node's value is the share of its results that solved everything."""
    concepts, difficulties = _named(recipe, workspaces)
    for each in measured.values():
        concepts += [name for name in each.request.concepts if name not in concepts]
        difficulties += [each.request.difficulty] * (each.request.difficulty not in difficulties)
    nodes = [
        {
            "id": name,
            "difficulty": each.request.difficulty,
            "concepts": list(each.request.concepts),
            "challenge_description": "",
            "depth": 0,
            "visits": len(each.results),
            "value": each.solved / len(each.results) if each.results else 0.0,
            "measured": len(each.results),
            "phase": 1,
            "parents": [],
            "children": [],
        }
        for name, each in measured.items()
    ]
    return {"nodes": nodes, "concepts": concepts, "difficulties": difficulties}


def _named(recipe: Recipe, workspaces: WorkspaceSet) -> tuple[list[str], list[str]]:
    """Concepts and difficulties of the recipe's tree; none where the environment brought its own nodes."""
    if recipe.search.tree is None and recipe.search.concepts is None:
        return [], []
    try:
        concepts, difficulties = resolve_cells(recipe, workspaces)
    except ConfigurationException:  # the file is gone, or has changed: what was measured says enough
        return [], []
    return list(concepts), list(difficulties)


def _write(tree: Mapping[str, Any], measured: Mapping[str, _Measured], out: TextIO) -> int:
    head = json.dumps({key: value for key, value in tree.items() if key != "nodes"})
    out.write(head[:-1] + ', "nodes": [')
    for place, node in enumerate(tree["nodes"]):
        known = measured.get(node["id"])
        results = ", ".join(known.results) if known else ""
        left_out = dict(sorted(known.left_out.items())) if known else {}
        text = json.dumps({key: value for key, value in node.items() if key != "run_results"} | {"left_out": left_out})
        out.write(("," if place else "") + "\n" + text[:-1] + f', "run_results": [{results}]}}')
    out.write("\n]}\n")
    return len(tree["nodes"])
