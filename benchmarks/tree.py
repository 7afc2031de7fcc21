"""A large tree: written, read, reported, searched and resumed; time and memory of each, in processes of their own.

    python benchmarks/tree.py [NODES] [--json]

The tree has NODES nodes (100,000) of up to four of 30 concepts at five difficulties, each with one result of one
attempt. `load` reads its JSON, `report` surveys it; `store` writes as many measured nodes as a run, and `resume` plays
that run's search (mcts, which makes a new node with nearly each measurement) again over what is stored and measures ten
more; `ask` is the search alone, by thousands of nodes, so that growth is seen.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from itertools import combinations
from pathlib import Path
from typing import Any

import anyio

from prismenv import ChallengeResults, NodeOutcome, PolicyContext, SearchSettings, SearchTree
from prismenv.contracts.archive import NodeRecord, RunRecord
from prismenv.contracts.phases import PhaseBlock, PhasePlan
from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.engine.publishedtree import read_tree
from prismenv.engine.runtree import write_run_tree
from prismenv.finding.workspace import find_workspaces
from prismenv.search.mcts.policy import MctsPolicy
from prismenv.search.phased.kinds import build_prismbench
from prismenv.search.treejson import tree_from_json, tree_to_json, uncollected
from prismenv.store.database import open_store
from prismenv.words.records import TrailRecord

CONCEPTS = tuple(f"concept {number}" for number in range(30))
DIFFICULTIES = ("very easy", "easy", "medium", "hard", "very hard")
MEGABYTE = 2**20


def write_tree(path: Path, nodes: int) -> dict[str, Any]:
    """A tree's file: each node below those with a concept less, and below itself one difficulty down."""
    tree = SearchTree(CONCEPTS, DIFFICULTIES)
    attempt = {"attempt_num": 0, "problem_statement": "p" * 400, "solution_code": "s" * 400, "tests_passed_num": 5}
    for size in range(1, 5):
        for concepts in combinations(CONCEPTS, size):
            for level, difficulty in enumerate(DIFFICULTIES):
                if len(tree) == nodes:
                    break
                below = [f"{'+'.join(concepts)}|{DIFFICULTIES[level - 1]}"] if level else []
                below += [f"{'+'.join(part)}|{difficulty}" for part in combinations(concepts, size - 1) if part]
                node, _ = tree.add(concepts, difficulty, [tree[name] for name in below])
                success = level < 3
                node.results = ({"success": success, "data_trail": [{**attempt, "success": success}]},)
                node.visits = node.measured = 1
    path.write_text(json.dumps(tree_to_json(tree)))
    return {"megabytes": round(path.stat().st_size / MEGABYTE)}


def load(path: Path) -> dict[str, Any]:
    begun = time.process_time()
    with uncollected():
        document = json.loads(path.read_text())
    tree = tree_from_json(document)
    return {"nodes": len(tree), "processor_seconds": round(time.process_time() - begun, 1)}


def report(path: Path) -> dict[str, Any]:

    return {"measured": read_tree(path).to_json(0.5)["total"]["measured"]}


def _policy(name: str, nodes: int) -> Any:

    settings = SearchSettings(policy=name, nodes=nodes)
    if name == "mcts":
        return MctsPolicy(PolicyContext((), settings, 1, CONCEPTS, DIFFICULTIES))
    block = PhaseBlock.model_validate(
        {"phase_params": {"max_iterations": nodes, "convergence_checks": nodes, "max_depth": 50}}
    )
    return build_prismbench(PolicyContext((), settings, 1, CONCEPTS, DIFFICULTIES, (PhasePlan("phase_1", block),)))


def ask(name: str, nodes: int) -> dict[str, Any]:
    """Milliseconds of one ask and tell, by where in the search: a tenth of the measurements each."""

    trails = {
        known: [TrailRecord(tests_passed_num=5 * known, tests_failed_num=5 * (not known), success=known)]
        for known in (False, True)
    }
    policy, chance, times, done = _policy(name, nodes), random.Random(1), [], 0
    while done < nodes and not policy.finished:
        begun, first = time.perf_counter(), done
        while done - first < nodes // 10 and not policy.finished:
            for request in policy.ask(8):
                success = chance.random() < 0.7
                result = ChallengeResults(success=success, data_trail=trails[success])
                policy.tell(NodeOutcome(request, result, "none" if success else "candidate"))
                done += 1
        times.append(round(1000 * (time.perf_counter() - begun) / (done - first), 3))
    return {"asked": done, "tree": len(policy.tree), "milliseconds": times}


def store(path: Path, nodes: int) -> dict[str, Any]:
    """The outcomes of a search, as a run that a budget ended."""

    search = {"policy": "mcts", "nodes": nodes + 10, "concepts": CONCEPTS, "difficulties": DIFFICULTIES, "window": 8}
    recipe = Recipe(name="large", environment="environment_large", search=search, seed=1)
    policy, chance = _policy("mcts", nodes + 10), random.Random(1)
    with closing(open_store(path)) as opened:
        opened.save_run(
            RunRecord("run-1", "large", recipe.environment, "interrupted", 1, recipe.model_dump(mode="json"), 1.0)
        )
        asked: list[Any] = []
        written, records = 0, []
        while written < nodes:
            asked += policy.ask(8 - len(asked))
            request, success = asked.pop(0), chance.random() < 0.7
            record = TrailRecord(problem_statement="p" * 400, solution_code="s" * 400, success=success)
            result = ChallengeResults(success=success, data_trail=[record])
            outcome = NodeOutcome(request, result, "none" if success else "candidate")
            policy.tell(outcome)
            records.append(NodeRecord(outcome))
            written += 1
            if len(records) == 500:
                opened.save_nodes("run-1", records)
                records = []
        opened.save_nodes("run-1", records)
    return {"written": written, "tree": len(policy.tree), "megabytes": round(path.stat().st_size / MEGABYTE)}


ENVIRONMENT = """
from prismenv import environment_registry

@environment_registry.register_environment_method("environment_large", "execute_node")
async def execute_node(self, concept, difficulty_level, **options):
    return {"success": True}
"""


def resume(folder: Path) -> dict[str, Any]:

    (folder / "environments").mkdir()
    (folder / "prismenv.yaml").write_text("name: large\n")
    (folder / "environments" / "environment_large.py").write_text(ENVIRONMENT)
    os.environ["PRISMENV_STORE"] = str(folder / "runs.db")

    async def main() -> Any:
        workspaces = find_workspaces(folder)
        return await run_campaign(None, workspaces=workspaces, folder=folder, sink=lambda _: None, resume="run-1")

    ended = anyio.run(main)
    return {"status": ended.status, "done": ended.progress["done"], "replayed": ended.progress["replayed"]}


def write_run(folder: Path) -> dict[str, Any]:

    path = folder / "written.json"
    with closing(open_store(folder / "runs.db")) as opened, path.open("w") as out:
        return {"nodes": write_run_tree(opened, "run-1", find_workspaces(folder), out)}


STEPS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "write": lambda folder, nodes: write_tree(folder / "tree.json", nodes),
    "load": lambda folder, _: load(folder / "tree.json"),
    "report": lambda folder, _: report(folder / "tree.json"),
    "ask-mcts": lambda _, nodes: ask("mcts", nodes),
    "ask-prismbench": lambda _, nodes: ask("prismbench", min(nodes, 10_000)),
    "store": lambda folder, nodes: store(folder / "runs.db", nodes),
    "resume": lambda folder, _: resume(folder),
    "tree": lambda folder, _: write_run(folder),
}


def _measured(step: str, folder: Path, nodes: int) -> dict[str, Any]:
    begun = time.perf_counter()
    found = STEPS[step](folder, nodes)
    seconds = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // MEGABYTE
    return {"step": step, "seconds": round(seconds, 1), "peak_megabytes": memory, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("nodes", nargs="?", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(json.dumps(_measured(given.step, given.folder, given.nodes)))
        return
    with tempfile.TemporaryDirectory() as folder:
        for step in STEPS:
            command = [sys.executable, __file__, str(given.nodes), "--step", step, "--folder", folder]
            line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            print(
                line if given.json else ", ".join(f"{key} {value}" for key, value in json.loads(line).items()),
                flush=True,
            )


if __name__ == "__main__":
    main()
