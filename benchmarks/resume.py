"""Kills runs at random moments, goes on with them, and compares with a run that nobody disturbed.

    python benchmarks/resume.py [--kills 50] [--seed 1] [--policy prismbench] [--policy mcts] [--policy adaptive]

Each run is `prismenv run` in a process group of its own, ended by SIGKILL; what measures is an environment that answers
by its seed after some milliseconds and writes a line for each execution. A run is killed and resumed until it finishes,
and runs of further seeds follow until there were so many kills. Prints one JSON document:

- `midway`: kills after which the store held a part of the run; the others came while it was starting.
- `lost`: nodes that were stored before a kill and not after it; `twice`: indexes stored more than once; both have to
  be 0.
- `repeated`: executions that no stored node came of, since the kill came before it was stored (at most the concurrency
  for each kill).
- `other_trees`: seeds whose final tree, or whose trail, is not that of the undisturbed run. Has to be empty.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from prismenv.contracts.archive import Store
from prismenv.contracts.recipe import Recipe
from prismenv.engine.planning import build_policy, find_policy
from prismenv.engine.runtree import play_again
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.store.database import open_store
from prismenv.words.nodes import NodeOutcome

ENVIRONMENT = """\
import os

import anyio

from prismenv import BaseEnvironment, environment_registry


@environment_registry.register("environment_lots")
class Lots(BaseEnvironment):
    async def execute_node(self, concept, difficulty_level, ledger, **options):
        await anyio.sleep(0.01 + self.seed % 40 / 1000)
        descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{concept}|{difficulty_level}\\n".encode())
        os.close(descriptor)
        success = self.seed % 3 > 0
        record = {"success": success, "fault": "none" if success else "candidate", "problem_statement": f"p{self.seed}"}
        return {"success": success, "data_trail": [record]}
"""
PHASES = {
    "phase_1": {"phase_params": {"max_iterations": 90, "convergence_checks": 40}},
    "phase_2": {"phase_params": {"max_iterations": 60, "convergence_checks": 30}},
    "phase_3": {
        "phase_params": {"max_iterations": 80, "variations_per_concept": 3},
        "environment": {"name": "environment_lots"},
    },
}
CONCURRENCY = 4


@dataclass
class Tally:
    """What happened to all runs of a policy."""

    runs: int = 0
    kills: int = 0
    midway: int = 0
    nodes: int = 0
    lost: int = 0
    twice: int = 0
    repeated: int = 0
    other_trees: list[int] = field(default_factory=list)


class Bench:
    """One workspace, in which all runs happen."""

    def __init__(self, folder: Path, policy: str, generator: random.Random) -> None:
        self.folder = folder
        self.policy = policy
        self.random = generator
        self.tally = Tally()
        for name, text in (
            ("prismenv.yaml", ""),
            ("environments/environment_lots.py", ENVIRONMENT),
            ("configs/phase_configs.yaml", yaml.safe_dump(PHASES)),
        ):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.workspaces: WorkspaceSet = find_workspaces(folder)

    def recipe(self, seed: int) -> dict[str, Any]:
        """The recipe of a seed; what is drawn into its ledger is no part of what is compared."""
        nodes = {} if self.policy == "prismbench" else {"nodes": 200}
        return {
            "name": f"lots_{seed}",
            "environment": "environment_lots",
            "seed": seed,
            "options": {"ledger": str(self.folder / "ledger")},
            "concurrency": {"nodes": CONCURRENCY},
            "search": {
                "policy": self.policy,
                "tree": "tree_configs",
                "window": 16,
                "stop": {"interval": None},
                **nodes,
            },
        }

    def start(self, seed: int, resume: str | None) -> subprocess.Popen[bytes]:
        """The command line's run of a seed, or its going on."""
        path = self.folder / "configs" / "runs" / f"lots_{seed}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(self.recipe(seed)), encoding="utf-8")
        words = ["--resume", resume] if resume else [f"lots_{seed}"]
        command = [sys.executable, "-m", "prismenv", "run", *words, "--quiet"]
        return subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def disturbed(self, store: Store, seed: int, most: int) -> str:
        """Kill a run at random moments, at most so often, and let it end; gives its id."""
        before = {run.run_id for run in store.runs()}
        run_id: str | None = None
        kept: set[int] = set()
        while True:
            process = self.start(seed, run_id)
            wait = self.random.uniform(0.5, 3.0) if most else None
            code = self._wait(process, wait)
            run_id = next((run.run_id for run in store.runs() if run.run_id not in before), None)
            now = [node.outcome.request.index for node in store.nodes(run_id)] if run_id else []
            self.tally.lost += len(kept - set(now))
            self.tally.twice += len(now) - len(set(now))
            kept = set(now)
            if code == 0 and run_id is not None:
                return run_id
            if code is not None:
                raise SystemExit(f"the run of seed {seed} ended with exit code {code}")
            self.tally.kills += 1
            self.tally.midway += bool(now)
            most -= 1

    def compare(self, store: Store, seed: int, run_id: str) -> None:
        """Compare with a run that nobody disturbs."""
        lines = self._lines()
        before = {run.run_id for run in store.runs()}
        if self._wait(self.start(seed, None), None) != 0:
            raise SystemExit(f"the undisturbed run of seed {seed} failed")
        calm = next(run.run_id for run in store.runs() if run.run_id not in before)
        killed, whole = outcomes(store, run_id), outcomes(store, calm)
        self.tally.nodes += len(killed)
        self.tally.repeated += lines - len(killed)
        recipe = Recipe.model_validate(self.recipe(seed))
        same = [trail(one) for one in killed] == [trail(one) for one in whole]
        if not same or self.tree(recipe, killed) != self.tree(recipe, whole):
            self.tally.other_trees.append(seed)
        (self.folder / "ledger").unlink()

    def tree(self, recipe: Recipe, told: list[NodeOutcome]) -> dict[str, Any]:
        """The tree that a policy has when it was told all that; of one without a tree, what it says of itself."""
        policy = build_policy(recipe, find_policy(recipe.search.policy, self.workspaces), None, self.workspaces)
        play_again(policy, told, recipe.search.window)
        return dict(policy.tree_json() or policy.state())

    def _wait(self, process: subprocess.Popen[bytes], seconds: float | None) -> int | None:
        """The exit code; None where it did not end within the time and was killed."""
        deadline = time.monotonic() + (seconds if seconds is not None else 600)
        while process.poll() is None:
            if time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None
            time.sleep(0.005)
        return process.returncode

    def _lines(self) -> int:
        path = self.folder / "ledger"
        return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def outcomes(store: Store, run_id: str) -> list[NodeOutcome]:
    """What is stored of a run, in the order of asking."""
    return [node.outcome for node in store.nodes(run_id)]


def trail(outcome: NodeOutcome) -> tuple[Any, ...]:
    """What has to be equal: everything but times."""
    result = outcome.result.model_dump(mode="json") if outcome.result else {}
    return (outcome.request, outcome.fault, result.get("success"), result.get("data_trail"))


def measure(policy: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill runs of one policy so often."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder).resolve(), policy, random.Random(seed))
        store_file = bench.folder / ".prismenv" / "prismenv.db"
        store_file.parent.mkdir()
        store = open_store(store_file)
        try:
            number = seed
            while bench.tally.kills < kills:
                run_id = bench.disturbed(store, number, kills - bench.tally.kills)
                bench.compare(store, number, run_id)
                bench.tally.runs += 1
                number += 1
        finally:
            store.close()
        return {"policy": policy, **vars(bench.tally)}


def main() -> None:
    """Print what came of it; exit code 1 where anything was lost, doubled or different."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--policy", action="append", choices=["mcts", "prismbench", "adaptive"])
    given = parser.parse_args()
    found = [measure(policy, given.kills, given.seed) for policy in given.policy or ["prismbench", "mcts", "adaptive"]]
    print(json.dumps(found, indent=2))
    raise SystemExit(any(one["lost"] or one["twice"] or one["other_trees"] for one in found))


if __name__ == "__main__":
    main()
