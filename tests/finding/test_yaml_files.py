"""Configuration files: what is read is plain data, and what is wrong is said with file, line and key path."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from prismenv.finding.yamlfile import MAX_BYTES, load_yaml, validate
from prismenv.finding.yamltext import MAX_DEPTH, parse_yaml
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import FrozenModel

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


class Inner(FrozenModel):
    repeats: int = Field(default=1, ge=1)
    policy: Literal["grid", "random"] = "grid"
    concepts: tuple[str, ...] | None = None


class Near(FrozenModel):
    type: Literal["local"] = "local"


class Far(FrozenModel):
    type: Literal["http"]
    url: str


class Outer(FrozenModel):
    name: str
    search: Inner = Inner()
    interface: Annotated[Near | Far, Field(discriminator="type")] = Near()
    parts: dict[str, Inner] = Field(default_factory=dict)


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(folder: Path, text: str | bytes) -> ConfigurationException:
    with pytest.raises(ConfigurationException) as caught:
        load_yaml(write(folder, text))
    return caught.value


def complaint(folder: Path, text: str) -> str:
    path = write(folder, text)
    with pytest.raises(ConfigurationException) as caught:
        validate(Outer, load_yaml(path))
    return str(caught.value).replace(str(path), "FILE")


def data_or_place(text: str) -> bool:
    """True where the text is read, or refused with its place."""
    try:
        parse_yaml(text, "text")
    except ConfigurationException as error:
        return str(error).startswith("text:")
    return True


@given(DATA)
def test_what_a_safe_dump_wrote_is_read_back(data: Any) -> None:
    text = yaml.safe_dump(data, sort_keys=False)
    assert parse_yaml(text, "text")[0] == data


@given(DATA)
def test_every_value_has_its_line(data: Any) -> None:
    text = yaml.safe_dump(data)
    lines = parse_yaml(text, "text")[1]

    def look(value: Any, path: tuple[str | int, ...]) -> None:
        assert 1 <= lines[path] <= max(len(text.split("\n")), 1)
        if isinstance(value, dict):
            for key, inner in value.items():
                look(inner, (*path, key))
        if isinstance(value, list):
            for index, inner in enumerate(value):
                look(inner, (*path, index))

    look(data, ())


@given(st.text(max_size=200))
def test_any_text_is_data_or_a_clear_error(text: str) -> None:
    assert data_or_place(text)


@given(st.lists(st.sampled_from(list("[]{}:,-&*!|>#\"' \n\tab1<?%@")), max_size=60).map("".join))
def test_any_run_of_yaml_signs_is_data_or_a_clear_error(text: str) -> None:
    assert data_or_place(text)


def test_an_empty_file_is_nothing(tmp_path: Path) -> None:
    for text in ("", "# only a comment\n", "---\n"):
        assert load_yaml(write(tmp_path, text)).data is None


def test_dates_stay_text_and_keys_are_as_written() -> None:
    assert parse_yaml("a: 2020-01-01\nyes: 1\n2: x\n", "text")[0] == {"a": "2020-01-01", "yes": 1, "2": "x"}


def test_a_merge_takes_what_is_not_there_yet() -> None:
    text = "base: &base {a: 1, b: 2}\nmine:\n  <<: *base\n  b: 3\n"
    assert parse_yaml(text, "text")[0]["mine"] == {"a": 1, "b": 3}


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "x:\n  - {a: 1, b: 2, a: 3}\n", "a: 1\n'a': 2\n"])
def test_a_key_that_stands_twice_is_an_error(tmp_path: Path, text: str) -> None:
    error = refusal(tmp_path, text)
    assert error.code == "duplicate_key"
    assert "'a' stands twice, first in line" in str(error)


def test_the_second_key_is_the_one_that_is_named(tmp_path: Path) -> None:
    assert "file.yaml:3:1: the key 'a' stands twice, first in line 1" in str(refusal(tmp_path, "a: 1\nb: 2\na: 3\n"))


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("a:\n\tb: 1\n", ":2:1:", "not tabs"),
        ("a: b: c\n", ":1:5:", "quotes"),
        ("a: [1, 2\n", ":2:1:", ""),
        ("a: 'open\n", ":2:1:", ""),
        ("a: @home\n", ":1:4:", "quotes"),
        ("a: *nowhere\n", ":1:4:", "anchor"),
        ("a: !!python/object/apply:os.system [x]\n", ":1:4:", "plain data"),
        ("a: !mine 1\n", ":1:4:", "plain data"),
        ("a: .inf\n", ":1:4:", "finite"),
        ("a: !!int x\n", ":1:4:", "int"),
        ("? [a, b]\n: 1\n", ":1:3:", "plain text"),
        ("a: 1\n---\nb: 2\n", ":2:1:", "one"),
        ("a: \x01\n", ":1:4:", ""),
        ("a: &x [*x]\n", ":1:8:", "anchor"),
        ("a: 1\n<<: 3\n", ":2:5:", "merges"),
        ("a: " + "9" * 5000, ":1:4:", "int"),
    ],
)
def test_what_is_no_plain_yaml_is_named_with_its_place(tmp_path: Path, text: str, place: str, hint: str) -> None:
    told = str(refusal(tmp_path, text))
    assert f"file.yaml{place}" in told
    assert hint in told


def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    assert "file.yaml:2: not UTF-8" in str(refusal(tmp_path, b"a: 1\nb: \xff\n"))


def test_deep_nesting_is_an_error_and_no_crash(tmp_path: Path) -> None:
    assert refusal(tmp_path, "[" * 200_000).code == "too_deep"
    assert parse_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH, "text")[0] is not None


def test_aliases_of_aliases_are_counted_in_full(tmp_path: Path) -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert refusal(tmp_path, "\n".join(lines)).code == "too_large"


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    assert refusal(tmp_path, b"#" * (MAX_BYTES + 1)).code == "too_large"


def test_a_file_that_is_not_there_or_a_folder_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.yaml", tmp_path):
        with pytest.raises(ConfigurationException, match="cannot be read"):
            load_yaml(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a\nsearch:\n  polcy: grid\n", "FILE:3: search.polcy: unknown key; did you mean 'policy'?; allowed: "),
        ("name: a\nsearch:\n  policy: gird\n", "FILE:3: search.policy: found 'gird'; expected 'grid' or 'random'"),
        ("name: a\nsearch:\n  policy: gird\n", "did you mean 'grid'?"),
        ("name: a\nsearch: {repeats: 0}\n", "FILE:2: search.repeats: found 0; expected greater than or equal to 1"),
        ("name: a\nsearch: {repeats: often}\n", "search.repeats: found 'often'; expected a valid integer"),
        ("name: a\nsearch: {concepts: loops}\n", "search.concepts: found 'loops'; expected a list"),
        (
            "name: a\nsearch:\n  concepts:\n  - a\n  - 7\n",
            "FILE:5: search.concepts.1: found 7; expected a valid string",
        ),
        ("name: [a]\n", "FILE:1: name: found a list of 1; expected a valid string"),
        ("search: {}\n", "FILE:1: name: missing; expected text"),
        ("name: a\ninterface: {type: htp}\n", "interface: found a mapping of 'type'; expected type 'local', 'http'"),
        ("name: a\ninterface: {type: htp}\n", "did you mean 'http'?"),
        ("name: a\ninterface: {url: x}\n", "expected the key 'type'"),
        ("name: a\ninterface:\n  type: http\n", "FILE:2: interface.url: missing"),
        (
            "name: a\ninterface:\n  type: http\n  url: x\n  ulr: x\n",
            "FILE:5: interface.ulr: unknown key; did you mean 'url'?",
        ),
        ("name: a\nparts:\n  one: {repeat: 1}\n", "FILE:3: parts.one.repeat: unknown key; did you mean 'repeats'?"),
        ("name: a\nparts: 3\n", "FILE:2: parts: found 3; expected a mapping of keys to values"),
        ("- a\n", "FILE:1: the document: found a list of 1; expected a mapping of keys to values"),
        ("", "FILE:1: the document: found nothing; expected a mapping"),
    ],
)
def test_a_wrong_value_is_told_with_file_line_key_found_and_allowed(tmp_path: Path, text: str, told: str) -> None:
    assert told in complaint(tmp_path, text)


def test_every_wrong_value_has_its_line_and_many_are_cut(tmp_path: Path) -> None:
    told = complaint(tmp_path, "name: a\n" + "".join(f"wrong{number}: 1\n" for number in range(30)))
    assert len(told.splitlines()) == 11
    assert told.splitlines()[-1] == "and 20 more"


def test_a_part_of_a_document_keeps_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, "a:\n  b:\n    repeats: 2\n  c:\n    repeats: x\n")
    document = load_yaml(path)
    assert validate(Inner, document, at=("a", "b")).repeats == 2
    with pytest.raises(ConfigurationException, match=r"file.yaml:5: a\.c\.repeats: found 'x'"):
        validate(Inner, document, at=("a", "c"))
    with pytest.raises(ConfigurationException, match=r"file.yaml:1: a\.d: found nothing"):
        validate(Inner, document, at=("a", "d"))


def test_json_may_escape_characters_beyond_16_bits_as_json_does(tmp_path: Path) -> None:
    text = {"face": "\U0001f600", "not one": r"\ud83d\ude00", "slash and face": "\\\U0001f600", "plain": "\u00e9"}
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(text))
    assert load_yaml(path).data == text
