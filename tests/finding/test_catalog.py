"""The catalog lists everything that can be named, and what is broken with its reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from prismenv.contracts.registry import environment_registry
from prismenv.finding.catalog import Catalog, CatalogEntry, list_catalog
from prismenv.finding.workspace import find_workspaces
from prismenv.finding.yamlfile import load_yaml
from prismenv.words.errors import ConfigurationException

PLUGIN = '''\
from prismenv import environment_registry

@environment_registry.register_environment_method("sound", "execute_node")
async def execute_node(self, **kwargs):
    """Does nothing much.

    And says so.
    """
'''
FILES = {
    "prismenv.yaml": "name: mine\n",
    "environments/environment_sound.py": PLUGIN,
    "environments/environment_broken.py": "import no_such_module_at_all\n",
    "agents/critic.yaml": "role: critic\n",
    "agents/broken.yaml": "a: [\n",
    "agents/problem_solver.yaml": "role: problem_solver\n",
    "configs/tree_configs.yaml": "tree_configs: {}\n",
    "configs/runs/fine.yaml": "environment: sound\ndescription: Fine.\n",
    "configs/runs/unknown.yaml": "environment: sond\n",
    "configs/runs/wrong.yaml": "seed: x\n",
}


@pytest.fixture(autouse=True)
def _own_table() -> Iterator[None]:
    with environment_registry.isolated():
        environment_registry.assume({})  # whatever other tests left
        yield


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list_catalog(find_workspaces(tmp_path, environ={}))


def named(catalog: Catalog, kind: str, name: str) -> CatalogEntry:
    (entry,) = [entry for entry in catalog.of(kind) if entry.name == name]
    return entry


def test_an_environment_has_origin_faces_file_and_summary(catalog: Catalog) -> None:
    entry = named(catalog, "environment", "sound")
    assert (entry.origin, entry.faces, entry.error, entry.summary) == ("mine", ("node",), None, "Does nothing much.")
    assert str(entry.path).endswith("environments/environment_sound.py")


def test_a_broken_environment_is_listed_with_its_reason(catalog: Catalog) -> None:
    entry = named(catalog, "environment", "environment_broken")
    assert entry.origin == "mine"
    assert "environment_broken.py:1: ModuleNotFoundError" in str(entry.error)


def test_the_user_s_files_stand_before_the_built_in_ones(catalog: Catalog) -> None:
    assert named(catalog, "agent", "problem_solver").origin == "mine"
    assert named(catalog, "agent", "problem_fixer").origin == "built-in"


def test_what_takes_the_place_of_a_built_in_says_so(tmp_path: Path) -> None:
    for name in (
        "agents/problem_solver.yaml",
        "configs/runs/quickstart.yaml",
        "configs/tree_configs.yaml",
        "configs/environment_config.yaml",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "agents" / "critic.yaml").write_text("")
    (tmp_path / "prismenv.yaml").write_text("")
    catalog = list_catalog(find_workspaces(tmp_path, environ={}))
    mine = [entry for entry in catalog.entries if entry.origin == "workspace"]
    assert {entry.name: entry.replaces for entry in mine} == {
        "problem_solver": "built-in",
        "quickstart": "built-in",
        "tree_configs": "built-in",
        "critic": None,
        "environment_config": None,  # its blocks are laid over the built-in ones
    }
    assert not [entry for entry in catalog.entries if entry.replaces and entry.origin != "workspace"]


def test_a_block_of_no_environment_is_listed_with_the_nearest_name(tmp_path: Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    blocks = tmp_path / "configs" / "environment_config.yaml"
    found = find_workspaces(tmp_path, environ={})

    def error(text: str) -> str | None:
        blocks.write_text(text)
        (entry,) = [entry for entry in list_catalog(found).of("config") if entry.path == str(blocks)]
        return entry.error

    sound = "sound: {}\nenvironment_broken: {}\nenvironment_coding_challenge: {}\n"
    assert error(sound) is None  # one of the three is a broken plugin's, which is listed for itself
    assert error(sound + "soud: {}\nzzz: {}\n") == (
        f"{blocks}:4: there is no environment 'soud'; did you mean 'sound'?\n{blocks}:5: there is no environment 'zzz'"
    )


def test_broken_files_of_every_kind_are_listed_with_their_reason(catalog: Catalog) -> None:
    assert "broken.yaml:2:1: not valid YAML" in str(named(catalog, "agent", "broken").error)
    assert "tree_configs.concepts: missing" in str(
        next(entry for entry in catalog.of("config") if entry.origin == "mine").error
    )
    assert "wrong.yaml:1: seed: found 'x'" in str(named(catalog, "recipe", "wrong").error)
    assert "did you mean 'sound'" in str(named(catalog, "recipe", "unknown").error)
    assert named(catalog, "recipe", "fine") == CatalogEntry(
        "recipe", "fine", "mine", named(catalog, "recipe", "fine").path, summary="Fine."
    )


def test_providers_policies_and_languages_are_listed(catalog: Catalog) -> None:
    assert {"simulated", "scripted", "samples"} <= {entry.name for entry in catalog.of("provider")}
    assert {"grid", "random"} <= {entry.name for entry in catalog.of("policy")}
    assert "python" in {entry.name for entry in catalog.of("language")}


def test_entries_of_a_kind_are_sorted(catalog: Catalog) -> None:
    for kind in ("environment", "agent", "recipe", "provider", "policy", "language"):
        names = [entry.name for entry in catalog.of(kind)]
        assert names == sorted(names)


def test_a_reader_of_a_kind_says_more_than_that_it_is_yaml(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "prismenv.yaml").write_text("")
    (tmp_path / "agents" / "critic.yaml").write_text("rule: critic\n")

    def read(path: Path) -> str:
        if "role" not in load_yaml(path).data:
            raise ConfigurationException(f"{path}: no role")
        return "an agent"

    catalog = list_catalog(find_workspaces(tmp_path, environ={}), {"agent": read})
    assert "no role" in str(named(catalog, "agent", "critic").error)
    assert named(catalog, "agent", "problem_solver").summary == "an agent"
