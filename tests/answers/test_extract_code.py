"""Code is found in whatever a model wrote."""

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prismenv.answers.code import extract_code
from prismenv.answers.syntax import parse

ADD = "def add(a, b):\n    return a + b\n"
SHAPES = {
    "plain": ADD,
    "python fence": f"```python\n{ADD}```",
    "py fence with prose around": f"Sure! Here it is:\n\n```py\n{ADD}```\n\nIt adds `a` and `b`: simple.\n",
    "fence without label": f"```\n{ADD}```",
    "tildes": f"~~~python\n{ADD}~~~\n",
    "four backticks": f"````python\n{ADD}````\n",
    "unclosed": f"Here:\n```python\n{ADD}",
    "unclosed then prose": f"Here:\n```python\n{ADD}\nThis adds the two numbers, as you can see.\n",
    "indented in a list": f"1. The code:\n\n{textwrap.indent(f'```python{chr(10)}{ADD}```', '   ')}\n",
    "a bullet before the fence": f"- ```python\n{textwrap.indent(ADD, '  ')}  ```\n",
    "quotation": "\n".join(f"> {line}" for line in f"```python\n{ADD}```".split("\n")),
    "windows line ends": f"Here:\n```python\n{ADD}```\n".replace("\n", "\r\n"),
    "old mac line ends": f"Here:\n```python\n{ADD}```\n".replace("\n", "\r"),
    "fence behind prose on its line": f"Here is the code: ```python\n{ADD}```",
    "closing fence behind code": f"```python\n{ADD.rstrip()}```\nDone.",
    "label in capitals": f"```Python3\n{ADD}```",
    "label with attributes": f'```python title="add.py" linenums\n{ADD}```',
    "label in braces": f"```{{.python}}\n{ADD}```",
    "code tag": f"<code>\n{ADD}</code>",
    "solution tag": f"I think so.\n<solution>{ADD}</solution>\nBye.",
    "unclosed tag": f"<answer>\n{ADD}",
    "fence in a tag": f"```python\ndef wrong():\n    return 0\n```\n<answer>\n```python\n{ADD}```\n</answer>",
    "thoughts before": f"<think>\n```python\ndef first_idea():\n    return 0\n```\n</think>\n```python\n{ADD}```",
    "thoughts that were opened by the prompt": f"maybe ```python\ndef no():\n    pass\n```\n</think>\n{ADD}",
    "no fence, prose around": f"Here is my solution.\n\n{ADD}\nI hope it helps! It runs in O(1).\n",
    "other blocks": f'```json\n{{"a": 1}}\n```\n\n```python\n{ADD}```\n\n```\n3\n```\n```bash\npython add.py\n```',
    "markdown around python": f"```markdown\n# Add\n\n```python\n{ADD}```\n```\n",
    "a label and code on one line": "```python def add(a, b): return a + b\n```",
    "inline fence": "Use ```def add(a, b): return a + b``` for that.",
    "NUL inside": f"```python\n{ADD[:5]}\0{ADD[5:]}```",
    "byte order mark": f"\ufeff{ADD}",
    "usage example after": f"```python\n{ADD}```\nUse it:\n```python\nprint(add(1, 2))\n```",
    "tests after": f"```python\n{ADD}```\n```python\nimport unittest\nclass TestAdd(unittest.TestCase):\n"
    "    def test_it(self):\n        self.assertEqual(add(1, 2), 3)\n```",
    "corrected later": f"```python\ndef add(a, b):\n    return a - b\n```\nNo, wrong sign. So:\n```python\n{ADD}```",
}


def adds(code: str | None) -> bool:
    assert code is not None
    names: dict = {}
    exec(code, names)
    return names["add"](2, 3) == 5 and not {"wrong", "first_idea", "no"} & names.keys()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_program_is_found_in(shape):
    assert adds(extract_code(SHAPES[shape]))


@pytest.mark.parametrize("shape", SHAPES)
def test_extracting_twice_changes_nothing(shape):
    once = extract_code(SHAPES[shape])
    assert extract_code(once) == once


def test_blocks_that_belong_together_are_joined():
    text = (
        "Imports:\n```python\nimport math\n```\nA helper:\n```python\ndef half(x):\n    return x / 2\n```\n"
        "And:\n```python\ndef f(x):\n    return math.floor(half(x))\n```\nThen `f(3)`:\n```python\nf(3)\n```"
    )
    names: dict = {}
    code = extract_code(text)
    exec(code, names)
    assert names["f"](5) == 2
    assert "f(3)" not in code


def test_fences_inside_a_docstring_end_nothing():
    program = 'def f():\n    """Use it:\n\n    ```python\n    f()\n    ```\n    """\n    return 1\n'
    assert extract_code(program) == program
    assert extract_code(f"````python\n{program}````") == program.rstrip("\n")


@pytest.mark.parametrize(
    "program",
    [
        "text = '''\n```\n'''\n\ndef f():\n    return text\n",
        "text = 'a\\\n```python'\n\ndef f():\n    return text\n",
        "# so:\n# ```\ndef f():\n    return 1\n",
    ],
)
def test_a_fence_within_a_text_or_a_comment_of_a_program_is_part_of_it(program):
    assert extract_code(program) == program


@pytest.mark.parametrize("label", ["", "python", "javascript"])
def test_one_block_of_code_is_the_answer_whether_it_parses_or_not(label):
    assert extract_code(f"Here:\n```{label}\nreturn )\n```\nDone.") == "return )"
    assert extract_code(f"```{label}\n    return 1\n```") == "return 1"


def test_a_program_that_speaks_of_tags_is_left_alone():
    program = 'def tag(x):\n    return f"<code>{x}</code>"\n'
    assert extract_code(f"```python\n{program}```") == program.rstrip("\n")


def test_a_suite_alone_is_kept():
    suite = "import unittest\n\nclass TestF(unittest.TestCase):\n    def test_a(self):\n        self.assertTrue(f())\n"
    assert extract_code(f"```python\n{suite}```") == suite.rstrip("\n")


def test_a_syntax_error_in_a_python_block_is_the_answer():
    assert extract_code("Here:\n```python\ndef f(:\n    return 1\n```\n") == "def f(:\n    return 1"


def test_code_that_was_cut_off_keeps_what_is_whole():
    code = extract_code(f"```python\n{ADD}\n\ndef main():\n    print(add(1,")
    assert adds(code)


def test_code_without_a_fence_keeps_texts_that_begin_at_the_margin():
    program = 'TEXT = """\nfree words, not code\n"""\n\n\ndef f():\n    return TEXT\n'
    code = extract_code(f"Here it is.\n\n{program}\nBye bye, and good luck.\n")
    assert "free words" in code
    assert "good luck" not in code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "I cannot help with that.",
        "Done",
        "Answer: 42",
        "x",
        "Sorry, not sorry",
        "\0\0",
        "```\n```",
        "<code>",
    ],
)
def test_words_are_no_code(text):
    assert extract_code(text) is None


def test_another_language_is_no_python():
    assert extract_code("```javascript\nfunction add(a, b) { return a + b }\n```") is None


def test_other_languages_are_taken_by_their_label():
    text = "```python\nx = 1\n```\n```javascript\nlet x = 1\n```\n"
    assert extract_code(text, "javascript") == "let x = 1"
    assert extract_code("let x = 1", "javascript") == "let x = 1"
    assert extract_code("```ruby\nx\n```", "javascript") is None


@given(st.text())
def test_any_text_gives_code_or_nothing_and_twice_is_once(text):
    code = extract_code(text)
    assert code is None or (code.strip() and extract_code(code) in (code, None))


PROGRAMS = st.sampled_from(
    ["def f(x):\n    return x", "import os", "y = 3", "class A:\n    z = 1", 'T = """\n```\n"""']
)
PROSE = st.text(alphabet="abc .,:*-#`\n'", max_size=60)


@given(
    st.lists(st.one_of(PROGRAMS, PROSE, st.sampled_from(["```", "```python", "~~~", "<code>", "</code>"])), max_size=12)
)
def test_mixtures_of_code_and_prose_never_break_it(parts):
    code = extract_code("\n".join(parts))
    assert code is None or code.strip()


@given(st.lists(PROGRAMS, min_size=1, max_size=5).map("\n\n".join))
def test_a_program_is_given_back_as_it_is(program):
    assert extract_code(program) == program


@given(PROSE.filter(lambda text: "`" not in text), PROSE.filter(lambda text: "`" not in text))
@settings(max_examples=50)
def test_a_fenced_program_survives_any_prose_around_it(before, after):
    assert adds(extract_code(f"{before}\n```python\n{ADD}```\n{after}"))


@pytest.mark.parametrize(
    "garbage",
    [
        "-" * 10**6,
        "```\n" * 150_000,
        "def f(\n" * 120_000,
        "<code>" * 150_000,
        "`" * 10**6,
        "(" * 10**6,
        "x" * 2 * 10**6,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_a_megabyte_of_garbage_is_looked_through(garbage):
    code = extract_code(garbage)
    assert code is None or len(code) <= len(garbage)


def test_deep_and_long_programs_are_refused_not_fallen_over():
    for text in (
        "-" * 100_000 + "1",
        "x" + ".x" * 100_000,
        "1" + "+1" * 100_000,
        "[" * 5000,
        "if 1:\n pass\n" + "elif 1:\n pass\n" * 50_000,
    ):
        tree = parse(text)
        assert tree is None or tree.body


def test_long_runs_of_marks_cost_no_more_than_their_length() -> None:
    # Before, a line like these took seconds, and twice the length four times as long; now this ends in a blink, and
    # the test's own time limit would tell.
    for text in (("`" * 9_990 + "a\n") * 50, "".join("`" * run + "x\n" for run in range(3, 1_000))):
        assert extract_code(text) is None or isinstance(extract_code(text), str)
