"""Recipes are resolved from all their places, and every error names the place."""

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from prismenv.contracts.recipe import HttpInterface, Recipe
from prismenv.contracts.registry import environment_registry
from prismenv.finding.folders import builtin_workspace
from prismenv.finding.recipes import LoadedRecipe, dump_recipe, load_recipe, recipe_names, resolve_cells
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.words.errors import ConfigurationException

TREE = "tree_configs: {concepts: [loops, sorting], difficulties: [easy, hard]}\n"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.lists(st.text("abc é:#'-", min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=3, unique=True)
RECIPES = st.fixed_dictionaries(
    {"name": TEXT},
    optional={
        "description": TEXT,
        "environment": TEXT,
        "config": st.dictionaries(TEXT, PLAIN, max_size=3),
        "options": st.dictionaries(TEXT, PLAIN, max_size=3),
        "data": st.none() | TEXT,
        "models": st.dictionaries(TEXT, TEXT, max_size=3),
        "interface": st.just({"type": "local"}) | st.fixed_dictionaries({"type": st.just("http"), "url": TEXT}),
        "search": st.fixed_dictionaries(
            {}, optional={"concepts": st.none() | NAMES, "difficulties": NAMES, "pairs": st.booleans()}
        ),
        "budget": st.fixed_dictionaries({}, optional={"wall_seconds": st.floats(1e-6, 1e12), "nodes": st.integers(1)}),
        "seed": st.integers(),
    },
)


def workspaces(root: Path, marker: str = "", **recipes: str) -> WorkspaceSet:
    runs = root / "configs" / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    (root / "prismenv.yaml").write_text(marker)
    (root / "configs" / "small_tree.yaml").write_text(TREE)
    for name, text in recipes.items():
        (runs / f"{name}.yaml").write_text(text)
    return find_workspaces(root, environ={}, packages=())


def load(root: Path, text: str, *sets: str, **environ: str) -> Recipe:
    return load_recipe("mine", workspaces(root, mine=text), environ, sets).recipe


def refusal(root: Path, text: str, *sets: str, **environ: str) -> str:
    with pytest.raises(ConfigurationException) as caught:
        load(root, text, *sets, **environ)
    return str(caught.value)


@pytest.mark.parametrize("name", ["quickstart", "enhanced", "humaneval", "random"])
def test_every_built_in_recipe_is_sound(name: str, tmp_path: Path) -> None:
    found = load_recipe(name, find_workspaces(tmp_path, environ={}, packages=()), {})
    assert isinstance(found, LoadedRecipe)
    assert found.path == builtin_workspace().root / "configs" / "runs" / f"{name}.yaml"
    assert found.folder == tmp_path
    assert found.recipe.name == name


def test_quickstart_measures_the_whole_tree_with_the_simulated_model(tmp_path: Path) -> None:
    found = find_workspaces(tmp_path, environ={}, packages=())
    recipe = load_recipe("quickstart", found, {}).recipe
    concepts, difficulties = resolve_cells(recipe, found)
    assert (len(concepts), len(difficulties)) == (10, 5)
    assert recipe.models == {"default": "simulated/gpt-4o"}


@pytest.mark.parametrize(
    "key",
    [
        "seed",
        "search.repeats",
        "search.nodes",
        "budget.wall_seconds",
        "concurrency.nodes",
        "sandbox.ceiling.memory_bytes",
    ],
)
def test_true_is_no_number(key: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, "", f"{key}=true").endswith(f"{key}: found true; expected a number, not true or false")
    *outer, last = key.split(".")
    text = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(outer)) + f"{'  ' * len(outer)}{last}: no\n"
    place = f"{tmp_path / 'configs' / 'runs' / 'mine.yaml'}:{len(outer) + 1}: {key}"
    assert refusal(tmp_path, text).endswith(f"{place}: found false; expected a number, not true or false")


@pytest.mark.parametrize("setting", ["keys=KEY", "keys.openai=KEY", "keys.openai.variable=KEY"])
def test_a_key_that_is_put_into_a_recipe_is_refused_and_not_repeated(setting: str, tmp_path: Path) -> None:
    key = "sk-very-secret-0123456789"
    told = refusal(tmp_path, "", setting.replace("KEY", key))
    assert "keys" in told
    assert key not in told
    *outer, last = setting.partition("=")[0].split(".")
    text = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(outer))
    told = refusal(tmp_path, f"{text}{'  ' * len(outer)}{last}: {setting.partition('=')[2].replace('KEY', key)}\n")
    assert f"{len(outer) + 1}: keys" in told
    assert key not in told


def test_later_places_win(tmp_path: Path) -> None:
    assert load(tmp_path, "").seed == 0
    assert load(tmp_path, "seed: 1\n").seed == 1
    assert load(tmp_path, "seed: 1\n", PRISMENV_SEED="2").seed == 2
    assert load(tmp_path, "seed: 1\n", "seed=3", PRISMENV_SEED="2").seed == 3
    assert load(tmp_path, "seed: 1\n", "seed=3", "seed=4").seed == 4


def test_a_recipe_is_named_like_its_file_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert load(tmp_path, "").name == "mine"
    assert load(tmp_path, "name: other\n").name == "other"


def test_the_workspace_says_where_results_go_unless_the_recipe_does(tmp_path: Path) -> None:
    found = workspaces(tmp_path, "store: all.db\n", one="", two="output: {store: two.db}\n")
    assert load_recipe("one", found, {}).recipe.output.store == "all.db"
    assert load_recipe("two", found, {}).recipe.output.store == "two.db"
    assert load_recipe("two", found, {"PRISMENV_STORE": "three.db"}).recipe.output.store == "three.db"


def test_a_recipe_extends_another_key_by_key(tmp_path: Path) -> None:
    found = workspaces(
        tmp_path,
        base="name: basic\nmodels: {default: a/b, problem_solver: c/d}\nsearch: {concepts: [x, y], repeats: 3}\n",
        mine="extends: base\nmodels: {problem_solver: e/f}\nsearch: {concepts: [z]}\n",
    )
    recipe = load_recipe("mine", found, {}).recipe
    assert recipe.name == "mine"
    assert recipe.models == {"default": "a/b", "problem_solver": "e/f"}
    assert (recipe.search.concepts, recipe.search.repeats) == (("z",), 3)


def test_a_recipe_may_extend_the_one_that_it_stands_before(tmp_path: Path) -> None:
    found = workspaces(tmp_path, quickstart="extends: quickstart\nseed: 5\n")
    recipe = load_recipe("quickstart", found, {}).recipe
    assert recipe.seed == 5
    assert recipe.search.tree == "tree_configs"


def test_another_type_of_interface_replaces_the_first_as_a_whole(tmp_path: Path) -> None:
    found = workspaces(
        tmp_path,
        base="interface: {type: http, url: 'http://localhost:1'}\n",
        mine="extends: base\ninterface: {type: local}\n",
    )
    assert load_recipe("mine", found, {}).recipe.interface.type == "local"


def test_recipes_that_extend_each_other_in_a_circle_are_an_error(tmp_path: Path) -> None:
    found = workspaces(tmp_path, a="extends: b\n", b="extends: c\n", c="extends: a\n", d="extends: d\n")
    with pytest.raises(ConfigurationException, match="a -> b -> c -> a"):
        load_recipe("a", found, {})
    with pytest.raises(ConfigurationException, match="no other recipe 'd'"):
        load_recipe("d", found, {})


def test_what_is_extended_has_to_be_there(tmp_path: Path) -> None:
    assert "mine.yaml:1: extends: there is no other recipe 'quickstat'; did you mean 'quickstart'?" in refusal(
        tmp_path, "extends: quickstat\n"
    )
    assert "expected the name of a recipe" in refusal(tmp_path, "extends: [a]\n")


def test_an_error_in_what_is_extended_names_that_file(tmp_path: Path) -> None:
    found = workspaces(tmp_path, base="search:\n  repeats: many\n", mine="extends: base\n")
    with pytest.raises(ConfigurationException, match=r"base\.yaml:2: search\.repeats: found 'many'"):
        load_recipe("mine", found, {})


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("seed=3", "seed", 3),
        ("search.concepts=[a, b c]", "search.concepts", ("a", "b c")),
        ("search.concepts=a,b c", "search.concepts", ("a", "b c")),
        ("search.pairs=true", "search.pairs", True),
        ("search.nodes=null", "search.nodes", None),
        ("models.problem_solver=samples/x=1.jsonl", "models", {"problem_solver": "samples/x=1.jsonl"}),
        ("name=123", "name", "123"),
        ("description=a: b", "description", "a: b"),
        ("data=true.jsonl", "data", "true.jsonl"),
        ("data=", "data", None),
        ("output.store=null", "output.store", None),
        ("options.deep.er=[1, {x: y}]", "options", {"deep": {"er": [1, {"x": "y"}]}}),
        ("config={a: 1}", "config", {"a": 1}),
        ("sandbox.ceiling.wall_seconds=2.5", "sandbox.ceiling.wall_seconds", 2.5),
        ("interface={type: http, url: x}", "interface", HttpInterface(type="http", url="x")),
        ("budget.wall_seconds=1e3", "budget.wall_seconds", 1000.0),
    ],
)
def test_set_takes_values_as_yaml_and_text_as_it_is(tmp_path: Path, setting: str, path: str, value: object) -> None:
    found: Any = load(tmp_path, "", setting)
    for key in path.split("."):
        found = getattr(found, key)
    assert found == value


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("serch.tree=x", "--set serch.tree: there is no key 'serch'; did you mean 'search.tree'?"),
        ("search.tre=x", "--set search.tre: there is no key 'tre' below search; did you mean 'search.tree'?"),
        ("seed.x=1", "seed has no keys below it"),
        ("seed", "expected key.path=value"),
        ("=1", "expected key.path=value"),
        ("search..tree=1", "expected key.path=value"),
        ("search.repeats=0", "--set search.repeats: found 0; expected greater than or equal to 1"),
        ("seed=soon", "--set seed: found 'soon'; expected a valid integer"),
        ("config={a: 1", "--set config:2:1: not valid YAML"),
        ("config={a: 1, a: 2}", "stands twice"),
        ("config={a: !!python/name:os.system }", "plain data"),
        ("sandbox.require=ful", "did you mean 'full'?"),
    ],
)
def test_a_wrong_set_is_named(tmp_path: Path, setting: str, told: str) -> None:
    assert told in refusal(tmp_path, "", setting)


def test_variables_reach_every_key_by_two_underscores(tmp_path: Path) -> None:
    recipe = load(
        tmp_path,
        "",
        PRISMENV_CONCURRENCY__NODES="2",
        PRISMENV_MODELS__PROBLEM_SOLVER="a/b",
        PRISMENV_OUTPUT__KEEP_CALLS="false",
        PRISMENV_WORKSPACE="elsewhere",
        OTHER="x",
    )
    assert recipe.concurrency.nodes == 2
    assert recipe.models == {"problem_solver": "a/b"}
    assert not recipe.output.keep_calls


def test_an_unknown_variable_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    told = refusal(tmp_path, "", PRISMENV_CONCURENCY__NODES="2")
    assert "PRISMENV_CONCURENCY__NODES: there is no key 'concurency'" in told
    assert "did you mean 'PRISMENV_CONCURRENCY__NODES'?" in told


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    assert "PRISMENV_SEED: seed: found 'x'" in refusal(tmp_path, "", PRISMENV_SEED="x")


def test_the_variable_that_holds_a_token_is_no_setting(tmp_path: Path) -> None:
    text = "interface: {type: http, url: x, token_variable: PRISMENV_TOKEN}\n"
    assert isinstance(load(tmp_path, text, PRISMENV_TOKEN="secret").interface, HttpInterface)
    assert "secret" not in refusal(tmp_path, "", PRISMENV_TOKEN="secret")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "search: {tree: small_tree, concepts: [lops]}\n",
            "mine.yaml:1: search.concepts: found 'lops'; expected one of loops, sorting; did you mean 'loops'?",
        ),
        (
            "search:\n  tree: small_tree\n  difficulties:\n  - easy\n  - herd\n",
            "mine.yaml:5: search.difficulties: found 'herd'; expected one of easy, hard; did you mean 'hard'?",
        ),
        ("search: {concepts: []}\n", "search.concepts: found an empty list; expected at least one"),
        ("search: {concepts: [a, a]}\n", "search.concepts: 'a' stands twice"),
        ("search: {difficulties: ['']}\n", "search.difficulties: an empty name"),
        (
            "search: {tree: smal_tree}\n",
            "mine.yaml:1: search.tree: there is no 'smal_tree' in configs/; did you mean 'small_tree'?",
        ),
        ("search: {tree: ../secret}\n", "no name of a file"),
        ("search: {nodes: 0}\n", "mine.yaml:1: search.nodes: found 0"),
        ("search: {window: 0}\n", "mine.yaml:1: search.window: found 0"),
        ("search: {max_concepts: 0}\n", "mine.yaml:1: search.max_concepts: found 0"),
        ("search: {formulas: orginal}\n", "mine.yaml:1: search.formulas: found 'orginal'"),
        ("search: {mcts: {selection: best}}\n", "mine.yaml:1: search.mcts.selection: found 'best'"),
        ("search: {mcts: {discount: 1.5}}\n", "mine.yaml:1: search.mcts.discount: found 1.5"),
        ("search: {mcts: {leafs: 1}}\n", "search.mcts.leafs: unknown key; did you mean 'leaves'?"),
        ("budget: {nodes: 0}\n", "mine.yaml:1: budget.nodes: found 0"),
        ("seed: 1\nseed: 2\n", "mine.yaml:2:1: the key 'seed' stands twice"),
        ("- a\n", "mine.yaml:1: found a list of 1; expected a mapping"),
        ("modles: {}\n", "mine.yaml:1: modles: unknown key; did you mean 'models'?"),
    ],
)
def test_a_wrong_recipe_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    assert told in refusal(tmp_path, text)


def test_an_empty_tree_is_an_error(tmp_path: Path) -> None:
    found = workspaces(tmp_path, mine="search: {tree: empty}\n")
    (tmp_path / "configs" / "empty.yaml").write_text("tree_configs: {concepts: [], difficulties: [easy]}\n")
    with pytest.raises(ConfigurationException, match=r"empty\.yaml:1: tree_configs\.concepts: found an empty list"):
        load_recipe("mine", found, {})


def test_cells_come_from_the_recipe_then_its_tree_then_the_usual_one(tmp_path: Path) -> None:
    found = workspaces(tmp_path)
    (tmp_path / "configs" / "tree_configs.yaml").write_text("tree_configs: {concepts: [u], difficulties: [v]}\n")
    cells = lambda **search: resolve_cells(Recipe.model_validate({"name": "x", "search": search}), found)  # noqa: E731
    assert cells() == (("u",), ("v",))
    assert cells(concepts=["a"]) == (("a",), ("v",))
    assert cells(tree="small_tree") == (("loops", "sorting"), ("easy", "hard"))
    assert cells(tree="configs/small_tree.yaml", difficulties=["hard"]) == (("loops", "sorting"), ("hard",))


def test_a_recipe_is_found_by_name_or_by_file(tmp_path: Path) -> None:
    found = workspaces(tmp_path, mine="seed: 7\n")
    assert {"mine", "quickstart"} <= set(recipe_names(found))
    assert recipe_names(found) == sorted(recipe_names(found))
    path = tmp_path / "elsewhere.yaml"
    path.write_text("seed: 8\n")
    assert load_recipe(str(path), found, {}).recipe.seed == 8
    with pytest.raises(ConfigurationException, match="no such recipe file"):
        load_recipe("absent.yaml", found, {})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1\ndef f(:\n", "environment_old.py:2: SyntaxError"),
        (
            "from src.environment.environment_registry import environment_registry\n",
            "change this line to: from prismenv import environment_registry",
        ),
    ],
    ids=["syntax", "import"],
)
def test_a_broken_plugin_run_by_its_name_says_why(tmp_path: Path, text: str, why: str) -> None:
    found = workspaces(tmp_path)
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "environment_old.py").write_text(text)
    with pytest.raises(ConfigurationException) as caught:
        load_recipe("environment_old", found, {})
    assert caught.value.code == "environment_broken"
    assert why in str(caught.value)


def test_an_unknown_recipe_is_answered_with_the_nearest(tmp_path: Path) -> None:
    for name in ("quikstart", "../quickstart", ""):
        with pytest.raises(ConfigurationException) as caught:
            load_recipe(name, workspaces(tmp_path), {})
        assert caught.value.code == "unknown_recipe"
    with pytest.raises(ConfigurationException, match="did you mean 'quickstart'"):
        load_recipe("quikstart", workspaces(tmp_path), {})


def test_an_environment_s_name_is_a_recipe_that_runs_it(tmp_path: Path) -> None:
    with environment_registry.isolated():

        @environment_registry.register_environment_method("environment_by_hand", "execute_node")
        async def execute_node(self: object, **kwargs: object) -> None: ...

        found = load_recipe("environment_by_hand", workspaces(tmp_path), {}, ["seed=2"])
    assert (found.recipe.name, found.recipe.environment, found.recipe.seed) == (
        "environment_by_hand",
        "environment_by_hand",
        2,
    )


@given(RECIPES)
def test_a_resolved_recipe_loads_again_to_an_equal_one(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    recipe = Recipe.model_validate(data)
    root = tmp_path_factory.getbasetemp() / "round-trip"
    root.mkdir(exist_ok=True)
    path = root / "again.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(str(path), find_workspaces(root, environ={}, packages=()), {}).recipe == recipe


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_the_round_trip(number: float) -> None:
    recipe = Recipe(name="x", config={"number": number})
    again = Recipe.model_validate(yaml.safe_load(dump_recipe(recipe)))
    assert math.isclose(again.config["number"], number, rel_tol=0, abs_tol=0)


def test_true_is_no_number_for_a_service_either(tmp_path: Path) -> None:
    text = "interface: {type: http, url: 'http://host', timeout: yes}\n"
    assert "timeout: found true; expected a number, not true or false" in refusal(tmp_path, text)
