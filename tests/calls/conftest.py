"""Questions, clocks and workspaces for the tests of what stands around a provider."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.engine.report import RunReport
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.testing.openai_server import OpenAIServer
from prismenv.words.chat import ChatMessage, ChatRequest

ASKER = '''\
"""Has a problem set and solved, and keeps what was answered."""

from prismenv import BaseEnvironment, environment_registry


@environment_registry.register("environment_caller")
class Asker(BaseEnvironment):
    async def execute_node(self, concept, difficulty_level, **options):
        question = {"concepts": [concept], "difficulty_level": difficulty_level}
        problem = await self.agents["challenge_designer"].interact(**question)
        answer = await self.agents["problem_solver"].interact(problem_statement=problem)
        return {"success": "return" in answer, "data_trail": [{"solution_code": answer, "success": "return" in answer}]}
'''


@pytest.fixture
def workspaces(tmp_path: Path) -> WorkspaceSet:
    """A workspace with `environment_caller` besides the built-in one."""
    folder = tmp_path / "workspace"
    (folder / "environments").mkdir(parents=True)
    (folder / "prismenv.yaml").write_text("name: calling\n")
    (folder / "environments" / "environment_caller.py").write_text(ASKER)
    return find_workspaces(folder)


@pytest.fixture
def run() -> Callable[..., RunReport]:
    """`run(recipe, workspaces, **options)`: a campaign from its beginning to its end."""

    def campaign(recipe: Recipe, workspaces: WorkspaceSet, **options: Any) -> RunReport:
        async def main() -> RunReport:
            return await run_campaign(
                recipe, workspaces=workspaces, folder=workspaces.project_folder, sink=lambda _: None, **options
            )

        return anyio.run(main)

    return campaign


@pytest.fixture
def asking(request: pytest.FixtureRequest) -> Callable[..., Recipe]:
    """`asking(server, **changes)`: a recipe that asks that server about the test module's SEARCH."""

    def build(server: OpenAIServer, **changes: Any) -> Recipe:
        base = {
            "name": "asking",
            "environment": "environment_caller",
            "config": {"agents": ["challenge_designer", "problem_solver"]},
            "models": {"default": f"openai@{server.url}/test-model"},
            "search": request.module.SEARCH,
        }
        return Recipe.model_validate({**base, **changes})

    return build


@pytest.fixture
def ask() -> Callable[..., ChatRequest]:
    """A question to a model."""

    def build(text: str = "Add two numbers.", **changes: Any) -> ChatRequest:
        messages = changes.pop("messages", (ChatMessage("system", "Be brief."), ChatMessage("user", text)))
        return ChatRequest(**{"model": "m", "messages": messages, "role": "problem_solver", "seed": 1, **changes})

    return build
