"""PrismBench's configuration files load as they are, and slips in them are errors."""

from pathlib import Path
from typing import Any

import pytest

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.environment import Environment
from prismenv.contracts.registry import environment_registry
from prismenv.contracts.settings import StrictEnvironmentConfig
from prismenv.finding.benchfiles import (
    environment_block,
    load_environment_file,
    load_experiment,
    load_phases,
    load_tree,
)
from prismenv.finding.folders import builtin_workspace
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.words.errors import ConfigurationException

# Written as PrismBench writes them: quoted names, block lists, comments at the ends of lines, a phase without scoring.
ENVIRONMENTS = """\
environment_one:
  agents:
    - "designer"
    - "solver"
  max_attempts: 3
  timeout: 300
  num_problems: 1

environment_two:
  agents:
    - "designer"
  timeout: 600
  own_key: {anything: [1, 2]}
"""
PHASES = """\
phase_1:
  phase_params:
    max_depth: 5
    max_iterations: 100
    performance_threshold: 0.4 # a remark
    value_delta_threshold: 0.3
    convergence_checks: 10
    exploration_probability: 0.25
    num_nodes_per_iteration: 5
    task_timeout: 180

  search_params:
    max_attempts: 3
    discount_factor: 0.9
    learning_rate: 0.9

  scoring_params:
    penalty_per_failure: 2
    penalty_per_error: 3
    penalty_per_attempt: 1
    fixed_by_problem_fixer_penalty: 5
    max_num_passed: 10

  environment:
    name: "environment_one"

phase_2:
  phase_params:
    exploration_weight: 1.414
    challenge_threshold: 0.5
  search_params:
    learning_rate: 1
  environment:
    name: "environment_two"

my_phase:
  phase_params:
    own_param: 3
"""
EXPERIMENT = 'name: "mine"\ndescription: "Words"\nversion: 1.0\n\nphase_sequences:\n  - phase_1\n  - phase_2\n'


def write(folder: Path, text: str, name: str = "file.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def workspaces(root: Path, text: str) -> WorkspaceSet:
    write(root, text, "configs/environment_config.yaml")
    write(root, "", "prismenv.yaml")
    return find_workspaces(root, environ={}, packages=())


def block_refusal(root: Path, text: str, name: str = "mine") -> str:
    with pytest.raises(ConfigurationException) as caught:
        environment_block(workspaces(root, text), name)
    return str(caught.value)


def test_environments_load_with_keys_of_their_own(tmp_path: Path) -> None:
    blocks = load_environment_file(write(tmp_path, ENVIRONMENTS))
    assert blocks["environment_one"]["agents"] == ["designer", "solver"]
    assert blocks["environment_two"]["own_key"] == {"anything": [1, 2]}


def test_phases_load_and_missing_keys_have_the_phase_s_own_defaults(tmp_path: Path) -> None:
    phases = load_phases(write(tmp_path, PHASES))
    assert list(phases) == ["phase_1", "phase_2", "my_phase"]
    assert phases["phase_1"].phase_params.convergence_checks == 10
    assert phases["phase_1"].environment.name == "environment_one"
    assert (phases["phase_2"].phase_params.max_depth, phases["phase_2"].phase_params.value_delta_threshold) == (10, 0.2)
    assert phases["phase_2"].scoring_params.penalty_per_error == 3
    assert phases["my_phase"].phase_params["own_param"] == 3
    assert phases["my_phase"].phase_params.max_depth == 5


def test_an_empty_phase_has_the_documented_defaults(tmp_path: Path) -> None:
    phases = load_phases(write(tmp_path, "phase_1:\nphase_2: {}\nphase_3:\n"))
    params = [phases[f"phase_{number}"].phase_params for number in (1, 2, 3)]
    assert [item.max_depth for item in params] == [5, 10, 12]
    assert [item.value_delta_threshold for item in params] == [0.3, 0.2, 0.2]
    assert [item.convergence_checks for item in params] == [10, 5, 5]
    assert [item.exploration_probability for item in params] == [0.25, 0.2, 0.2]
    assert [phases[f"phase_{number}"].search_params.learning_rate for number in (1, 2, 3)] == [0.9, 1, 1]
    assert phases["phase_3"].environment.name == "environment_enhanced_coding_challenge"


def test_an_experiment_names_known_phases(tmp_path: Path) -> None:
    path = write(tmp_path, EXPERIMENT)
    assert load_experiment(path, ["phase_1", "phase_2"]).phase_sequences == ("phase_1", "phase_2")
    with pytest.raises(ConfigurationException, match=r"file.yaml:7: phase_sequences\.1: found 'phase_2'.*phase_20"):
        load_experiment(path, ["phase_1", "phase_20"])


def test_our_own_files_are_sound() -> None:
    configs = builtin_workspace().root / "configs"
    phases = load_phases(configs / "phase_configs.yaml")
    assert load_experiment(configs / "experiment_configs.yaml", phases).phase_sequences == tuple(phases)
    tree = load_tree(configs / "tree_configs.yaml")
    assert (len(tree.concepts), tree.difficulties[0], tree.difficulties[-1]) == (10, "very easy", "very hard")
    assert "environment_coding_challenge" in load_environment_file(configs / "environment_config.yaml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "tree_configs: {concepts: [a, a], difficulties: [b]}\n",
            "file.yaml:1: tree_configs: concepts: 'a' stands twice",
        ),
        ("tree_configs: {concepts: [], difficulties: [b]}\n", "tree_configs.concepts: found an empty list"),
        ("tree_configs:\n  concepts: [a]\n  dificulties: [b]\n", "file.yaml:3: tree_configs.dificulties: unknown key"),
        ("tree_configs: {concepts: [a], difficulties: [' ']}\n", "an empty name"),
        ("tree_configs: [a]\n", "file.yaml:1: tree_configs: found a list of 1; expected a mapping"),
        ("", "found nothing"),
    ],
)
def test_a_wrong_tree_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationException) as caught:
        load_tree(write(tmp_path, text))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "phase_1:\n  phase_params:\n    max_dpeth: 3\n",
            "3: phase_1.phase_params.max_dpeth: unknown key; did you mean",
        ),
        ("phase_1:\n  phase_parms: {}\n", "2: phase_1.phase_parms: unknown key; did you mean 'phase_params'?"),
        ("phase_1:\n  phase_params:\n    max_depth: deep\n", "3: phase_1.phase_params.max_depth: found 'deep'"),
        ("phase_1:\n  search_params: {learning_rate: 2}\n", "2: phase_1.search_params.learning_rate: found 2"),
        ("phase_1: 3\n", "file.yaml:1: phase_1: found 3; expected a mapping"),
        ("- phase_1\n", "expected a mapping of names to blocks"),
    ],
)
def test_a_wrong_phase_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationException) as caught:
        load_phases(write(tmp_path, text))
    assert told in str(caught.value)


def test_no_block_means_defaults(tmp_path: Path) -> None:
    assert environment_block(workspaces(tmp_path, ""), "mine") == {}
    assert environment_block(workspaces(tmp_path, "mine:\n"), "mine") == {}


def test_the_user_s_block_changes_the_keys_that_it_names(tmp_path: Path) -> None:
    found = workspaces(tmp_path, "environment_coding_challenge: {max_attempts: 7}\n")
    block = environment_block(found, "environment_coding_challenge")
    assert block["max_attempts"] == 7
    assert "problem_solver" in block["agents"]


@pytest.mark.parametrize("kept", ["depth: 1", "max_attempts: 2", "attempts_at_most: 3"])
def test_other_keys_are_kept(tmp_path: Path, kept: str) -> None:
    assert environment_block(workspaces(tmp_path, f"mine:\n  {kept}\n"), "mine")


def test_a_slip_of_a_known_key_is_an_error(tmp_path: Path) -> None:
    told = block_refusal(tmp_path, "other: {}\nmine:\n  max_attemps: 2\n")
    assert "environment_config.yaml:3: mine.max_attemps: unknown key; did you mean 'max_attempts'?" in told


def test_true_is_no_number_of_an_environment_or_a_phase(tmp_path: Path) -> None:
    assert "max_attempts: found true; expected a number" in block_refusal(tmp_path, "mine: {max_attempts: true}\n")
    with pytest.raises(ConfigurationException, match=r"max_attempts.*expected a number, not true or false"):
        BaseEnvironment("environment_coding_challenge", max_attempts=True)


def test_a_wrong_value_is_told_with_its_line(tmp_path: Path) -> None:
    told = block_refusal(tmp_path, "mine:\n  timeout: -1\n  agents: solver\n")
    assert "environment_config.yaml:2: mine.timeout: found -1; expected greater than 0" in told
    assert "environment_config.yaml:3: mine.agents: found 'solver'; expected a list" in told


def test_a_config_class_decides_which_keys_there_are(tmp_path: Path) -> None:
    class Config(StrictEnvironmentConfig):
        needed: str
        timeouts: int = 1

    with environment_registry.isolated():

        @environment_registry.register("mine", config=Config)
        class Mine(Environment):
            async def execute_node(self, **kwargs: Any) -> None: ...

        assert environment_block(workspaces(tmp_path, "mine: {timeouts: 2}\n"), "mine") == {"timeouts": 2}
        told = block_refusal(tmp_path, "mine: {neded: x}\n")
    assert "environment_config.yaml:1: mine.neded: unknown key; did you mean 'needed'?" in told


def test_blocks_of_other_environments_are_not_looked_at(tmp_path: Path) -> None:
    assert environment_block(workspaces(tmp_path, "other: {timeout: -1}\nmine: {own: 1}\n"), "mine") == {"own": 1}


@pytest.mark.parametrize(
    "line",
    [
        "phase_params: {max_depth: 0}",
        "phase_params: {max_iterations: 0}",
        "phase_params: {num_nodes_per_iteration: 0}",
        "phase_params: {convergence_checks: 0}",
        "phase_params: {exploration_probability: 1.1}",
        "phase_params: {exploration_weight: -1}",
        "phase_params: {task_timeout: 0}",
        "phase_params: {variations_per_concept: 0}",
        "search_params: {max_attempts: 0}",
        "search_params: {discount_factor: 2}",
        "search_params: {learning_rate: 0}",
        "scoring_params: {penalty_per_error: -3}",
        "scoring_params: {max_num_passed: 0}",
    ],
)
def test_parameters_of_a_phase_out_of_range_are_told_with_their_line(tmp_path: Path, line: str) -> None:
    section, _, rest = line.partition(": {")
    key = rest.partition(":")[0]
    with pytest.raises(ConfigurationException, match=rf":2: phase_1\.{section}\.{key}: found "):
        load_phases(write(tmp_path, f"phase_1:\n  {line}\n"))


def test_a_slip_of_the_environments_own_name_is_an_error_and_another_name_is_not(tmp_path: Path) -> None:
    found = workspaces(tmp_path, "environment_coding_chalenge: {max_attempts: 7}\n")
    with pytest.raises(ConfigurationException, match="did you mean 'environment_coding_challenge'") as caught:
        environment_block(found, "environment_coding_challenge")
    assert "environment_config.yaml:1" in str(caught.value)
    found = workspaces(tmp_path, "environment_enhanced_coding_challenge: {max_attempts: 7}\n")
    assert environment_block(found, "environment_coding_challenge")["max_attempts"] != 7
