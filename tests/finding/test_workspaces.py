"""Which workspaces apply, and what is found in them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.finding.folders import FOLDERS, Workspace, builtin_workspace
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.words.errors import ConfigurationException


def make(folder: Path, marker: str | None = "", **files: str) -> Path:
    """A workspace; keyword names are paths with `__` for `/` and `_DOT_` for `.`."""
    folder.mkdir(parents=True, exist_ok=True)
    if marker is not None:
        (folder / "prismenv.yaml").write_text(marker)
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def search(start: Path, explicit: Path | None = None, **environ: str) -> WorkspaceSet:
    return find_workspaces(start, explicit, environ=environ, packages=())


def test_the_built_in_workspace_has_its_four_folders() -> None:
    workspace = builtin_workspace()
    assert all((workspace.root / folder).is_dir() for folder in FOLDERS)
    assert (workspace.root / "configs" / "tree_configs.yaml").is_file()


def test_a_marker_makes_a_workspace_of_its_folder_and_all_below(tmp_path: Path) -> None:
    root = make(tmp_path / "mine", "name: mine\n")
    (root / "a" / "b").mkdir(parents=True)
    found = search(root / "a" / "b")
    assert found.user == Workspace(root, "mine")
    assert found.project_folder == root
    assert [workspace.origin for workspace in found.members] == ["mine", "built-in"]


def test_without_a_marker_nothing_near_is_a_workspace(tmp_path: Path) -> None:
    make(tmp_path, None, environments__environment_x_DOT_py="raise SystemExit")
    found = search(tmp_path)
    assert found.user is None
    assert found.project_folder == tmp_path
    assert [workspace.built_in for workspace in found.members] == [True]


def test_a_named_folder_needs_no_marker(tmp_path: Path) -> None:
    root = make(tmp_path / "mine", None)
    for found in (search(tmp_path, root), search(tmp_path, Path("mine")), search(tmp_path, PRISMENV_WORKSPACE="mine")):
        assert found.user == Workspace(root, "workspace")


def test_an_option_wins_over_the_variable_and_the_variable_over_a_marker(tmp_path: Path) -> None:
    one, two, three = (make(tmp_path / name) for name in ("one", "two", "three"))
    assert search(one, two, PRISMENV_WORKSPACE=str(three)).project_folder == two
    assert search(one, PRISMENV_WORKSPACE=str(three)).project_folder == three


@pytest.mark.parametrize("target", ["absent", "file", "n" * 5000, "~nobody-of-that-name/x", "a\0b"])
def test_a_named_workspace_that_is_no_folder_is_an_error(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationException, match="is no folder") as caught:
        search(tmp_path, PRISMENV_WORKSPACE=target)
    assert "PRISMENV_WORKSPACE" in str(caught.value)


def test_the_nearest_marker_wins(tmp_path: Path) -> None:
    make(tmp_path)
    inner = make(tmp_path / "inner")
    assert search(inner).project_folder == inner


@pytest.mark.parametrize(
    ("marker", "told"),
    [
        ("naem: x\n", "prismenv.yaml:1: naem: unknown key; did you mean 'name'?"),
        ("name: [x]\n", "prismenv.yaml:1: name: found a list of 1"),
        ("- x\n", "expected a mapping"),
        ("name: built-in\n", "a name of your own"),
        ("name: a\nname: b\n", "stands twice"),
    ],
)
def test_a_wrong_marker_is_an_error(tmp_path: Path, marker: str, told: str) -> None:
    make(tmp_path, marker)
    with pytest.raises(ConfigurationException) as caught:
        search(tmp_path)
    assert told in str(caught.value)


def test_the_user_s_file_stands_before_the_built_in_one(tmp_path: Path) -> None:
    root = make(tmp_path, configs__tree_configs_DOT_yaml="x: 1\n")
    found = search(root)
    assert found.find("configs", "tree_configs") == root / "configs" / "tree_configs.yaml"
    assert found.find("configs", "phase_configs") == builtin_workspace().root / "configs" / "phase_configs.yaml"


def test_files_are_sorted_within_each_workspace_the_user_s_first(tmp_path: Path) -> None:
    root = make(tmp_path, agents__b_DOT_yaml="", agents__a_DOT_yaml="", agents__problem_solver_DOT_yaml="")
    listed = search(root).files("agents", "*.yaml")
    mine = [path.stem for workspace, path in listed if not workspace.built_in]
    built_in = [path.stem for workspace, path in listed if workspace.built_in]
    assert mine == ["a", "b", "problem_solver"]
    assert built_in == sorted(built_in)
    assert "problem_solver" in built_in
    assert not listed[0][0].built_in


def test_an_unknown_file_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationException, match="did you mean 'tree_configs'"):
        search(tmp_path).find("configs", "tree_config")
    with pytest.raises(ConfigurationException, match="did you mean 'agents'"):
        search(tmp_path).find("agent", "problem_solver")


@given(st.text(max_size=12))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    workspaces = WorkspaceSet((builtin_workspace(),), None, Path())
    folder = builtin_workspace().root / "configs"
    for tried in (name, f"../{name}", f"/{name}", f"runs/../../{name}", f"{name}\0", name * 999):
        try:
            found = workspaces.find("configs", tried)
        except ConfigurationException:
            continue
        assert folder in found.resolve().parents
