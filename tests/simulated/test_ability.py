"""Ability profiles: published figures, the formula that takes them apart, and errors that help."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismenv.simulated.profiles import first_attempt_chance, load_profile, node_chance, profile_names
from prismenv.words.errors import ConfigurationException

untimed = settings(deadline=None)

chances = st.floats(0, 1)


@untimed
@given(st.floats(0.001, 0.999), chances, chances)
def test_the_first_attempt_is_chosen_so_that_the_node_succeeds_as_published(
    success: float, feedback: float, fixing: float
) -> None:
    first = first_attempt_chance(success, feedback, fixing)
    assert first <= success + 1e-9
    assert node_chance(first, feedback, fixing) == pytest.approx(success, abs=1e-9)


@untimed
@given(chances, chances)
def test_certainties_stay_certain(feedback: float, fixing: float) -> None:
    assert first_attempt_chance(0.0, feedback, fixing) == 0.0
    assert first_attempt_chance(1.0, feedback, fixing) == 1.0


def test_there_is_a_profile_for_each_published_model_and_three_of_our_own() -> None:
    assert profile_names() == ("flaky", "gpt-4o", "llama-3.1-70b", "llama-3.1-8b", "perfect", "weak")


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_says_where_its_figures_come_from_and_what_it_is(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.summary
    assert "made up" in profile.source or "PrismBench published demo data" in profile.source


def test_figures_are_the_published_ones(shared: Path) -> None:
    published = json.loads((shared / "data" / "capability_surfaces.json").read_text(encoding="utf-8"))
    for spelling, surfaces in published["models"].items():
        profile = load_profile(spelling)
        for concept, row in surfaces["cells"].items():
            for difficulty, figure in row.items():
                assert profile.success_chance((concept,), difficulty) == figure["success_rate"]
        for joined, figure in surfaces["pairs"].items():
            assert profile.success_chance(joined.split("+")[::-1], "medium") == figure["success_rate"]


def test_a_combination_without_a_figure_is_as_hard_as_its_hardest_concept() -> None:
    profile = load_profile("gpt-4o")
    assert "data_structures+recursion+searching+sorting" not in profile.combinations
    concepts = ("data_structures", "recursion", "searching", "sorting")
    assert profile.success_chance(concepts, "hard") == min(profile.cells[concept]["hard"] for concept in concepts)


def test_an_unknown_concept_counts_as_the_mean_of_the_known_ones() -> None:
    profile = load_profile("gpt-4o")
    column = [row["easy"] for row in profile.cells.values()]
    assert profile.success_chance(("juggling",), "easy") == pytest.approx(sum(column) / len(column))
    assert profile.success_chance(("juggling",), "breakneck") == profile.ability


@pytest.mark.parametrize("spelling", ["GPT4o", "gpt-4o", "Gpt_4O"])
def test_spelling_of_a_name_does_not_matter(spelling: str) -> None:
    assert load_profile(spelling).name == "gpt-4o"


def test_an_unknown_profile_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationException, match=r"Did you mean simulated/perfect\?") as caught:
        load_profile("perfekt")
    assert caught.value.code == "unknown_model"
    assert "llama-3.1-8b" in str(caught.value)
