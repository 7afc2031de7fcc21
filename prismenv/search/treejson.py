"""A tree as JSON: the shape of PrismBench's `/tree`, read and written, with a few keys of our own beside theirs.

Theirs have ids of their own, may hold several nodes of equal concepts and difficulty (variants of their third phase),
and keep results with the nodes. Ids become names on reading, and edges are kept as they are: a parent or child that is
not there, an edge that only one end knows, and a cycle are errors that name the node. A node without an id, in a file
written for its results alone, has no edges and is named by its place.
"""

import gc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from prismenv.finding.complaints import complaints, labelled
from prismenv.search.tree import SearchTree, TreeNode
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import MappingModel

_Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
# Published trees were worked over by hand, and what was taken out of a node is null.
_Results = Annotated[tuple[Any, ...], BeforeValidator(lambda value: () if value is None else value)]
_Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]


class _NodeRecord(MappingModel):
    id: str | None = None
    difficulty: str
    concepts: _Names = Field(min_length=1)
    depth: int = Field(default=0, ge=0)
    visits: int = Field(default=0, ge=0)
    value: float = 0.0
    phase: int = 1
    run_results: _Results = ()
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    challenge_description: _Text = ""
    measured: int | None = Field(default=None, ge=0)
    variant: int | None = Field(default=None, ge=0)
    left_out: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)


class _TreeRecord(MappingModel):
    nodes: tuple[_NodeRecord, ...]
    concepts: tuple[str, ...]
    difficulties: tuple[str, ...]
    max_concepts: int | None = Field(default=None, ge=1)


def tree_to_json(tree: SearchTree) -> dict[str, Any]:
    """The tree as plain JSON; a node's name is its id. `measured`, `variant`, `left_out`, `max_concepts` are ours."""
    return {
        "nodes": [_node_json(node) for node in tree],
        "concepts": list(tree.concepts),
        "difficulties": list(tree.difficulties),
        "max_concepts": tree.max_concepts,
    }


def _node_json(node: TreeNode) -> dict[str, Any]:
    return {
        "id": node.node_id,
        "difficulty": node.difficulty,
        "concepts": list(node.concepts),
        "challenge_description": node.description,
        "depth": node.depth,
        "visits": node.visits,
        "value": node.value,
        "measured": node.measured,
        "variant": node.variant,
        "phase": node.phase,
        "run_results": list(node.results),
        "left_out": dict(node.left_out),
        "parents": [parent.node_id for parent in node.parents],
        "children": [child.node_id for child in node.children],
    }


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for garbage: all that is made while a tree is read stays, and looking through it again and
    again takes as long as the rest.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def tree_from_json(data: Any, where: str = "tree") -> SearchTree:
    """The tree of parsed JSON. `where` begins what is said of what is wrong; ConfigurationException."""
    with uncollected():
        return _tree_of(data, where)


def _tree_of(data: Any, where: str) -> SearchTree:
    try:
        record = _TreeRecord.model_validate(data)
    except ValidationError as error:
        path, what = complaints(error, _TreeRecord, data)[0]
        raise _wrong(labelled(where, path), what) from error
    most = record.max_concepts or max((len(set(node.concepts)) for node in record.nodes), default=1)
    try:
        tree = SearchTree(record.concepts, record.difficulties, max_concepts=most)
    except ConfigurationException as error:
        raise _wrong(where, error.message) from error
    named = {each.id or f"nodes.{place}": each for place, each in enumerate(record.nodes)}
    if len(named) < len(record.nodes):
        raise _wrong(where, f"the node {_twice(record.nodes)!r} stands twice")
    nodes = _nodes(tree, named, where)
    for name, each in named.items():
        _link(name, each, nodes, where)
    _check(named, where)
    return tree


def _twice(records: Sequence[_NodeRecord]) -> str | None:
    return Counter(each.id for each in records if each.id is not None).most_common(1)[0][0]


def _nodes(tree: SearchTree, records: Mapping[str, _NodeRecord], where: str) -> dict[str, TreeNode]:
    """The nodes by their own ids, without edges."""
    nodes: dict[str, TreeNode] = {}
    equals: dict[tuple[frozenset[str], str], int] = {}
    for name, each in records.items():
        key = frozenset(each.concepts), each.difficulty
        variant = equals.get(key, -1) + 1 if each.variant is None else each.variant
        equals[key] = variant
        try:
            node, new = tree.add(each.concepts, each.difficulty, variant=variant, phase=each.phase)
        except ConfigurationException as error:
            raise _wrong(where, f"the node {name!r}: {error.message}") from error
        if not new:
            raise _wrong(where, f"the node {name!r} is the variant {variant} of {node.node_id!r} a second time")
        node.depth, node.visits, node.value = each.depth, each.visits, each.value
        node.results, node.description = each.run_results, each.challenge_description
        node.left_out = each.left_out
        node.measured = len(each.run_results) if each.measured is None else each.measured
        nodes[name] = node
    return nodes


def _link(name: str, record: _NodeRecord, nodes: Mapping[str, TreeNode], where: str) -> None:
    node = nodes[name]
    for kind, ids, place in (("parent", record.parents, node.parents), ("child", record.children, node.children)):
        for other in ids:
            if other not in nodes:
                raise _wrong(where, f"the node {name!r} has a {kind} {other!r} that is not there")
            place.append(nodes[other])


def _check(records: Mapping[str, _NodeRecord], where: str) -> None:
    """Every edge is known to both of its ends, once, and none leads back to where it came from."""
    down = {(name, child) for name, record in records.items() for child in record.children}
    up = {(parent, name) for name, record in records.items() for parent in record.parents}
    for parent, child in sorted(down ^ up):
        raise _wrong(where, f"only one of {parent!r} and its child {child!r} knows of the other")
    if len(down) != sum(len(record.children) for record in records.values()):
        raise _wrong(where, "an edge stands twice")
    waiting = {name: len(record.parents) for name, record in records.items()}
    free = [name for name, count in waiting.items() if not count]
    while free:
        name = free.pop()
        del waiting[name]
        for child in records[name].children:
            waiting[child] -= 1
            if not waiting[child]:
                free.append(child)
    if waiting:
        raise _wrong(where, f"the node {min(waiting)!r} is its own ancestor, or below one that is")


def _wrong(where: str, what: str) -> ConfigurationException:
    return ConfigurationException(f"{where}: {what}", code="wrong_tree", subject=where)
