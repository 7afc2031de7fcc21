"""The registry is loud, and its table does not depend on the order in which it was filled."""

import inspect
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.contracts.environment import KNOWN_METHODS, MARK, Environment
from prismenv.contracts.registry import EnvironmentRegistry
from prismenv.contracts.settings import StrictEnvironmentConfig
from prismenv.words.errors import RegistryException

HERE = Path(__file__).name
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


@pytest.fixture
def registry() -> EnvironmentRegistry:
    return EnvironmentRegistry()


async def run_node(self: Any, **kwargs: Any) -> dict[str, Any]:
    return kwargs


async def wait(self: Any) -> None:
    return None


async def take(self: Any, action: Any) -> None:
    return action


def function_for(method: str) -> Callable[..., Any]:
    return {"execute_node": run_node, "step": take}.get(method, wait)


def add_class(registry: EnvironmentRegistry, name: str, **options: Any) -> type[Environment]:
    @registry.register(name, **options)
    class Made(Environment):
        async def execute_node(self, concept: str, difficulty_level: str) -> dict[str, Any]:
            return {}

    return Made


def refusal(registry: EnvironmentRegistry, action: Callable[[], object], code: str) -> str:
    before = registry.table()
    with pytest.raises(RegistryException) as caught:
        action()
    assert caught.value.code == code
    assert registry.table() == before
    return str(caught.value)


def test_a_class_is_found_by_its_name_with_its_config_and_its_place(registry: EnvironmentRegistry) -> None:
    class Config(StrictEnvironmentConfig):
        depth: int = 1

    made = add_class(registry, "environment_mine", config=Config)
    entry = registry.get("environment_mine")
    assert (entry.cls, entry.config, dict(entry.methods)) == (made, Config, {})
    assert Path(entry.origin).name == HERE
    assert "@registry.register" in inspect.getsource(add_class)
    assert entry.line == inspect.getsourcelines(add_class)[1] + 1


def test_functions_of_one_file_make_up_one_environment(registry: EnvironmentRegistry) -> None:
    registry.register_environment_method("custom", "execute_node")(run_node)
    registry.register_environment_method("custom", "_run_custom_workflow")(wait)
    entry = registry.get("custom")
    assert entry.cls is None
    assert dict(entry.methods) == {"execute_node": run_node, "_run_custom_workflow": wait}
    assert registry.faces("custom") == ("node",)


def test_registering_gives_back_what_was_registered(registry: EnvironmentRegistry) -> None:
    assert registry.register_environment_method("custom", "execute_node")(run_node) is run_node


def test_an_unknown_name_is_answered_with_the_nearest_one(registry: EnvironmentRegistry) -> None:
    add_class(registry, "environment_coding_challenge")
    text = refusal(registry, lambda: registry.get("enviroment_coding_challenge"), "unknown_environment")
    assert "did you mean 'environment_coding_challenge'?" in text


def test_a_name_registered_twice_names_both_places(registry: EnvironmentRegistry) -> None:
    add_class(registry, "environment_mine")
    text = refusal(registry, lambda: add_class(registry, "environment_mine"), "duplicate")
    assert text.count(HERE) == 2


def test_a_method_registered_twice_names_both_places(registry: EnvironmentRegistry) -> None:
    registry.register_environment_method("custom", "reset")(wait)
    text = refusal(registry, lambda: registry.register_environment_method("custom", "reset")(wait), "duplicate")
    assert text.count(HERE) == 2
    assert "custom.reset" in text


def test_a_function_cannot_join_a_class(registry: EnvironmentRegistry) -> None:
    add_class(registry, "custom")
    refusal(registry, lambda: registry.register_environment_method("custom", "reset")(wait), "duplicate")


def test_functions_of_another_file_do_not_join_unasked(registry: EnvironmentRegistry) -> None:
    with registry.loading("/workspace/environment_a.py"):
        registry.register_environment_method("custom", "execute_node")(run_node)
    with registry.loading("/workspace/environment_b.py") as _:
        refusal(registry, lambda: registry.register_environment_method("custom", "_extra")(wait), "duplicate")


def test_an_override_takes_the_place_of_another_when_it_says_so(registry: EnvironmentRegistry) -> None:
    add_class(registry, "environment_mine")
    later = add_class(registry, "environment_mine", overrides=True)
    entry = registry.get("environment_mine")
    assert entry.cls is later
    assert entry.overrides


def test_an_override_of_nothing_is_an_error(registry: EnvironmentRegistry) -> None:
    add_class(registry, "environment_mine")
    text = refusal(registry, lambda: add_class(registry, "environment_mime", overrides=True), "nothing_to_override")
    assert "did you mean 'environment_mine'?" in text
    refusal(
        registry,
        lambda: registry.register_environment_method("custom", "reset", overrides=True)(wait),
        "nothing_to_override",
    )


def test_a_function_overrides_one_method_and_leaves_the_others(registry: EnvironmentRegistry) -> None:
    with registry.loading("/built-in/environment_a.py"):
        registry.register_environment_method("custom", "execute_node")(run_node)
        registry.register_environment_method("custom", "reset")(wait)

    async def other(self: Any) -> None:
        return None

    with registry.loading("/mine/environment_a.py"):
        registry.register_environment_method("custom", "reset", overrides=True)(other)
        registry.register_environment_method("custom", "_helper")(wait)
    assert dict(registry.get("custom").methods) == {"execute_node": run_node, "reset": other, "_helper": wait}


def test_a_function_that_overrides_a_class_replaces_it_as_a_whole(registry: EnvironmentRegistry) -> None:
    with registry.loading("/built-in/environment_a.py"):
        add_class(registry, "custom")
    registry.register_environment_method("custom", "execute_node", overrides=True)(run_node)
    entry = registry.get("custom")
    assert entry.cls is None
    assert dict(entry.methods) == {"execute_node": run_node}


@pytest.mark.parametrize("name", ["", "Mine", "1st", "a-b", "a b", "ä", "../x", "a\n", None, 7])
def test_a_bad_name_is_refused(registry: EnvironmentRegistry, name: Any) -> None:
    refusal(registry, lambda: add_class(registry, name), "bad_name")
    refusal(registry, lambda: registry.register_environment_method(name, "reset")(wait), "bad_name")


def test_a_decorator_without_its_name_says_how_it_is_written(registry: EnvironmentRegistry) -> None:
    text = refusal(registry, lambda: registry.register(Environment), "bad_name")  # type: ignore[arg-type]
    assert '@environment_registry.register("environment_mine")' in text


def test_only_an_environment_class_can_be_registered(registry: EnvironmentRegistry) -> None:
    text = refusal(registry, lambda: registry.register("mine")(dict), "not_an_environment")
    assert "class dict" in text
    refusal(registry, lambda: registry.register("mine")(run_node), "not_an_environment")  # type: ignore[type-var]


def test_a_config_that_is_no_environment_config_is_refused(registry: EnvironmentRegistry) -> None:
    refusal(registry, lambda: add_class(registry, "mine", config=dict), "bad_config_class")


def test_a_slip_in_a_method_name_is_answered_with_the_nearest_known_one(registry: EnvironmentRegistry) -> None:
    text = refusal(
        registry, lambda: registry.register_environment_method("mine", "execute_nod")(run_node), "unknown_method"
    )
    assert "did you mean 'execute_node'?" in text
    assert HERE in text


@pytest.mark.parametrize("method", ["run", "__init__", "no name", "", None])
def test_a_method_name_that_nobody_calls_is_refused(registry: EnvironmentRegistry, method: Any) -> None:
    refusal(registry, lambda: registry.register_environment_method("mine", method)(wait), "unknown_method")


def test_a_slip_in_a_class_is_found_where_the_right_method_is_absent(registry: EnvironmentRegistry) -> None:
    def make() -> None:
        @registry.register("mine")
        class Mine(Environment):
            async def execute_nodes(self, **kwargs: Any) -> None: ...

    assert "did you mean 'execute_node'?" in refusal(registry, make, "unknown_method")


def test_a_class_may_have_any_other_method(registry: EnvironmentRegistry) -> None:
    @registry.register("mine")
    class Mine(Environment):
        @property
        def state(self) -> int:
            return 1

        def show(self) -> None: ...

        async def execute_node(self, **kwargs: Any) -> None: ...

        async def execute_nodes(self) -> None: ...

    assert registry.faces("mine") == ("node",)


def not_async(self: Any, **kwargs: Any) -> None: ...


async def no_self(concept: str, difficulty_level: str) -> None: ...


async def nothing() -> None: ...


async def no_difficulty(self: Any, concept: str) -> None: ...


async def slip(self: Any, concept: str, dificulty_level: str) -> None: ...


async def positional(self: Any, concept: str, difficulty_level: str, /) -> None: ...


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (not_async, "async def"),
        (no_self, "'self' first"),
        (nothing, "no parameter"),
        (no_difficulty, "'difficulty_level' by keyword"),
        (slip, "did you mean 'dificulty_level'?"),
        (positional, "'concept' and 'difficulty_level'"),
        (7, "found int"),
        (Environment, "expected a function"),
    ],
)
def test_a_bad_signature_is_refused(registry: EnvironmentRegistry, function: Any, told: str) -> None:
    def add() -> None:
        registry.register_environment_method("mine", "execute_node")(function)

    assert told in refusal(registry, add, "bad_signature")


def test_a_bad_signature_in_a_class_is_refused(registry: EnvironmentRegistry) -> None:
    def make() -> None:
        @registry.register("mine")
        class Mine(Environment):
            def initialize(self) -> None: ...

    assert "async def" in refusal(registry, make, "bad_signature")


def test_methods_that_an_author_inherits_count(registry: EnvironmentRegistry) -> None:
    class Middle(Environment):
        async def reset(self, seed: int | None = None) -> str:
            return ""

    @registry.register("mine")
    class Mine(Middle):
        async def step(self, action: str) -> None: ...

    assert registry.faces("mine") == ("episode",)


def test_marked_functions_make_the_tools_and_world_faces(registry: EnvironmentRegistry) -> None:
    async def look(self: Any) -> None: ...

    async def book(self: Any) -> None: ...

    setattr(look, MARK, "tool")
    setattr(book, MARK, "function")
    registry.register_environment_method("desk", "look")(look)
    assert registry.faces("desk") == ("tools",)
    registry.register_environment_method("hotel", "book")(book)
    assert registry.faces("hotel") == ("tools", "world")


def test_isolated_forgets_what_was_done_inside(registry: EnvironmentRegistry) -> None:
    add_class(registry, "before")
    with registry.isolated():
        add_class(registry, "inside")
        add_class(registry, "before", overrides=True)
    assert registry.names() == ["before"]
    assert not registry.get("before").overrides


@given(st.sets(st.tuples(NAMES, st.sampled_from([*KNOWN_METHODS, "_one", "_two"])), max_size=12), st.randoms())
def test_any_order_of_registrations_gives_the_same_table(pairs: set[tuple[str, str]], random: Any) -> None:
    def fill(order: list[tuple[str, str]]) -> EnvironmentRegistry:
        filled = EnvironmentRegistry()
        for name, method in order:
            filled.register_environment_method(name, method)(function_for(method))
        return filled

    order = sorted(pairs)
    shuffled = random.sample(order, len(order))
    one, other = fill(order), fill(shuffled)
    assert one.names() == other.names() == sorted({name for name, _ in pairs})
    assert one.table() == other.table()


@given(st.lists(NAMES, unique=True, max_size=6), st.lists(NAMES, unique=True, min_size=1, max_size=6))
def test_a_load_that_fails_leaves_nothing(before: list[str], during: list[str]) -> None:
    registry = EnvironmentRegistry()
    for name in before:
        add_class(registry, name)
    table = registry.table()

    def load() -> Iterator[None]:
        with registry.loading("/workspace/environment_x.py"):
            for name in during:
                add_class(registry, name, overrides=name in registry)
            yield
            message = "import failed"
            raise ImportError(message)

    with pytest.raises(ImportError):
        list(load())
    assert registry.table() == table


def test_what_a_scope_registered_can_be_put_back(registry: EnvironmentRegistry) -> None:
    with registry.isolated(), registry.loading("/workspace/environment_x.py") as changes:
        add_class(registry, "mine")
    assert registry.names() == []
    registry.assume(changes)
    assert registry.names() == ["mine"]


def test_two_orders_of_two_files_give_the_same_table() -> None:
    tables = []
    for order in itertools.permutations(["a", "b"]):
        registry = EnvironmentRegistry()
        for stem in order:
            with registry.loading(f"/workspace/environment_{stem}.py"):
                registry.register_environment_method(stem, "execute_node")(run_node)
        tables.append(registry.table())
    assert tables[0] == tables[1]
