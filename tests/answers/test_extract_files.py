"""Several files out of an answer: which block is which file, and which of them is the entry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv import FileSet, extract_code, extract_files

MAIN, RATES = "from .rates import rate\n", "def rate(c): return 1\n"
LABELS = [
    '```python title="{}"',
    "```python title='{}' linenums",
    "```python file={}",
    "```python {}",
    "```python:{}",
    "```{}",
    "**{}**\n\n```python",
    "### {}\n```python",
    "#### 2. `{}`\n\n```py",
    "File: {}\n```",
    "**File: `{}`**\n```python",
    "`{}` (new):\n```python",
    "1. **{}**:\n```python",
    "And then create `{}` with the table:\n\n```python",
    "```python\n# {}",
    "```python\n# File: {}",
    "```python\n# ./{}",
]


def answer(*files: tuple[str, str], label: str = LABELS[0]) -> str:
    return "Sure, here it is.\n\n" + "\n\n".join(f"{label.format(path)}\n{text}```" for path, text in files) + "\nDone."


@pytest.mark.parametrize("label", LABELS)
def test_a_block_says_which_file_it_is(label: str) -> None:
    found = extract_files(answer(("bank/main.py", MAIN), ("bank/rates.py", RATES), label=label), entry="bank/main.py")
    assert found is not None
    assert (found.main, list(found.files)) == ("bank/main.py", ["bank/main.py", "bank/rates.py"])
    comment = f"{label.partition(chr(10))[2].format('bank/rates.py')}\n" if "```python\n#" in label else ""
    assert found.files["bank/rates.py"] == comment + RATES


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 1\n```\n\n```python\ny = 2\n```",
        answer(("bank/main.py", MAIN)),
        answer(("solution.py", MAIN), ("test_solution.py", RATES)),
        answer(("solution.py", MAIN), ("tests/test_it.py", RATES), ("conftest.py", "")),
        answer(("../main.py", MAIN), ("../rates.py", RATES)),
        answer(("/etc/main.py", MAIN), ("/etc/rates.py", RATES)),
        answer(("a.py", MAIN), ("A.py", RATES)),
        answer(("a.json", "{}\n"), ("b.json", "{}\n")),
        f"def f():\n    '''\n{answer(('a.py', MAIN), ('b.py', RATES))}\n    '''\n",
        "Use `main.py` and `rates.py` as you like.",
        "",
    ],
)
def test_what_is_no_solution_of_several_files_is_left_to_others(text: str) -> None:
    assert extract_files(text) is None


def test_the_later_block_of_a_file_counts_and_tests_are_left_out() -> None:
    text = answer(("main.py", "x = 1\n"), ("rates.py", RATES), ("test_main.py", "no\n"), ("main.py", "x = 2\n"))
    found = extract_files(text)
    assert found is not None
    assert dict(found.files) == {"main.py": "x = 2\n", "rates.py": RATES}


def test_thoughts_are_no_files() -> None:
    thought = answer(("main.py", "x = 1\n"), ("rates.py", RATES))
    assert extract_files(f"<think>{thought}</think>\n```python\nx = 2\n```") is None


@pytest.mark.parametrize(
    ("names", "entry", "main"),
    [
        (["b.py", "a.py"], "a.py", "a.py"),
        (["b.py", "a.py"], None, "b.py"),
        (["b.py", "a.py"], "missing.py", "b.py"),
        (["b.py", "main.py"], None, "main.py"),
        (["data.json", "a.py"], None, "a.py"),
    ],
)
def test_the_entry_is_the_named_one_else_a_usual_one_else_the_first(
    names: list[str], entry: str | None, main: str
) -> None:
    found = extract_files(answer(*((name, "x = 1\n") for name in names)), entry=entry)
    assert found is not None
    assert found.main == main


def test_files_that_are_there_are_joined_by_those_of_the_answer() -> None:
    there = {"rates.py": RATES, "main.py": "old\n"}
    found = extract_files(answer(("main.py", MAIN)), entry="main.py", given=there)
    assert found == FileSet(files={"main.py": MAIN, "rates.py": RATES}, entry="main.py")
    assert extract_files("```python\nx = 1\n```", entry="main.py", given=there) is None


texts = st.text("ab`~#'\"\\ {}é\n", max_size=60).map(lambda text: text.rstrip("\n ") + "\n")
names = st.sampled_from(["main.py", "app.py", "pkg/__init__.py", "pkg/other.py", "data/rates.json", "notes.txt"])


@given(st.dictionaries(names, texts.filter(str.strip), min_size=2), st.data())
def test_a_listing_is_read_back(files: dict[str, str], data: st.DataObject) -> None:
    modules = sorted(path for path in files if path.endswith(".py"))
    if not modules:
        return
    whole = FileSet(files=files, entry=data.draw(st.sampled_from(modules)))
    found = extract_files(f"Here:\n\n{whole.listing()}\n\nThat is all.")
    assert found is not None
    assert (dict(found.files), found.main) == (dict(whole.files), whole.main)


@given(st.text('`#~ab./py\n"=: *', max_size=200))
def test_any_text_is_taken(text: str) -> None:
    found = extract_files(text)
    assert found is None or len(found.files) > 1
    extract_code(text)
