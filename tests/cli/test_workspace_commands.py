"""`prismenv init`, `eject`, `list`, `doctor`: a workspace from nothing, and what is in it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BROKEN = "import no_such_module\n"


def test_init_makes_a_workspace_whose_own_test_passes(workspace: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=workspace.folder,
        env=workspace.environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_init_writes_nothing_where_something_is_in_the_way(shell: Any) -> None:
    shell.write("mine/agents/example_solver.yaml", "role: mine\n")
    answer = shell("init", "mine")
    assert answer.code == 2
    assert "agents/example_solver.yaml" in answer.err
    assert [path.name for path in (shell.folder / "mine").iterdir()] == ["agents"]


@pytest.mark.parametrize(
    ("folder", "following"),
    [(".", "next: prismenv list && prismenv run example"), ("mine", "next: cd mine && prismenv list")],
)
def test_init_says_how_to_go_on_from_where_one_is(shell: Any, folder: str, following: str) -> None:
    answer = shell("init", folder)
    assert answer.code == 0, answer.err
    assert following in answer.out
    assert "cd ." not in answer.out


def test_init_tells_machines_what_it_wrote(shell: Any) -> None:
    answer = shell("init", "mine", "--json")
    assert answer.code == 0
    assert all((shell.folder / path).is_file() for path in answer.json)
    assert any(path.endswith("prismenv.yaml") for path in answer.json)


def test_list_shows_what_the_workspace_adds_and_where_it_is_from(workspace: Any) -> None:
    answer = workspace("list", "--json")
    assert answer.code == 0
    found = {(entry["kind"], entry["name"]): entry for entry in answer.json}
    assert found["environment", "environment_example"]["origin"] == "example"
    assert found["environment", "environment_example"]["faces"] == ["node"]
    assert found["provider", "samples"]["origin"] == "built-in"
    assert {"environment", "agent", "language", "provider", "policy", "recipe"} <= {kind for kind, _ in found}
    assert not [entry for entry in answer.json if entry["error"]]


def test_a_name_is_whole_in_the_list_however_narrow_the_terminal_is(workspace: Any) -> None:
    listed = workspace("list", "environments", COLUMNS="80").out
    assert "environment_enhanced_coding_challenge " in listed, "it can be copied"


def test_a_broken_plugin_is_listed_with_its_reason_and_hides_nothing(workspace: Any) -> None:
    workspace.write("environments/environment_broken.py", BROKEN)
    workspace.write("agents/broken_agent.yaml", "role: broken_agent\nsystem_prompt: [\n")
    listed = workspace("list", "environments", COLUMNS="1000")
    assert listed.code == 0
    assert "environment_example" in listed.out
    assert "no_such_module" in listed.out
    assert listed.out.count("environment_broken.py") == 1, "its place is said once"
    agents = {entry["name"]: entry["error"] for entry in workspace("list", "agent", "--json").json}
    assert "broken_agent.yaml" in agents["broken_agent"]
    assert agents["example_solver"] is None
    doctor = workspace("doctor", "--json")
    assert doctor.code == 3
    failed = {check["name"]: check["detail"] for check in doctor.json if check["status"] == "failed"}
    assert set(failed) == {"environment environment_broken", "agent broken_agent"}
    assert failed["environment environment_broken"].count("environment_broken.py") == 1, "its place is said once"
    assert failed["agent broken_agent"].count("broken_agent.yaml") == 1


def test_a_misspelt_block_of_the_configuration_is_told_by_list_and_doctor(workspace: Any) -> None:
    workspace.write("configs/environment_config.yaml", "environment_exmple:\n  max_attempts: 2\n")
    listed = {(entry["name"], entry["origin"]): entry["error"] for entry in workspace("list", "configs", "--json").json}
    assert "did you mean 'environment_example'?" in listed["environment_config", "example"]
    doctor = workspace("doctor", "--json")
    assert doctor.code == 3
    assert [check["name"] for check in doctor.json if check["status"] == "failed"] == ["config environment_config"]


def test_what_a_plugin_prints_when_it_is_loaded_does_not_spoil_json(workspace: Any) -> None:
    workspace.write("environments/environment_loud.py", "print('hello')\n" + BROKEN)
    answer = workspace("list", "environments", "--json")
    assert {entry["name"] for entry in answer.json} >= {"environment_loud", "environment_example"}
    assert "hello" in answer.err


def test_a_folder_of_environments_without_a_marker_is_not_loaded(shell: Any) -> None:
    shell.write("environments/environment_stray.py", "raise SystemExit('loaded')\n")
    answer = shell("list", "environments", "--json")
    assert answer.code == 0
    assert "environment_stray" not in {entry["name"] for entry in answer.json}


def test_eject_copies_a_built_in_that_then_takes_its_place(workspace: Any) -> None:
    answer = workspace("eject", "problem_solver")
    assert answer.code == 0
    assert (workspace.folder / "agents" / "problem_solver.yaml").is_file()
    agents = {entry["name"]: entry for entry in workspace("list", "agents", "--json").json}
    assert agents["problem_solver"]["origin"] == "example"
    assert agents["problem_solver"]["replaces"] == "built-in"
    assert agents["problem_fixer"]["replaces"] is None
    assert "takes the place of the built-in one" in " ".join(workspace("list", "agents", COLUMNS="200").out.split())
    again = workspace("eject", "problem_solver")
    assert again.code == 2
    assert "in the way" in again.err


def test_eject_of_an_environment_tells_each_file_and_list_says_whose_place_it_takes(workspace: Any) -> None:
    before = set((workspace.folder / "environments").glob("*.py"))
    answer = workspace("eject", "environment_coding_challenge")
    assert answer.code == 0, answer.err
    told = [Path(line.removeprefix("wrote ")) for line in answer.out.splitlines()]
    assert told[0] == workspace.folder / "environments" / "environment_coding_challenge.py"
    assert set(told) == set((workspace.folder / "environments").glob("*.py")) - before
    assert len(told) > 1, "it brings what it imports"
    listed = {entry["name"]: entry for entry in workspace("list", "environments", "--json").json}
    assert listed["environment_coding_challenge"]["origin"] == "example"
    assert listed["environment_coding_challenge"]["replaces"] == "built-in"
    assert listed["environment_example"]["replaces"] is None
    shown = " ".join(workspace("list", "environments", COLUMNS="200").out.split())
    assert shown.count("takes the place of the built-in one") == 1
    again = workspace("eject", "environment_dataset_challenge", "--json").json
    assert again["path"] == again["files"][0]
    assert all(Path(path).is_file() for path in again["files"])


def test_a_tree_under_a_name_of_its_own_is_listed_and_checked(workspace: Any) -> None:
    workspace.write("configs/small.yaml", "tree_configs:\n  concepts: [loops]\n  difficulties: [easy, hard]\n")
    workspace.write("configs/wrong.yaml", "tree_configs:\n  concepts: loops\n  difficulties: [easy]\n")
    workspace.write("configs/slip.yaml", "tree_config:\n  concepts: [loops]\n  difficulties: [easy]\n")
    workspace.write("configs/notes.yaml", "somebody: else's\n")
    configs = {entry["name"]: entry for entry in workspace("list", "configs", "--json").json}
    assert configs["small"]["summary"] == "a tree of 1 concept and 2 difficulties"
    assert [configs[name]["error"] for name in ("small", "notes")] == [None, None]
    failed = {
        check["name"]: check["detail"] for check in workspace("doctor", "--json").json if check["status"] == "failed"
    }
    assert set(failed) == {"config wrong", "config slip"}
    assert "wrong.yaml:2: tree_configs.concepts: found 'loops'; expected a list" in failed["config wrong"]
    assert "did you mean 'tree_configs'?" in failed["config slip"]


def test_eject_of_an_unknown_name_names_the_nearest(workspace: Any) -> None:
    answer = workspace("eject", "problm_solver")
    assert answer.code == 2
    assert "did you mean 'problem_solver'?" in answer.err


def test_eject_without_a_workspace_says_how_to_get_one(shell: Any) -> None:
    answer = shell("eject", "problem_solver")
    assert answer.code == 2
    assert "prismenv init" in answer.err


def test_doctor_finds_an_empty_folder_well_and_leaves_it_empty(shell: Any) -> None:
    answer = shell("doctor", "--json")
    checks = {check["name"]: check for check in answer.json}
    assert answer.code == 0, [check for check in answer.json if check["status"] == "failed"]
    assert checks["isolation portable"]["status"] == "ok"
    assert checks["isolation full"]["status"] in {"ok", "absent"}  # as the machine is
    assert checks["sandbox judge"]["status"] == "ok"
    assert "none yet" in checks["store"]["detail"]
    assert not list(shell.folder.iterdir())


def test_doctor_names_a_store_that_cannot_be_read(shell: Any) -> None:
    shell.write("no.db", "this is no database, and it is long enough to be read as one" * 100)
    answer = shell("doctor", "--store", "no.db")
    assert answer.code == 3
    assert "failed" in answer.out
    assert "no.db" in answer.out


def test_the_workspace_can_be_named_from_anywhere(workspace: Any) -> None:
    elsewhere = workspace.folder.parent
    for words, environment in (
        (["list", "environments", "--json", "-w", workspace.folder], {}),
        (["list", "environments", "--json"], {"PRISMENV_WORKSPACE": os.fspath(workspace.folder)}),
    ):
        answer = workspace(*words, cwd=elsewhere, **environment)
        assert "environment_example" in {entry["name"] for entry in answer.json}
