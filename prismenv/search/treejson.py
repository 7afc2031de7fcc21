"""A tree as JSON: the shape of PrismBench's `/tree`, read and written, with a few keys of our own beside theirs.

Theirs have ids of their own, may hold several nodes of equal concepts and difficulty (variants of their third phase),
and keep results with the nodes. Ids become names on reading, and edges are kept as they are: a parent or child that is
not there, an edge that only one end knows, and a cycle are errors that name the node.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError

from prismenv.search.tree import SearchTree, TreeNode
from prismenv.words.errors import ConfigurationException
from prismenv.words.mapping import MappingModel

_Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class _NodeRecord(MappingModel):
    id: str
    difficulty: str
    concepts: _Names = Field(min_length=1)
    depth: int = Field(default=0, ge=0)
    visits: int = Field(default=0, ge=0)
    value: float = 0.0
    phase: int = 1
    run_results: tuple[Any, ...] = ()
    parents: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    challenge_description: str = ""
    measured: int | None = Field(default=None, ge=0)
    variant: int | None = Field(default=None, ge=0)


class _TreeRecord(MappingModel):
    nodes: tuple[_NodeRecord, ...]
    concepts: tuple[str, ...]
    difficulties: tuple[str, ...]
    max_concepts: int | None = Field(default=None, ge=1)


def tree_to_json(tree: SearchTree) -> dict[str, Any]:
    """The tree as plain JSON; a node's name is its id. `measured`, `variant` and `max_concepts` are ours."""
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
        "parents": [parent.node_id for parent in node.parents],
        "children": [child.node_id for child in node.children],
    }


def tree_from_json(data: Any, where: str = "tree") -> SearchTree:
    """The tree of parsed JSON. `where` begins what is said of what is wrong; ConfigurationException."""
    try:
        record = _TreeRecord.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise _wrong(where, f"{place or 'the whole'}: {first['msg']}") from error
    most = record.max_concepts or max((len(set(node.concepts)) for node in record.nodes), default=1)
    tree = SearchTree(record.concepts, record.difficulties, max_concepts=most)
    nodes = _nodes(tree, record.nodes, where)
    for each in record.nodes:
        _link(each, nodes, where)
    _check(record.nodes, where)
    return tree


def _nodes(tree: SearchTree, records: Sequence[_NodeRecord], where: str) -> dict[str, TreeNode]:
    """The nodes by their own ids, without edges."""
    nodes: dict[str, TreeNode] = {}
    equals: dict[tuple[frozenset[str], str], int] = {}
    for each in records:
        if each.id in nodes:
            raise _wrong(where, f"the node {each.id!r} stands twice")
        key = frozenset(each.concepts), each.difficulty
        variant = equals.get(key, -1) + 1 if each.variant is None else each.variant
        equals[key] = variant
        try:
            node, new = tree.add(each.concepts, each.difficulty, variant=variant, phase=each.phase)
        except ConfigurationException as error:
            raise _wrong(where, f"the node {each.id!r}: {error.message}") from error
        if not new:
            raise _wrong(where, f"the node {each.id!r} is the variant {variant} of {node.node_id!r} a second time")
        node.depth, node.visits, node.value = each.depth, each.visits, each.value
        node.results, node.description = each.run_results, each.challenge_description
        node.measured = len(each.run_results) if each.measured is None else each.measured
        nodes[each.id] = node
    return nodes


def _link(record: _NodeRecord, nodes: Mapping[str, TreeNode], where: str) -> None:
    node = nodes[record.id]
    for kind, ids, place in (("parent", record.parents, node.parents), ("child", record.children, node.children)):
        for other in ids:
            if other not in nodes:
                raise _wrong(where, f"the node {record.id!r} has a {kind} {other!r} that is not there")
            place.append(nodes[other])


def _check(records: Sequence[_NodeRecord], where: str) -> None:
    """Every edge is known to both of its ends, once, and none leads back to where it came from."""
    down = {(record.id, child) for record in records for child in record.children}
    up = {(parent, record.id) for record in records for parent in record.parents}
    for parent, child in sorted(down ^ up):
        raise _wrong(where, f"only one of {parent!r} and its child {child!r} knows of the other")
    if len(down) != sum(len(record.children) for record in records):
        raise _wrong(where, "an edge stands twice")
    waiting = {record.id: len(record.parents) for record in records}
    free = [name for name, count in waiting.items() if not count]
    children = {record.id: record.children for record in records}
    while free:
        name = free.pop()
        del waiting[name]
        for child in children[name]:
            waiting[child] -= 1
            if not waiting[child]:
                free.append(child)
    if waiting:
        raise _wrong(where, f"the node {min(waiting)!r} is its own ancestor, or below one that is")


def _wrong(where: str, what: str) -> ConfigurationException:
    return ConfigurationException(f"{where}: {what}", code="wrong_tree", subject=where)
