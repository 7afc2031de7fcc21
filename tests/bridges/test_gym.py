"""Episodes as Gymnasium's and PettingZoo's environments, held to what those libraries check."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from pettingzoo.test import parallel_api_test

import prismenv.bridges.gym
from prismenv import ActionException
from prismenv.bridges.pettingzoo import ParallelEpisodes
from prismenv.bridges.spaces import JsonSpace
from prismenv.words.errors import ConfigurationException, EnvironmentExecutionException

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Gymnasium's, of spaces that are no arrays


@pytest.fixture
def echo() -> Iterator[gymnasium.Env[Any, Any]]:
    with closing(gymnasium.make("prismenv/Echo-v0")) as env:
        yield env


@pytest.mark.parametrize("name", ["Echo", "CodingChallenge"])
def test_gymnasium_finds_nothing_to_complain_of(name: str) -> None:
    with closing(gymnasium.make(f"prismenv/{name}-v0", render_mode="ansi")) as env:
        check_env(env.unwrapped)
        env.reset(seed=1)
        assert isinstance(env.render(), str)


@pytest.mark.parametrize("name", ["environment_echo", "environment_coding_challenge"])
def test_pettingzoo_finds_nothing_to_complain_of(name: str) -> None:
    config = {"max_attempts": 2} if name != "environment_echo" else None
    with closing(ParallelEpisodes(name, 2, config=config)) as env:
        parallel_api_test(env, num_cycles=8)


def test_a_text_is_the_only_text_that_an_action_wants(echo: gymnasium.Env[Any, Any]) -> None:
    observation, info = echo.reset(seed=1)
    assert observation == {"echoed_message": "Echo environment ready!", "message_length": 0}
    assert info == {}
    assert echo.step("hello")[:4] == ({"echoed_message": "hello", "message_length": 5}, 0.5, False, False)
    assert echo.step({"message": "hello"})[1] == 0.5


def test_an_action_that_is_refused_changes_nothing(echo: gymnasium.Env[Any, Any]) -> None:
    echo.reset(seed=1)
    with pytest.raises(ActionException):
        echo.step({"massage": "hello"})
    assert echo.step("again")[1] == 0.5


def test_the_same_seed_sets_the_same_problem_and_the_next_draw_another() -> None:
    with closing(gymnasium.make("prismenv/CodingChallenge-v0", options={"difficulty_level": "easy"})) as env:
        first, second = env.reset(seed=5)[0], env.reset()[0]
        assert env.reset(seed=5)[0] == first
        assert env.reset()[0] == second != first


def test_several_are_stepped_at_once_and_begin_anew_when_they_are_over() -> None:
    with closing(
        gymnasium.make_vec(
            "prismenv/CodingChallenge-v0",
            num_envs=3,
            vectorization_mode="vector_entry_point",
            config={"max_attempts": 1},
            options={"concept": "loops", "difficulty_level": "easy"},
        )
    ) as env:
        observations, _ = env.reset(seed=1)
        assert [each["attempts_left"] for each in observations] == [1, 1, 1]
        _, rewards, terminated, truncated, _ = env.step(["def nothing(): pass"] * 3)
        assert list(rewards) == [0.0] * 3
        assert list(truncated) == [True] * 3
        assert not terminated.any()
        observations, rewards, terminated, truncated, _ = env.step(["ignored"] * 3)
        assert [each["attempts_left"] for each in observations] == [1, 1, 1]
        assert not truncated.any()
        assert not terminated.any()


def test_gymnasiums_own_vector_holds_them_too() -> None:
    with closing(gymnasium.make_vec("prismenv/Echo-v0", num_envs=2, vectorization_mode="sync")) as env:
        env.reset(seed=1)
        assert list(env.step([{"message": "a"}, {"message": "bcd"}])[1]) == pytest.approx([0.1, 0.3])


def test_any_environment_has_a_name_there() -> None:
    with closing(gymnasium.make("prismenv/Environment-v0", environment="environment_echo")) as env:
        assert env.reset(seed=1)[0]["message_length"] == 0
    with pytest.raises(EnvironmentExecutionException, match="no episode face"):
        gymnasium.make("prismenv/DatasetChallenge-v0")
    with pytest.raises(ConfigurationException, match="render_mode"):
        gymnasium.make("prismenv/Echo-v0", render_mode="human", disable_env_checker=True).unwrapped  # noqa: B018


def test_wrong_numbers_of_agents_seeds_and_actions_are_told() -> None:
    with pytest.raises(ConfigurationException, match="agents"):
        ParallelEpisodes("environment_echo", 0)
    with closing(prismenv.bridges.gym.GymVectorEnvironment("environment_echo", 2)) as env:
        with pytest.raises(ConfigurationException, match="3 seeds"):
            env.reset(seed=[1, 2, 3])
        env.reset(seed=[1, None])
        with pytest.raises(ConfigurationException, match="1 actions"):
            env.step(["a"])
    with closing(ParallelEpisodes("environment_echo", ["a", "b"])) as agents:
        agents.reset(seed=1)
        with pytest.raises(ConfigurationException, match="no action for 'b'"):
            agents.step({"a": "x"})


def test_a_program_that_forgets_to_close_ends_all_the_same(tmp_path: Path) -> None:
    program = "import gymnasium, prismenv.bridges.gym\nenv = gymnasium.make('prismenv/Echo-v0')\nenv.reset()\n1 / 0\n"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert found.returncode == 1
    assert "ZeroDivisionError" in found.stderr


LEAVES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(
        lambda a, b: {"type": "integer", "minimum": min(a, b), "maximum": max(a, b)},
        st.integers(-9, 9),
        st.integers(-9, 9),
    ),
    st.builds(
        lambda a, b: {"type": "string", "minLength": a, "maxLength": a + b}, st.integers(0, 50), st.integers(0, 9)
    ),
    st.builds(lambda a: {"type": "number", "exclusiveMinimum": a, "maximum": a + 0.5}, st.integers(-5, 5)),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": 1}, {"enum": ["a", None, True]}, {}]),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda each, least: {"type": "array", "items": each, "minItems": least}, inner, st.integers(0, 3)),
        st.builds(lambda one, other: {"anyOf": [one, other]}, inner, inner),
        st.builds(
            lambda parts, needed: {
                "type": "object",
                "properties": parts,
                "required": [name for name in parts if name in needed],
                "additionalProperties": False,
            },
            st.dictionaries(st.sampled_from("abc"), inner),
            st.sets(st.sampled_from("abc")),
        ),
    ),
    max_leaves=12,
)


@given(SCHEMAS, st.integers(0, 1000))
def test_what_a_space_draws_is_in_it(schema: dict[str, Any], seed: int) -> None:
    space, twin = JsonSpace(schema, seed), JsonSpace(schema, seed)
    drawn = space.sample()
    assert drawn in space
    assert drawn == twin.sample()
    assert space == twin
    assert hash(space) == hash(twin)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, True),
        ({"type": "integer"}, 1.5),
        ({"type": "number"}, float("nan")),
        ({"type": "string", "maxLength": 2}, "abc"),
        ({"const": 1}, True),
        ({"type": "object", "required": ["a"]}, {}),
        ({"type": "object", "properties": {}, "additionalProperties": False}, {"a": 1}),
        ({"type": "array", "items": {"type": "null"}}, [None, 0]),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}}},
            {"a": 1},
        ),
    ],
)
def test_what_does_not_fit_is_not_in_a_space(schema: dict[str, Any], value: Any) -> None:
    assert value not in JsonSpace(schema)


def test_a_schema_that_names_itself_is_drawn_from_and_ends() -> None:
    tree = {
        "$ref": "#/$defs/T",
        "$defs": {
            "T": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"$ref": "#/$defs/T"}, {"type": "null"}]}},
                "required": ["next"],
            }
        },
    }
    space = JsonSpace(tree, 1)
    assert all(space.sample() in space for _ in range(50))
