"""Templates are chosen by their inputs and filled literally, once."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.template import CompiledTemplate, fit, render, split_slots, text_of
from prismenv.words.errors import ConfigurationException

NAMES = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)


def template(name: str, *inputs: str, text: str | None = None, lists: tuple[str, ...] = ()) -> CompiledTemplate:
    shown = text if text is not None else " ".join(f"{{{given}}}" for given in inputs)
    return CompiledTemplate(name, inputs, frozenset(inputs), split_slots(shown, inputs), frozenset(lists), "text")


BASIC = template("basic", "problem")
FIX = template("fix", "problem", "report")


def test_the_template_is_the_one_whose_inputs_are_the_given_ones_in_any_order() -> None:
    assert fit("solver", (BASIC, FIX), {"report": "r", "problem": "p"}).template is FIX
    assert fit("solver", (BASIC, FIX), {"problem": "p"}).template is BASIC


def test_inputs_beyond_the_largest_known_set_go_to_the_last_text_input_under_a_heading() -> None:
    question = fit("solver", (BASIC, FIX), {"problem": "p", "report": "r", "error_analysis": "because {problem}"})
    assert question.template is FIX
    assert question.appended == ("error_analysis",)
    assert question.inputs == {"problem": "p", "report": "r\n\n## Error analysis\nbecause {problem}"}
    assert render(question) == "p r\n\n## Error analysis\nbecause {problem}"


def test_inputs_that_no_template_takes_are_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigurationException) as caught:
        fit("solver", (FIX, BASIC), {"problm": "p"})
    assert "solver" in str(caught.value)
    assert "basic(problem)" in str(caught.value)
    assert "Did you mean problem for problm?" in str(caught.value)


def test_no_inputs_at_all_are_told_as_none_given() -> None:
    with pytest.raises(ConfigurationException, match=r"no template goes without inputs, and none was given; nearest:"):
        fit("solver", (FIX, BASIC), {})


def test_left_over_inputs_need_a_text_input_to_go_to() -> None:
    with pytest.raises(ConfigurationException, match="no text input"):
        fit("writer", (template("count", "numbers"),), {"numbers": [1], "why": "x"})


def test_a_single_text_for_a_list_is_a_list_of_one() -> None:
    question = fit("designer", (template("d", "concepts", lists=("concepts",)),), {"concepts": "loops"})
    assert question.inputs == {"concepts": ["loops"]}


def test_a_slot_name_that_begins_with_another_is_not_mistaken_for_it() -> None:
    both = template("both", "test", "test_cases", text="{test}|{test_cases}|{test_cases_x}")
    assert render(fit("r", (both,), {"test": "a", "test_cases": "b"})) == "a|b|{test_cases_x}"


@given(st.dictionaries(NAMES, st.text(), min_size=1, max_size=4))
def test_values_are_never_filled_again(values: dict[str, str]) -> None:
    hostile = {name: value + "".join(f"{{{other}}}" for other in values) for name, value in values.items()}
    question = fit("r", (template("t", *values),), hostile)
    assert render(question) == " ".join(hostile[name] for name in values)


@given(st.text(), st.lists(NAMES, unique=True, max_size=3))
def test_cutting_at_slots_loses_nothing(text: str, names: list[str]) -> None:
    pieces = split_slots(text, names)
    joined = "".join(f"{{{piece}}}" if index % 2 else piece for index, piece in enumerate(pieces))
    assert joined == text
    assert len(pieces) % 2 == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("as {it} is", "as {it} is"),
        (None, "(none)"),
        ([], "(none)"),
        (["loops", "sorting"], "loops, sorting"),
        (("first\nproblem", "second"), "1.\nfirst\nproblem\n\n2.\nsecond"),
        ({"a": [1, None]}, '{"a": [1, null]}'),
        ([1, 2], "[1, 2]"),
    ],
)
def test_values_are_shown_readably(value: Any, shown: str) -> None:
    assert text_of(value) == shown


def test_a_template_without_text_shows_its_inputs_under_headings(agents: dict[str, AgentFile]) -> None:
    compiled = agents["writer"].compiled()
    question = fit("writer", compiled, {"concepts": ["a", "b"], "mood": "dark"})
    assert render(question) == "## Concepts\na, b\n\n## Mood\ndark\n\n## Answer\nA story."
