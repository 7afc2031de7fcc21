"""The composition root: what a recipe names is opened, and what it has wrong is said."""

from pathlib import Path

import anyio
import pytest
from loguru import logger

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.recipe import Recipe
from prismenv.engine.composition import (
    find_environment_block,
    open_default_services,
    open_interface,
    open_services,
    store_location,
)
from prismenv.finding.workspace import WorkspaceSet
from prismenv.words.errors import (
    AgentCommunicationException,
    ConfigurationException,
    EnvironmentException,
    RegistryException,
    SandboxException,
    StorageException,
)


def opened(recipe: Recipe, workspaces: WorkspaceSet) -> str:
    async def main() -> str:
        async with open_services(recipe, workspaces, workspaces.project_folder) as services:
            session = await services.interface.initialize_session("problem_solver", seed=1, labels={"raw": True})
            answer = await services.interface.interact(session, "problem_solver", {"problem_statement": "Add."})
            assert services.store is not None
            assert services.store.runs() == []
            verdict = await services.sandbox.judge("def f():\n    return 1\n", "def test_f():\n    assert f() == 1\n")
            assert verdict.outcome == "passed"
            return answer.usage.model or ""

    return anyio.run(main)


def test_a_recipe_opens_its_model_sandbox_and_store(workspaces: WorkspaceSet) -> None:
    recipe = Recipe(name="x", models={"default": "simulated/perfect"})
    assert opened(recipe, workspaces) == "simulated/perfect"
    assert Path(store_location(None, workspaces)).is_file()


@pytest.mark.parametrize(("sessions", "survives"), [("memory", False), ("store", True)])
def test_sessions_are_kept_where_the_recipe_says(workspaces: WorkspaceSet, sessions: str, survives: bool) -> None:
    models = {"default": "simulated/perfect"}
    recipe = Recipe.model_validate({"name": "x", "models": models, "interface": {"sessions": sessions}})

    async def speak(session: str | None) -> str:
        async with open_interface(recipe, workspaces, workspaces.project_folder) as interface:
            session = session or await interface.initialize_session("challenge_designer")
            await interface.interact(session, "challenge_designer", {"concepts": "loops", "difficulty_level": "easy"})
            return session

    session = anyio.run(speak, None)
    if survives:
        assert anyio.run(speak, session) == session
    else:
        with pytest.raises(AgentCommunicationException, match="no session"):
            anyio.run(speak, session)


@pytest.mark.parametrize(
    ("recipe", "error", "words"),
    [
        ({"models": {"default": "simulated/perfekt"}}, EnvironmentException, "perfect"),
        ({"models": {"default": "nonsense"}}, ConfigurationException, "nonsense"),
        ({"sandbox": {"isolation": "portable", "require": "full"}}, SandboxException, "full isolation is required"),
        ({"output": {"store": "mysql://host/db"}}, StorageException, "PostgreSQL"),
    ],
    ids=str,
)
def test_what_cannot_be_opened_is_said(
    workspaces: WorkspaceSet, recipe: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        opened(Recipe.model_validate({"name": "x", **recipe}), workspaces)


def test_the_store_is_where_recipe_variable_or_workspace_say(
    workspaces: WorkspaceSet, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRISMENV_STORE", raising=False)
    assert store_location(None, workspaces) == str(workspace / ".prismenv" / "prismenv.db")
    assert store_location("own.db", workspaces) == str(workspace / "own.db")
    assert store_location("/elsewhere/own.db", workspaces) == "/elsewhere/own.db"
    assert store_location("sqlite:////elsewhere/own.db", workspaces) == "sqlite:////elsewhere/own.db"
    monkeypatch.setenv("PRISMENV_STORE", "variable.db")
    assert store_location(None, workspaces) == str(workspace / "variable.db")
    assert store_location("own.db", workspaces) == str(workspace / "own.db")


@pytest.mark.parametrize(("variable", "model"), [(None, "simulated/perfect"), ("simulated/weak", "simulated/weak")])
def test_an_environment_made_by_hand_gets_the_variables_model_or_the_simulated_one_with_a_warning(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, model: str
) -> None:
    monkeypatch.chdir(workspace)
    if variable:
        monkeypatch.setenv("PRISMENV_MODELS__DEFAULT", variable)
    else:
        monkeypatch.delenv("PRISMENV_MODELS__DEFAULT", raising=False)
    warnings: list[str] = []
    handler = logger.add(warnings.append, level="WARNING", format="{message}")

    async def main() -> str | None:
        async with open_default_services("environment_mine", {"agents": ["problem_solver"]}) as services:
            assert services.store is None
            session = await services.interface.initialize_session("problem_solver", seed=1, labels={"raw": True})
            answer = await services.interface.interact(session, "problem_solver", {"problem_statement": "Add."})
            return answer.usage.model

    try:
        assert anyio.run(main) == model
    finally:
        logger.remove(handler)
    assert len(warnings) == (variable is None)
    assert all("problem_solver" in warning and "simulated/perfect" in warning for warning in warnings)
    assert not (workspace / ".prismenv").exists()


def test_the_block_of_an_environment_comes_from_the_workspace(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    (workspace / "configs").mkdir()
    (workspace / "configs" / "environment_config.yaml").write_text("environment_dice:\n  max_attempts: 9\n")
    assert find_environment_block("environment_dice")["max_attempts"] == 9
    assert not find_environment_block("environment_nobody_configured")


def test_a_broken_plugin_asked_for_by_name_says_why(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    (workspace / "environments" / "environment_syn.py").write_text("def f(:\n")
    for name in ("environment_syn", "syn"):
        with pytest.raises(RegistryException, match=r"environment_syn\.py:1: SyntaxError") as caught:
            BaseEnvironment(name)
        assert caught.value.code == "environment_broken"
    assert BaseEnvironment("environment_dice").environment_name == "environment_dice"
