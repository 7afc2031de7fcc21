"""Trees as PrismBench publishes them are reported and compared, and what is no tree is told with its place."""

import json
import os
import pickle
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from prismenv.cli.main import build_app
from prismenv.engine.publishedtree import read_tree
from prismenv.words.errors import ConfigurationException


def attempt(number: int, *, success: bool = False, **facts: Any) -> dict[str, Any]:
    """An attempt with all of PrismBench's keys, as they are published: what was taken out is null."""
    known = dict.fromkeys(("problem_statement", "test_cases", "solution_code", "output", "error_feedback"))
    counts = {"tests_passed_num": 2, "tests_failed_num": 0 if success else 1, "tests_errored_num": 0}
    own = {"test_validation": None, "test_error_analysis": None, "fixed_by_problem_fixer": False}
    return {**known, **counts, **own, "attempt_num": number, "success": success, **facts}


def node(concepts: Any, difficulty: str, *results: dict[str, Any], phase: int = 1) -> dict[str, Any]:
    more = {"id": None, "depth": 0, "visits": 1, "value": 0.4, "children": [], "parents": [], "score": 0}
    return {**more, "concepts": concepts, "difficulty": difficulty, "phase": phase, "run_results": list(results)}


def result(*attempts: dict[str, Any], success: bool) -> dict[str, Any]:
    return {"success": success, "data_trail": list(attempts)}


TREE = {
    "nodes": [
        node(["loops"], "very easy"),
        node("sorting", "very easy", result(attempt(0, success=True), success=True)),
        node(["loops", "sorting"], "easy", result(attempt(0), attempt(1), attempt(2), success=True)),
        node(
            ["loops"], "easy", result(attempt(0), attempt(1, tests_failed_num=-1, tests_errored_num=3), success=False)
        ),
        node(["loops", "sorting"], "easy", result(attempt(0, success=True), attempt(0), success=False), phase=3),
    ],
    "concepts": ["loops", "sorting"],
    "difficulties": ["very easy", "easy"],
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    path = tmp_path / "tree_1.json"
    path.write_text(json.dumps(TREE))
    return path


def call(*words: object) -> Any:
    said = list(map(str, words))
    return CliRunner().invoke(build_app(said), said)


def test_a_published_tree_is_reported_without_any_store(tree: Path) -> None:
    answer = call("report", tree.name)
    text = " ".join(answer.stdout.split())
    assert answer.exit_code == 0
    assert "tree tree_1.json: 5 nodes" in text
    assert "solved 3 of 5" in text  # the last result has two problems
    assert "although none of their attempts did: 1." in text
    assert "never asked for by the search 1 loops, very easy" in text
    form = json.loads(call("report", tree.name, "--json").stdout)
    assert form["failures"] == {"errored": 1, "failed": 1}
    assert [(item["phase"], item["total"]["measured"]) for item in form["phases"]] == [("phase_1", 3), ("phase_3", 2)]
    assert form["contradictions"] == 1
    for style in ("markdown", "csv"):
        assert call("report", tree.name, "--format", style).exit_code == 0
    assert not list(tree.parent.glob(".prismenv"))


def test_trees_are_compared(tree: Path) -> None:
    other = json.loads(json.dumps(TREE))
    other["nodes"][1]["run_results"] = [result(attempt(0), success=False)]
    Path("tree_2.json").write_text(json.dumps(other))
    form = json.loads(call("compare", "tree_1.json", "tree_2.json", "--format", "json").stdout)
    assert form["others"][0]["mode"] == "by_cell"
    assert form["others"][0]["total"]["difference"] < 0
    refused = call("report", "tree_1.json", "tree_2.json")
    assert refused.exit_code == 2
    assert "reported by itself" in refused.stderr


def one_result(result: str) -> str:
    node = f'{{"concepts": "a", "difficulty": "x", "run_results": [{result}]}}'
    return f'{{"nodes": [{node}], "concepts": ["a"], "difficulties": ["x"]}}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "it is no JSON"),
        ("[1]", "the document: found a list of 1; expected a mapping"),
        ("[" * 100_000, "it is no JSON"),
        ("{}", "nodes: missing"),
        ('{"nodes": []}', "concepts: missing"),
        ('{"nodes": [], "concepts": [], "difficulties": ["x"]}', "a tree needs at least one of concepts"),
        ('{"nodes": [3]}', "nodes.0: found 3; expected a mapping"),
        ('{"nodes": [{"concepts": [], "difficulty": "easy"}]}', "nodes.0.concepts: "),
        ('{"nodes": [{"concepts": ["a"], "difficulty": 3}]}', "nodes.0.difficulty: found 3"),
        ('{"nodes": [{"concepts": ["a"], "difficulty": "x", "run_results": 3}]}', "nodes.0.run_results: found 3"),
        (one_result('{"success": "yes"}'), "nodes.0.run_results.0: expected a mapping with `success`"),
        (one_result('{"success": true, "data_trail": [3]}'), "nodes.0.run_results.0.data_trail"),
    ],
)
def test_what_is_no_tree_is_told_with_its_place(tree: Path, text: str, words: str) -> None:
    tree.write_text(text)
    answer = call("report", tree.name)
    assert answer.exit_code == 2
    assert words in answer.stderr


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ({"first": (["third"], [])}, "the node 'first' has a parent 'third' that is not there"),
        ({"first": ([], ["second"]), "second": ([], [])}, "only one of 'first' and its child 'second'"),
        ({"first": (["second"], ["second"]), "second": (["first"], ["first"])}, "'first' is its own ancestor"),
    ],
)
def test_a_tree_whose_edges_are_wrong_is_told_with_the_node_and_not_reported(
    tree: Path, edges: Any, words: str
) -> None:
    linked = [
        {**node(["loops"], "easy"), "id": name, "parents": parents, "children": children}
        for name, (parents, children) in edges.items()
    ]
    tree.write_text(json.dumps({**TREE, "nodes": linked}))
    answer = call("report", tree.name)
    assert answer.exit_code == 2
    assert words in " ".join(answer.stderr.split())


def test_pickles_and_missing_files_are_refused(tree: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tree.parent / "exploded",))

    (tree.parent / "tree.pkl").write_bytes(pickle.dumps(Bomb()))
    answer = call("report", "tree.pkl")
    assert answer.exit_code == 2
    assert "never read" in answer.stderr
    assert not (tree.parent / "exploded").exists()
    assert "there is no such file" in call("report", "nowhere.json").stderr


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["nodes", "concepts", "difficulty", "phase", "run_results", "success", "data_trail", "attempt_num"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_a_tree_or_an_error_in_words(tmp_path_factory: pytest.TempPathFactory, document) -> None:
    path = tmp_path_factory.getbasetemp() / "any_tree.json"
    path.write_text(json.dumps(document))
    with suppress(ConfigurationException):  # anything else would be a fault of ours
        json.dumps(read_tree(path).to_json(), allow_nan=False)


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tree: Path) -> None:
    os.mkfifo("pipe.json")
    for words in (("report", "pipe.json"), ("compare", "pipe.json", tree.name), ("compare", tree.name, "pipe.json")):
        answer = call(*words)
        assert answer.exit_code == 2
        assert "pipe.json: it is no regular file" in answer.stderr
