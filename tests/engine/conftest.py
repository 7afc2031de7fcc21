"""A workspace with an environment that asks no model: what it measures depends on its seed alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prismenv.contracts.recipe import Recipe
from prismenv.finding.workspace import WorkspaceSet, find_workspaces

DICE = '''\
"""Rolls dice: no model, no sandbox."""

import os
from pathlib import Path

import anyio
import anyio.lowlevel

from prismenv import BaseEnvironment, environment_registry
from prismenv.contracts.plan import PlannedNode


@environment_registry.register("environment_dice")
class Dice(BaseEnvironment):
    async def execute_node(self, concept, difficulty_level, ledger=None, sleep=0.0, fail=None, **options):
        roll = self.seed % 1000
        for _ in range(roll % 7):
            await anyio.lowlevel.checkpoint()
        await anyio.sleep(sleep)
        if fail is not None and fail in (concept, "everything"):
            raise KeyError(concept)
        if ledger is not None:
            self._write(ledger, concept, difficulty_level)
        success = roll % 2 == 0
        record = {"success": success, "solution_code": f"roll = {roll}", "seed": self.seed}
        return {"success": success, "data_trail": [record], "options": options}

    def _write(self, ledger, concept, difficulty_level):
        descriptor = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{concept}|{difficulty_level}\\n".encode())
        os.close(descriptor)


@environment_registry.register("environment_problems")
class Problems(BaseEnvironment):
    def planned_nodes(self):
        return [
            PlannedNode(f"p{number}", ("arithmetic",), "easy" if number % 2 else "hard", {"problem_id": f"p{number}"})
            for number in range(6)
        ]

    async def execute_node(self, concept, difficulty_level, problem_id, **options):
        number = int(problem_id[1:])
        return {"success": number > 2, "data_trail": [], "problem_id": problem_id, "samples": 2, "passed": number % 3}


@environment_registry.register("environment_owner")
class Owner(BaseEnvironment):
    async def execute_node(self, concept, difficulty_level, **options):
        return {"success": True, "data": {"a": 1}, "odd": {2}, "ratio": float("inf"), "thing": Path("x")}


@environment_registry.register("environment_asker")
class Asker(BaseEnvironment):
    async def execute_node(self, concept, difficulty_level, **options):
        answer = await self.agents["problem_solver"].interact(problem_statement=concept)
        return {"success": True, "data_trail": [{"solution_code": answer, "success": True}]}
'''
TREE = {"concepts": [f"c{number}" for number in range(6)], "difficulties": ["easy", "hard"]}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A user's workspace with `environment_dice`, `environment_problems` and `environment_asker`."""
    folder = tmp_path / "workspace"
    (folder / "environments").mkdir(parents=True)
    (folder / "prismenv.yaml").write_text("name: dicing\n")
    (folder / "environments" / "environment_dice.py").write_text(DICE)
    return folder


@pytest.fixture
def workspaces(workspace: Path) -> WorkspaceSet:
    """The workspace with the built-in one."""
    return find_workspaces(workspace)


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """A recipe of `environment_dice` over a tree of 12 nodes, with changes by top-level key."""

    def build(**changes: Any) -> Recipe:
        base = {"name": "dicing", "environment": "environment_dice", "search": TREE, "seed": 7}
        for key, value in changes.items():
            base[key] = {**base[key], **value} if isinstance(base.get(key), dict) else value
        return Recipe.model_validate(base)

    return build
