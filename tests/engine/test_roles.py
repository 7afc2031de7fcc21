"""Every role of the repository speaks with the simulated model by its own agent file, each of its templates."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.recipe import Recipe
from prismenv.engine.composition import open_interface
from prismenv.finding.workspace import WorkspaceSet, builtin_workspace
from prismenv.sessions.agentfile import load_agents
from prismenv.sessions.local import InProcessInterface

DESIGN = {"concepts": ["loops"], "difficulty_level": "easy"}


@pytest.fixture
def built_in() -> WorkspaceSet:
    workspace = builtin_workspace()
    return WorkspaceSet((workspace,), user=None, project_folder=workspace.root)


def converse(workspaces: WorkspaceSet, folder: Path) -> dict[tuple[str, ...], str]:
    """What each role answers to each of its templates, asked with what the roles before it said."""
    recipe = Recipe(name="roles", models={"default": "simulated/perfect"}, seed=1)
    told: dict[tuple[str, ...], str] = {}

    async def main() -> None:
        async with open_interface(recipe, workspaces, folder) as interface:

            async def ask(role: str, **inputs: Any) -> str:
                session = await interface.initialize_session(role, seed=1)
                answer = await interface.interact(session, role, inputs)
                assert answer.appended == ()
                told[role, answer.template] = answer.text
                assert isinstance(interface, InProcessInterface)
                await interface.cleanup_session(session)
                return answer.text

            problem = await ask("challenge_designer", **DESIGN)
            await ask("challenge_designer_advanced", **DESIGN, previous_problems=[problem])
            tests = await ask("test_generator", problem_statement=problem)
            program = await ask("problem_solver", problem_statement=problem)
            report = "FAIL: test_first\nAssertionError: 1 != 2"
            await ask("problem_solver", error_feedback=f"{problem}\n\n{program}\n\n{report}")
            await ask(
                "problem_fixer",
                problem_statement=problem,
                test_cases=tests,
                current_solution=program,
                error_output=report,
            )
            told_language = {"language": "javascript"}
            problem = await ask("challenge_designer", **DESIGN, **told_language)
            cases = await ask("test_generator", problem_statement=problem, **told_language)
            program = await ask("problem_solver", problem_statement=problem, **told_language)
            await ask("problem_solver", error_feedback=f"{problem}\n\n{program}\n\n{report}", **told_language)
            await ask(
                "problem_fixer",
                problem_statement=problem,
                test_cases=cases,
                current_solution=program,
                error_output=report,
                **told_language,
            )
            await ask("test_validator", problem_statement=problem, test_cases=tests)
            await ask("test_error_analyzer", test_output=report, code_under_test=program)
            seen = json.dumps({"problem_statement": problem})
            await ask("episode_player", instructions="", action_schema="{}", observation=seen)
            await ask("episode_player", observation=seen, report=report)
            await ask("solution_pattern_analyzer", problem_description=problem, solution_code=program)

    anyio.run(main)
    return told


def test_every_role_and_template_has_an_answer_of_the_simulated_model(built_in: WorkspaceSet, tmp_path: Path) -> None:
    told = converse(built_in, tmp_path)
    templates = {
        (role, template.name) for role, agent in load_agents(built_in).items() for template in agent.compiled()
    }
    assert set(told) == templates
    assert all(text.strip() and "no part to play" not in text for text in told.values())
    assert "unittest" in told["test_generator", "default"]
    assert "stdout" in told["test_generator", "cases"]
    for role, template in (
        ("problem_solver", "program"),
        ("problem_solver", "program_fix"),
        ("problem_fixer", "program"),
    ):
        assert "console.log" in told[role, template]
    for role, template in (("problem_solver", "default"), ("problem_solver", "fix"), ("problem_fixer", "default")):
        compile(told[role, template], role, "exec")
