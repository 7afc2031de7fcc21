"""Plugin files: found sorted, loaded once, and a broken one hides no other."""

import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import prismenv
from prismenv.contracts.registry import environment_registry
from prismenv.finding.discovery import PARENT, LoadedPlugin, load_environments
from prismenv.finding.folders import BUILT_IN, Workspace
from prismenv.finding.workspace import WorkspaceSet
from prismenv.words.errors import ConfigurationException

NODE = """\
from prismenv import environment_registry

@environment_registry.register_environment_method("{name}", "execute_node"{more})
async def execute_node(self, **kwargs):
    return {{"success": True, "from": __file__}}
"""


@pytest.fixture(autouse=True)
def _own_table() -> Iterator[None]:
    with environment_registry.isolated():
        environment_registry.assume({})  # whatever other tests left
        yield


def plugin(name: str, *, overrides: bool = False) -> str:
    return NODE.format(name=name, more=", overrides=True" if overrides else "")


def workspace(root: Path, origin: str = "mine", **files: str) -> Workspace:
    folder = root / "environments"
    folder.mkdir(parents=True)
    for stem, text in files.items():
        (folder / f"{stem}.py").write_text(text)
    return Workspace(root, origin)


def union(user: Workspace, built_in: Workspace | None = None) -> WorkspaceSet:
    return WorkspaceSet((user, *([built_in] if built_in else [])), user, user.root)


def load(root: Path, **files: str) -> dict[str, LoadedPlugin]:
    return {item.name: item for item in load_environments(union(workspace(root, **files)))}


def reason(root: Path, text: str, **files: str) -> str:
    """Why a plugin is broken; nothing of it stays, and its neighbour works."""
    before = set(sys.modules)
    found = load(root, environment_bad=text, environment_good=plugin("good"), **files)
    assert found["environment_good"].error is None
    assert environment_registry.names() == ["good"]
    new = {name.rpartition(".")[2] for name in set(sys.modules) - before if name.startswith(f"{PARENT}.")}
    assert "environment_bad" not in new
    assert found["environment_bad"].names == ()
    assert found["environment_bad"].error is not None
    return found["environment_bad"].error


def test_discovery_gives_sorted_stems_and_imports_nothing(tmp_path: Path) -> None:
    for name in ("environment_b.py", "environment_a.py", "other.py", "_shared.py", "environment_c.txt"):
        (tmp_path / name).write_text("raise SystemExit('imported')")
    (tmp_path / "environment_folder.py").mkdir()
    assert prismenv.discover_environments(str(tmp_path)) == ["environment_a", "environment_b"]


def test_discovery_without_a_folder_looks_into_all_workspaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace(tmp_path, environment_zebra="raise SystemExit")
    (tmp_path / "prismenv.yaml").write_text("")
    monkeypatch.chdir(tmp_path)
    found = prismenv.discover_environments()
    assert "environment_zebra" in found
    assert found == sorted(found)


def test_discovery_in_a_folder_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationException, match="is no folder"):
        prismenv.discover_environments(str(tmp_path / "absent"))


def test_both_forms_are_loaded(tmp_path: Path) -> None:
    in_class_form = """\
from prismenv import environment_registry
from prismenv.contracts.environment import Environment

@environment_registry.register("in_class_form")
class Mine(Environment):
    async def execute_node(self, concept, difficulty_level): ...
"""
    found = load(tmp_path, environment_one=in_class_form, environment_two=plugin("as_functions"))
    assert [item.error for item in found.values()] == [None, None]
    assert found["environment_one"].names == ("in_class_form",)
    assert environment_registry.names() == ["as_functions", "in_class_form"]


def test_a_plugin_is_imported_once(tmp_path: Path) -> None:
    count = "from pathlib import Path\nwith (Path(__file__).parent / 'count').open('a') as f: f.write('x')\n"
    workspaces = union(workspace(tmp_path, environment_a=count + plugin("a")))
    for _ in range(3):
        load_environments(workspaces)
    assert (tmp_path / "environments" / "count").read_text() == "x"


def test_relative_imports_dataclasses_pickling_and_sources_work(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom ._shared import LIMIT\n"
        "@dataclass\nclass Point:\n    x: int = LIMIT\n" + plugin("a")
    )
    assert load(tmp_path, environment_a=text, _shared="LIMIT = 7\n")["environment_a"].error is None
    function = environment_registry.get("a").methods["execute_node"]
    point = sys.modules[function.__module__].Point()
    assert point.x == 7
    assert pickle.loads(pickle.dumps(point)) == point
    assert inspect.getsource(function).splitlines()[1] == "async def execute_node(self, **kwargs):"


def test_two_workspaces_may_hold_files_of_the_same_name(tmp_path: Path) -> None:
    mine = workspace(tmp_path / "mine", environment_a=plugin("mine"))
    theirs = workspace(tmp_path / "theirs", BUILT_IN, environment_a=plugin("theirs"))
    assert [item.error for item in load_environments(union(mine, theirs))] == [None, None]
    assert environment_registry.names() == ["mine", "theirs"]


def test_the_same_name_twice_names_both_files(tmp_path: Path) -> None:
    mine = workspace(tmp_path / "mine", environment_a=plugin("a"))
    theirs = workspace(tmp_path / "theirs", BUILT_IN, environment_a=plugin("a"))
    first, second = load_environments(union(mine, theirs))
    assert (first.origin, first.error) == (BUILT_IN, None)
    assert second.error is not None
    for place in (mine, theirs):
        assert f"{place.root}/environments/environment_a.py:3" in second.error
    assert "overrides=True" in second.error


def test_an_override_that_is_declared_takes_the_place(tmp_path: Path) -> None:
    mine = workspace(tmp_path / "mine", environment_a=plugin("a", overrides=True))
    theirs = workspace(tmp_path / "theirs", BUILT_IN, environment_a=plugin("a"))
    workspaces = union(mine, theirs)
    assert [item.error for item in load_environments(workspaces)] == [None, None]
    assert environment_registry.get("a").origin.startswith(str(mine.root))
    load_environments(workspaces)
    assert environment_registry.get("a").origin.startswith(str(mine.root))


def test_another_workspace_s_environments_go_when_a_workspace_is_loaded(tmp_path: Path) -> None:
    built_in = workspace(tmp_path / "theirs", BUILT_IN, environment_a=plugin("a"))
    one = union(
        workspace(tmp_path / "one", environment_b=plugin("b"), environment_a=plugin("a", overrides=True)), built_in
    )
    two = union(workspace(tmp_path / "two", environment_b=plugin("b")), built_in)
    for workspaces in (one, two, one):
        assert all(item.error is None for item in load_environments(workspaces))
        assert environment_registry.names() == ["a", "b"]
        assert environment_registry.get("b").origin.startswith(str(workspaces.project_folder))
        assert environment_registry.get("a").overrides == (workspaces is one)


def test_what_was_registered_by_hand_stays(tmp_path: Path) -> None:
    @environment_registry.register_environment_method("by_hand", "execute_node")
    async def execute_node(self: object, **kwargs: object) -> None: ...

    load(tmp_path, environment_a=plugin("a"))
    assert environment_registry.names() == ["a", "by_hand"]


def test_plugins_come_back_after_an_isolated_test(tmp_path: Path) -> None:
    workspaces = union(workspace(tmp_path, environment_a=plugin("a")))
    before = environment_registry.names()
    with environment_registry.isolated():
        load_environments(workspaces)
    assert environment_registry.names() == before
    load_environments(workspaces)
    assert environment_registry.names() == sorted([*before, "a"])


def test_a_syntax_error_is_named_with_its_line(tmp_path: Path) -> None:
    told = reason(tmp_path, "x = 1\ndef broken(:\n    pass\n")
    assert "environment_bad.py:2: SyntaxError" in told
    assert "def broken(:" in told


def test_a_missing_import_is_named_with_its_line(tmp_path: Path) -> None:
    told = reason(tmp_path, "x = 1\nimport no_such_module_at_all\n" + plugin("bad"))
    assert "environment_bad.py:2: ModuleNotFoundError: No module named 'no_such_module_at_all'" in told


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("from src.environment.environment_registry import environment_registry", "environment_registry"),
        ("import src.environment.environment_registry as registry", "environment_registry"),
        ("from .environment_registry import environment_registry", "environment_registry"),
        ("from src.environment.base_environment import BaseEnvironment", "BaseEnvironment"),
        ("from src.services.environment.src.environment.utils import create", "environment_registry"),
    ],
)
def test_an_import_from_prismbench_is_told_the_line_to_change(tmp_path: Path, line: str, names: str) -> None:
    told = reason(tmp_path, f"import os\n{line}\n")
    assert "environment_bad.py:2:" in told
    assert told.endswith(f"change this line to: from prismenv import {names}")


def test_the_end_of_the_process_is_no_end_of_ours(tmp_path: Path) -> None:
    told = reason(tmp_path, "import sys\nsys.exit(3)\n")
    assert "environment_bad.py:2: it ends the process while it is imported (SystemExit: 3)" in told


def test_a_wrong_signature_is_named_with_its_line(tmp_path: Path) -> None:
    text = plugin("bad").replace("async def", "def")
    told = reason(tmp_path, text)
    assert "environment_bad.py:3: bad signature of 'execute_node'" in told
    assert "async def" in told


def test_a_slip_in_a_method_s_name_is_told_the_nearest(tmp_path: Path) -> None:
    told = reason(tmp_path, plugin("bad").replace('"execute_node"', '"exectue_node"'))
    assert "environment_bad.py:3: unknown method 'exectue_node'; did you mean 'execute_node'?" in told


def test_registrations_before_a_failure_are_taken_back(tmp_path: Path) -> None:
    assert "environment_bad.py:6: ZeroDivisionError" in reason(tmp_path, plugin("bad") + "1 / 0\n")


def test_a_file_that_registers_nothing_says_so(tmp_path: Path) -> None:
    assert "registers no environment" in reason(tmp_path, "x = 1\n")


def test_an_environment_that_nothing_could_run_says_so(tmp_path: Path) -> None:
    told = reason(tmp_path, plugin("bad").replace('"execute_node"', '"_execute_node"'))
    assert "nothing could run 'bad'" in told


def test_a_file_whose_name_cannot_be_imported_says_so(tmp_path: Path) -> None:
    found = load(tmp_path, **{"environment_my-own": plugin("a")})
    assert "letters, digits and underscores" in str(found["environment_my-own"].error)


def test_a_shared_file_of_a_broken_plugin_is_taken_back_with_it(tmp_path: Path) -> None:
    text = "from ._shared import LIMIT\n1 / 0\n"
    before = set(sys.modules)
    assert "ZeroDivisionError" in reason(tmp_path, text, _shared="LIMIT = 7\n")
    assert not [name for name in set(sys.modules) - before if name.endswith("._shared")]


def test_a_broken_plugin_is_tried_again_when_its_folder_changed(tmp_path: Path) -> None:
    workspaces = union(workspace(tmp_path, environment_a="import _nothing_there\n"))
    assert load_environments(workspaces)[0].error is not None
    path = tmp_path / "environments" / "environment_a.py"
    path.write_text(plugin("a"))
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000))
    assert load_environments(workspaces)[0].error is None
    assert environment_registry.names() == ["a"]


def test_a_plugin_that_asks_for_the_environments_while_it_is_loaded_is_no_trap(tmp_path: Path) -> None:
    text = (
        "from pathlib import Path\nfrom prismenv.finding.discovery import load_environments\n"
        "from prismenv.finding.workspace import find_workspaces\n"
        "load_environments(find_workspaces(Path(__file__).parent))\n" + plugin("a")
    )
    assert load(tmp_path, environment_a=text)["environment_a"].error is None


def test_an_interrupt_is_not_swallowed_and_leaves_nothing(tmp_path: Path) -> None:
    before = set(sys.modules)
    with pytest.raises(KeyboardInterrupt):
        load(tmp_path, environment_a=plugin("a") + "raise KeyboardInterrupt\n")
    assert environment_registry.names() == []
    assert not [name for name in set(sys.modules) - before if name.endswith(".environment_a")]


def test_nothing_depends_on_the_order_of_hashes(tmp_path: Path) -> None:
    workspace(tmp_path, **{f"environment_{stem}": plugin(stem) for stem in "dbca"})
    (tmp_path / "prismenv.yaml").write_text("")
    program = (
        "from prismenv.finding.discovery import load_environments; from prismenv.finding.workspace import *\n"
        "print([p.name for p in load_environments(find_workspaces()) if p.origin == 'workspace'])"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert answers == {"['environment_a', 'environment_b', 'environment_c', 'environment_d']\n"}
