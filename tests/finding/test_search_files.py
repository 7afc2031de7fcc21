"""Own phases and policies: found in a workspace's files, registered loudly, and a broken file hides no other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prismenv.contracts.phases import PhaseRegistration
from prismenv.contracts.policy import PolicyContext
from prismenv.contracts.recipe import Recipe
from prismenv.contracts.registry import environment_registry
from prismenv.contracts.searching import PHASE_METHODS, phase_registry, policy_registry
from prismenv.engine.planning import build_policy, find_policy
from prismenv.finding.discovery import LoadedPlugin, load_environments
from prismenv.finding.folders import Workspace, builtin_workspace
from prismenv.finding.workspace import WorkspaceSet
from prismenv.search.phased.kinds import BUILT_IN, phase_kind
from prismenv.search.phased.phase import Phase
from prismenv.words.errors import ConfigurationException, RegistryException

POLICY = """\
from prismenv import NodeRequest, SearchPolicy, policy_registry

@policy_registry.register_policy("{name}"{more})
class Once(SearchPolicy):
    \"\"\"Measures the first node.\"\"\"

    def __init__(self, context):
        self.context, self.asked = context, False

    def ask(self, most):
        if self.asked or not most:
            return []
        self.asked, node = True, self.context.nodes[0]
        return [NodeRequest(0, node.node_id, node.concepts, node.difficulty, self.context.seed)]

    def tell(self, outcome):
        pass

    @property
    def finished(self):
        return self.asked

    @property
    def total(self):
        return 1
"""
PHASE = """\
from prismenv import phase_registry

@phase_registry.register_phase_method("{name}", "{method}"{more})
{define} method({parameters}):
    return None
"""
CLASS = """\
from prismenv import Phase, phase_registry

@phase_registry.register_phase("{name}"{more})
class Mine({base}):
    \"\"\"Plants, and measures nothing.\"\"\"
    def {method}({parameters}):
        return None
"""


@pytest.fixture(autouse=True)
def _own_tables() -> Iterator[None]:
    with environment_registry.isolated(), phase_registry.isolated(), policy_registry.isolated():
        yield


def workspaces(root: Path, **files: str) -> WorkspaceSet:
    folder = root / "environments"
    folder.mkdir(parents=True)
    for stem, text in files.items():
        (folder / f"{stem}.py").write_text(text)
    user = Workspace(root, "mine")
    return WorkspaceSet((user, builtin_workspace()), user, root)


def load(root: Path, **files: str) -> dict[str, LoadedPlugin]:
    return {item.name: item for item in load_environments(workspaces(root, **files)) if item.origin == "mine"}


def reason(root: Path, text: str) -> str:
    found = load(root, search_bad=text, search_good=POLICY.format(name="good", more=""))
    assert found["search_good"].error is None
    assert "good" in policy_registry
    assert found["search_bad"].error is not None
    return found["search_bad"].error


def phase(**changes: str) -> str:
    given = {"name": "mine", "method": "select_node", "more": "", "define": "def", "parameters": "self"}
    return PHASE.format(**given | changes)


def phase_class(**changes: str) -> str:
    given = {"name": "mine", "method": "select_node", "more": "", "base": "Phase", "parameters": "self"}
    return CLASS.format(**given | changes)


def test_a_file_of_a_workspace_brings_a_policy_and_its_summary_and_place(tmp_path: Path) -> None:
    found = workspaces(tmp_path, search_mine=POLICY.format(name="once", more=""))
    entry = find_policy("once", found)
    assert entry.summary == "Measures the first node."
    assert policy_registry.table()["once"].where.endswith("search_mine.py:3")
    recipe = Recipe.model_validate(
        {"name": "x", "search": {"policy": "once", "concepts": ["a"], "difficulties": ["e"]}}
    )
    assert [request.node_id for request in build_policy(recipe, entry, None, found).ask(5)] == ["a|e"]


def test_the_registries_hold_what_the_workspaces_at_hand_bring_and_nothing_of_others(tmp_path: Path) -> None:
    mine = workspaces(tmp_path / "a", search_mine=POLICY.format(name="once", more=""), search_more=phase())
    load_environments(mine)
    assert ("once" in policy_registry, "mine" in phase_registry) == (True, True)
    load_environments(workspaces(tmp_path / "b"))
    assert ("once" in policy_registry, "mine" in phase_registry) == (False, False)
    assert {*BUILT_IN} <= {*phase_registry.names()}
    assert {"grid", "mcts", "prismbench"} <= {*policy_registry.names()}
    load_environments(mine)
    assert ("once" in policy_registry, "mine" in phase_registry) == (True, True)


@pytest.mark.parametrize("method", sorted(PHASE_METHODS))
def test_functions_make_up_a_phase_whose_other_methods_are_the_usual(tmp_path: Path, method: str) -> None:
    parameters = ", ".join(("self", *PHASE_METHODS[method]))
    assert load(tmp_path, search_mine=phase(method=method, parameters=parameters))["search_mine"].error is None
    kind = phase_kind(phase_registry.table()["mine"])
    assert issubclass(kind, Phase)
    own = {name for name in PHASE_METHODS if getattr(kind, name) is not getattr(Phase, name)}
    assert own == {method}


def test_a_method_over_a_built_in_phase_leaves_its_others(tmp_path: Path) -> None:
    text = phase(name="phase_1", more=", overrides=True")
    assert load(tmp_path, search_mine=text)["search_mine"].error is None
    kind = phase_kind(phase_registry.table()["phase_1"])
    assert issubclass(kind, BUILT_IN["phase_1"])
    assert kind.select_node is not BUILT_IN["phase_1"].select_node
    assert kind.expand_node is BUILT_IN["phase_1"].expand_node


def test_a_policy_over_a_built_in_one_takes_its_place_here_alone(tmp_path: Path) -> None:
    found = workspaces(tmp_path / "a", search_mine=POLICY.format(name="grid", more=", overrides=True"))
    assert find_policy("grid", found).summary == "Measures the first node."
    assert find_policy("grid", workspaces(tmp_path / "b")).origin == "built-in"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (phase(method="selekt_node"), ["search_bad.py:3", "selekt_node", "select_node"]),
        (phase(parameters="self, node"), ["search_bad.py:3", "bad signature of 'select_node'", "called as (self)"]),
        (phase(method="expand_node"), ["search_bad.py:3", "called as (self, node)"]),
        (phase(define="async def"), ["search_bad.py:3", "never waits"]),
        (phase(name="phase_1"), ["'phase_1' is registered twice", "built-in", "search_bad.py:3"]),
        (phase(name="phase_9", more=", overrides=True"), ["nothing to override", "did you mean 'phase_"]),
        (phase(name="No Name"), ["search_bad.py:3", "small letters"]),
        (phase() + phase(), ["mine.select_node", "search_bad.py:3", "search_bad.py:8"]),
        (phase_class(base="object"), ["search_bad.py:3", "derived from prismenv.Phase", "Mine"]),
        (phase_class(method="expand_nodes"), ["search_bad.py:3", "expand_nodes", "did you mean 'expand_node'"]),
        (phase_class(method="expand_node"), ["bad signature of 'expand_node'"]),
        (POLICY.format(name="grid", more=""), ["'grid' is registered twice", "search_bad.py:3"]),
        (POLICY.format(name="grit", more=", overrides=True"), ["nothing to override", "grid"]),
        (POLICY.format(name="x", more="").replace("def tell", "def tells"), ["search_bad.py:3", "has no tell"]),
        (POLICY.format(name="x", more="").replace("(SearchPolicy)", ""), ["not derived from prismenv.SearchPolicy"]),
        (
            "from prismenv import policy_registry\npolicy_registry.register_policy('x')(lambda: 1)",
            ["PolicyContext alone"],
        ),
        (
            "from prismenv import policy_registry\npolicy_registry.register_policy('x')(3)",
            ["search_bad.py:2", "found int"],
        ),
        ("x = 1\n", ["registers no phase and no search policy"]),
        ("1 / 0\n", ["search_bad.py:1", "ZeroDivisionError"]),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_hides_nothing(tmp_path: Path, text: str, words: list[str]) -> None:
    said = reason(tmp_path, text)
    assert [word for word in words if word not in said] == []


def test_an_unknown_policy_names_the_nearest_and_the_files_that_are_broken(tmp_path: Path) -> None:
    found = workspaces(tmp_path, search_mine="import nowhere\n", search_good=POLICY.format(name="once", more=""))
    with pytest.raises(ConfigurationException, match=r"did you mean 'once'\?.*broken: .*search_mine\.py:1"):
        find_policy("onze", found)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise KeyError('gone')", "could not be built: .*search_mine.py:4: KeyError: 'gone'"),
        ("return 3", "is 3; expected a SearchPolicy"),
    ],
)
def test_a_policy_that_cannot_be_built_is_a_configuration_error(tmp_path: Path, body: str, words: str) -> None:
    text = f"from prismenv import policy_registry as r\n@r.register_policy('x')\ndef build(context):\n    {body}\n"
    found = workspaces(tmp_path, search_mine=text)
    recipe = Recipe.model_validate({"name": "x", "search": {"policy": "x", "concepts": ["a"], "difficulties": ["e"]}})
    with pytest.raises(ConfigurationException, match=words):
        build_policy(recipe, find_policy("x", found), None, found)


def test_an_experiment_with_a_phase_that_nobody_registered_is_told_before_anything_runs(tmp_path: Path) -> None:
    found = workspaces(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "phase_configs.yaml").write_text("phase_1: {}\nphase_l: {}\n")
    (tmp_path / "configs" / "experiment_configs.yaml").write_text("name: x\nphase_sequences: [phase_1, phase_l]\n")
    search = {"policy": "prismbench", "concepts": ["a"], "difficulties": ["e"]}
    recipe = Recipe.model_validate({"name": "x", "search": search})
    with pytest.raises(ConfigurationException, match=r"there is no phase 'phase_l'; .*did you mean 'phase_\d'"):
        build_policy(recipe, find_policy("prismbench", found), None, found)


def test_a_context_without_kinds_has_the_built_in_phases() -> None:
    assert PolicyContext((), Recipe(name="x").search, 0).kinds == {}


@pytest.mark.parametrize("cls", [object, "Phase", len])
def test_a_package_s_phase_that_is_no_phase_is_told_with_the_package(cls: Any) -> None:
    registration = PhaseRegistration("mine", cls, {}, "some-package", 0, "some-package")
    with pytest.raises(
        RegistryException, match=r"some-package: phase 'mine' must be a class derived from prismenv\.Phase"
    ):
        phase_kind(registration)
