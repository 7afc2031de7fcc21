"""Completions of a prompt: continuations, whole functions, and what chat models make of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.answers.completion import complete_prompt
from prismenv.answers.syntax import parse

PROMPT = 'from typing import List\n\n\ndef total(numbers: List[int]) -> int:\n    """ Their sum.\n    """\n'
BODY = "    return sum(numbers)\n"
WHOLE = "def total(numbers: List[int]) -> int:\n    return sum(numbers)\n"
IMPORTING = f"from typing import List\n\n{WHOLE}"


@pytest.mark.parametrize(
    "body", [BODY, "    pass\n", "    for n in numbers:\n        pass\n    return 0\n\n\nx = total([])\n"]
)
def test_a_continuation_is_put_behind_the_prompt_as_it_is(body: str) -> None:
    assert complete_prompt(PROMPT, "total", body) == PROMPT + body


def test_a_whole_function_stands_alone_where_it_lacks_nothing_of_the_prompt() -> None:
    assert complete_prompt(PROMPT, "total", IMPORTING) == IMPORTING
    assert complete_prompt("def total(numbers):\n", "total", WHOLE) == WHOLE


def test_a_whole_function_gets_the_imports_and_helpers_of_the_prompt() -> None:
    prompt = PROMPT.replace("\n\n\ndef", "\n\n\ndef helper():\n    return 1\n\n\ndef", 1)
    program = complete_prompt(prompt, "total", WHOLE)
    assert program == f"from typing import List\n\n\ndef helper():\n    return 1\n\n\n{WHOLE}"


def test_an_import_from_the_future_stays_first() -> None:
    code = f"from __future__ import annotations\n\n\n{WHOLE}"
    assert complete_prompt(PROMPT, "total", code) == code


def test_a_whole_function_is_found_in_an_answer_with_prose_and_fences() -> None:
    answer = f"Sure, here it is:\n\n```python\n{IMPORTING}```\nIt adds them."
    assert complete_prompt(PROMPT, "total", answer) == IMPORTING.rstrip()


@pytest.mark.parametrize("body", [BODY, "result = 0\nfor n in numbers:\n    result += n\nreturn result\n"])
def test_a_body_in_a_fence_is_indented_where_it_lost_that(body: str) -> None:
    program = complete_prompt(PROMPT, "total", f"```python\n{body}```")
    assert program is not None
    names: dict[str, object] = {}
    tree = parse(program)
    assert tree is not None
    exec(compile(tree, "program", "exec"), names)
    assert names["total"]([1, 2, 3]) == 6  # type: ignore[operator]


@pytest.mark.parametrize(
    "answer", ["", "   \n", "I cannot do that.", "Sorry", "    # only a remark\n", "```\nno code here, sorry!\n```"]
)
def test_what_makes_no_program_is_none(answer: str) -> None:
    assert complete_prompt(PROMPT, "total", answer) is None


@given(answer=st.text(max_size=200))
def test_any_answer_gives_a_program_that_parses_or_holds_what_was_said(answer: str) -> None:
    program = complete_prompt(PROMPT, "total", answer)
    assert program is None or parse(program) is not None
