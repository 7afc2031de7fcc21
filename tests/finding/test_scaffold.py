"""A new workspace works as it is, and what is taken out of the built-in one takes its place."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from prismenv.contracts.registry import environment_registry
from prismenv.finding.catalog import list_catalog
from prismenv.finding.discovery import load_environments
from prismenv.finding.folders import BUILT_IN, Workspace
from prismenv.finding.recipes import load_recipe
from prismenv.finding.scaffold import eject, init_workspace
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.words.errors import ConfigurationException

ENVIRONMENT = '''\
"""An environment whose name has signs beyond ASCII before the call: äöü."""

from prismenv import environment_registry

from ._shared import LIMIT


@environment_registry.register_environment_method(
    "shipped",  # ü
    "execute_node",
)
async def execute_node(self, **kwargs):
    return {"success": True, "limit": LIMIT}


@environment_registry.register_environment_method("shipped", "_helper")
async def _helper(self): ...
'''


@pytest.fixture(autouse=True)
def _own_table() -> Iterator[None]:
    with environment_registry.isolated():
        environment_registry.assume({})  # whatever other tests left
        yield


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def shipped(tmp_path: Path) -> WorkspaceSet:
    """A user's empty workspace and a built-in one that holds an environment with a shared file."""
    built_in, mine = tmp_path / "shipped", tmp_path / "mine"
    for name, text in {
        "environments/environment_shipped.py": ENVIRONMENT,
        "environments/_shared.py": "from ._deeper import LIMIT\n",
        "environments/_deeper.py": "LIMIT = 7\n",
        "agents/solver.yaml": "role: solver\n",
        "configs/solver.yaml": "a: 1\n",
        "configs/runs/quick.yaml": "seed: 3\n",
    }.items():
        path = built_in / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    mine.mkdir()
    user = Workspace(mine, "mine")
    return WorkspaceSet((user, Workspace(built_in, BUILT_IN)), user, mine)


def test_a_new_workspace_has_one_of_each_kind_and_nothing_is_broken(tmp_path: Path) -> None:
    written = init_workspace(tmp_path / "new", name="my bench")
    assert [str(path.relative_to(tmp_path / "new")) for path in written] == sorted(tree(tmp_path / "new"))
    found = find_workspaces(tmp_path / "new", environ={})
    assert found.user is not None
    assert found.user.origin == "my bench"
    mine = [entry for entry in list_catalog(found).entries if entry.origin == "my bench"]
    assert {entry.kind for entry in mine} == {"environment", "agent", "config", "recipe"}
    assert [entry for entry in mine if entry.error] == []
    assert load_recipe("example", found, {}).recipe.environment == "environment_example"


def test_the_test_of_a_new_workspace_passes(tmp_path: Path) -> None:
    init_workspace(tmp_path, name="mine")
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PRISMENV_", "PYTEST"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_folder_that_exists_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    init_workspace(tmp_path, name="mine")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_nothing_is_overwritten_and_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "agents").write_text("a file")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "environment_config.yaml").symlink_to("nowhere")
    before = tree(tmp_path)
    with pytest.raises(ConfigurationException, match=r"in the way: agents, configs/environment_config\.yaml"):
        init_workspace(tmp_path, name="mine")
    assert tree(tmp_path) == before
    assert not (tmp_path / "environments").exists()


def test_a_file_in_the_place_of_the_folder_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationException, match="in the way"):
        init_workspace(tmp_path / "file", name="mine")


def test_a_folder_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    target = tmp_path / "in" / ("n" * 300)
    with pytest.raises(ConfigurationException, match="cannot be written"):
        init_workspace(target / "deeper", name="mine")
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.parametrize("name", ["", " ", "built-in"])
def test_a_workspace_needs_a_name_of_its_own(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationException, match="no name for a workspace"):
        init_workspace(tmp_path, name=name)


@pytest.mark.parametrize("name", ["a: b", "#x", 'say "hi"', "yes", "1", "é", "{x}"])
def test_any_other_name_is_kept(tmp_path: Path, name: str) -> None:
    init_workspace(tmp_path, name=name)
    assert yaml.safe_load((tmp_path / "prismenv.yaml").read_text())["name"] == name


def test_an_environment_is_taken_out_with_what_it_imports_and_overrides(tmp_path: Path) -> None:
    workspaces = shipped(tmp_path)
    path, *_ = eject("environment_shipped", workspaces)
    assert sorted(tree(tmp_path / "mine")) == [f"environments/{name}.py" for name in ("_deeper", "_shared", path.stem)]
    assert path.read_text().count("overrides=True") == 2
    assert [plugin.error for plugin in load_environments(workspaces)] == [None, None]
    assert environment_registry.get("shipped").origin == str(path)


def test_agents_configurations_and_recipes_are_taken_out_as_they_are(tmp_path: Path) -> None:
    workspaces = shipped(tmp_path)
    assert eject("agents/solver", workspaces)[0].read_text().endswith("\nrole: solver\n")
    assert eject("configs/solver", workspaces) == [tmp_path / "mine" / "configs" / "solver.yaml"]
    assert eject("quick", workspaces) == [tmp_path / "mine" / "configs" / "runs" / "quick.yaml"]
    assert load_recipe("quick", workspaces, {}).path == tmp_path / "mine" / "configs" / "runs" / "quick.yaml"


def test_a_name_that_means_several_things_has_to_say_which(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationException, match="agents/solver, configs/solver"):
        eject("solver", shipped(tmp_path))


def test_taking_out_twice_overwrites_nothing(tmp_path: Path) -> None:
    workspaces = shipped(tmp_path)
    path, *_ = eject("environment_shipped", workspaces)
    path.write_text("changed")
    with pytest.raises(ConfigurationException, match=r"in the way: environments/environment_shipped\.py"):
        eject("environment_shipped", workspaces)
    assert path.read_text() == "changed"


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationException, match="did you mean 'environment_shipped'"):
        eject("environment_shiped", shipped(tmp_path))


def test_without_a_workspace_it_is_said_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationException, match="prismenv init"):
        eject("quickstart", find_workspaces(tmp_path, environ={}, packages=()))


def test_every_built_in_environment_can_be_taken_out_and_loads(tmp_path: Path) -> None:
    init_workspace(tmp_path, name="mine")
    found = find_workspaces(tmp_path, environ={}, packages=())
    names = [path.stem for workspace, path in found.files("environments", "environment_*.py") if workspace.built_in]
    for name in names:
        eject(name, found)
    assert {plugin.name: plugin.error for plugin in load_environments(found) if plugin.error} == {}
