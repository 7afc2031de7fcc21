"""The tree: identity, order, the rule for the limit of concepts, and its JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismenv.search.tree import SearchTree, TreeNode
from prismenv.search.treejson import tree_from_json, tree_to_json
from prismenv.words.errors import ConfigurationException

LEVELS = ("easy", "medium", "hard")
NAMES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True)


def grown(concepts: list[str], limit: int, steps: list[tuple[int, int, int]]) -> SearchTree:
    """A tree after planting and a sequence of steps, each of which names nodes by their place."""
    tree = SearchTree(concepts, LEVELS, max_concepts=limit)
    tree.plant()
    for kind, first, second in steps:
        nodes = list(tree)
        one, other = nodes[first % len(nodes)], nodes[second % len(nodes)]
        if kind == 0:
            tree.harder(one)
        elif kind == 1:
            tree.join(one, other)
        elif not one.variant:
            tree.vary(one, 1 + second % 3, phase=3)
    return tree


TREES = st.builds(
    grown,
    NAMES,
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 99), st.integers(0, 99)), max_size=30),
)


def shape(tree: SearchTree) -> Any:
    return json.loads(json.dumps(tree_to_json(tree)))


@given(TREES)
def test_a_tree_keeps_its_promises_however_it_grew(tree: SearchTree) -> None:
    places = {name: place for place, name in enumerate(tree.concepts)}
    seen: set[tuple[tuple[str, ...], str, int]] = set()
    for node in tree:
        assert 1 <= len(node.concepts) <= tree.max_concepts
        assert list(node.concepts) == sorted(set(node.concepts), key=places.__getitem__)
        assert (node.concepts, node.difficulty, node.variant) not in seen
        seen.add((node.concepts, node.difficulty, node.variant))
        assert all(parent.rank < node.rank and node in parent.children for parent in node.parents)
        assert all(node in child.parents for child in node.children)
        assert node.parents or node.depth == 0
        assert {id(above) for above, _ in tree.above(node)} == ancestors(node) - {id(node)}


def ancestors(node: TreeNode) -> set[int]:
    return {id(node)}.union(*(ancestors(parent) for parent in node.parents))


@given(TREES)
def test_a_tree_comes_back_from_its_json_as_it_was(tree: SearchTree) -> None:
    assert shape(tree_from_json(shape(tree))) == shape(tree)


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_planting_makes_roots_and_all_pairs_one_level_up(count: int) -> None:
    tree = SearchTree([f"c{number}" for number in range(count)], LEVELS)
    assert [node.depth for node in tree.plant()] == [0] * count
    pairs = [node for node in tree if node.parents]
    assert len(pairs) == count * (count - 1) // 2
    assert {(node.difficulty, len(node.parents), node.depth) for node in pairs} <= {("medium", 2, 1)}


def test_a_union_over_the_limit_keeps_the_first_and_takes_the_second_in_order() -> None:
    tree = SearchTree("abcdef", LEVELS, max_concepts=3)
    first, second = tree.add("ef", "easy")[0], tree.add("acd", "easy")[0]
    joined = tree.join(first, second)
    assert joined is not None
    assert joined.concepts == ("a", "e", "f")
    assert tree.join(second, first) is None or second.concepts != ("a", "c", "d")


def test_there_is_no_step_where_nothing_is_harder_and_nothing_to_add() -> None:
    tree = SearchTree("ab", LEVELS)
    top = tree.add("ab", "hard")[0]
    assert tree.harder(top) is None
    assert tree.join(top, tree.add("a", "hard")[0]) is None
    assert len(tree) == 2


@pytest.mark.parametrize(
    ("concepts", "difficulties", "limit"),
    [
        ([], ["e"], 1),
        (["a"], [], 1),
        (["a", "a"], ["e"], 1),
        (["a"], ["e", "e"], 1),
        ([" "], ["e"], 1),
        (["a"], ["e"], 0),
    ],
)
def test_a_tree_of_nothing_or_of_the_same_twice_is_refused(
    concepts: list[str], difficulties: list[str], limit: int
) -> None:
    with pytest.raises(ConfigurationException):
        SearchTree(concepts, difficulties, max_concepts=limit)


def test_what_the_tree_has_not_is_told_with_what_it_has() -> None:
    tree = SearchTree("ab", LEVELS)
    with pytest.raises(ConfigurationException, match="no concept 'c'; it has a, b"):
        tree.add("c", "easy")
    with pytest.raises(ConfigurationException, match="no difficulty 'awful'; it has easy"):
        tree.add("a", "awful")


def published() -> dict[str, Any]:
    """In the shape of PrismBench's `/tree`, with ids as it makes them, and two variants of one node."""

    def node(name: str, concepts: Any, difficulty: str, parents: list[str], children: list[str]) -> dict[str, Any]:
        return {
            "id": name, "difficulty": difficulty, "concepts": concepts, "challenge_description": "",
            "depth": len(parents), "problem_statement": {}, "solution_code": {}, "test_cases": {},
            "problem_fixer": {}, "visits": 2, "successes": 0, "failures": 0, "score": 0, "phase": 1,
            "run_results": [{"success": True, "data_trail": []}], "value": 0.5,
            "parents": parents, "children": children,
        }  # fmt: skip

    nodes = [
        node("u-1", "a", "easy", [], ["u-3", "u-4"]),
        node("u-2", ["b"], "easy", [], ["u-3", "u-4"]),
        node("u-3", ["b", "a"], "medium", ["u-1", "u-2"], []),
        node("u-4", ["a", "b"], "medium", ["u-1", "u-2"], []),
    ]
    return {"nodes": nodes, "concepts": ["a", "b"], "difficulties": list(LEVELS)}


def test_a_tree_of_prismbench_is_read_with_its_results() -> None:
    tree = tree_from_json(published())
    assert [node.node_id for node in tree] == ["a|easy", "b|easy", "a+b|medium", "a+b|medium#1"]
    assert [(node.visits, node.measured, node.value) for node in tree] == [(2, 1, 0.5)] * 4
    assert [parent.node_id for parent in tree["a+b|medium#1"].parents] == ["a|easy", "b|easy"]
    assert set(published()["nodes"][0]) - set(tree_to_json(tree)["nodes"][0]) <= {
        "problem_statement", "solution_code", "test_cases", "problem_fixer", "successes", "failures", "score",
    }  # fmt: skip


def broken(change: Any) -> dict[str, Any]:
    data = published()
    change(data["nodes"])
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda nodes: nodes[2]["parents"].append("u-9"), "'u-3' has a parent 'u-9' that is not there"),
        (lambda nodes: nodes[0]["children"].append("u-9"), "'u-1' has a child 'u-9' that is not there"),
        (lambda nodes: nodes[0]["children"].remove("u-3"), "only one of 'u-1' and its child 'u-3'"),
        (lambda nodes: nodes.append(dict(nodes[0])), "'u-1' stands twice"),
        (lambda nodes: nodes[1].update(difficulty="awful"), "'u-2': the tree has no difficulty 'awful'"),
        (lambda nodes: nodes[1].update(concepts=["c"]), "'u-2': the tree has no concept 'c'"),
        (lambda nodes: nodes[1].update(concepts=[]), r"nodes\.1\.concepts"),
        (lambda nodes: (nodes[2]["children"].append("u-1"), nodes[0]["parents"].append("u-3")), "its own ancestor"),
        (lambda nodes: nodes[1].pop("id"), "'u-3' has a parent 'u-2' that is not there"),
        (lambda nodes: nodes[1].update(concepts=3), r"tree: nodes\.1\.concepts: found 3; expected a list"),
    ],
)
def test_a_tree_file_that_is_wrong_names_the_node(change: Any, message: str) -> None:
    with pytest.raises(ConfigurationException, match=message):
        tree_from_json(broken(change))


def test_a_node_without_edges_needs_no_id_and_what_was_taken_out_of_it_is_null() -> None:
    node = {"concepts": "a", "difficulty": "easy", "run_results": None, "challenge_description": None}
    tree = tree_from_json({"nodes": [node, dict(node)], "concepts": ["a"], "difficulties": ["easy"]})
    assert [(each.node_id, each.results, each.description) for each in tree] == [
        ("a|easy", (), ""),
        ("a|easy#1", (), ""),
    ]


@pytest.mark.parametrize("data", [None, [], {"nodes": 3}, {"nodes": []}])
def test_what_is_no_tree_is_refused(data: Any) -> None:
    with pytest.raises(ConfigurationException):
        tree_from_json(data)
