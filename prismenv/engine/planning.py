"""Which nodes a run can measure, and the policy that chooses among them."""

from collections.abc import Iterable, Mapping, Sequence

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy
from prismenv.contracts.recipe import Recipe, SearchSettings
from prismenv.finding.recipes import resolve_cells
from prismenv.finding.workspace import WorkspaceSet
from prismenv.search.cells import plan_cells
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean


def own_nodes(recipe: Recipe, environment: BaseEnvironment) -> tuple[PlannedNode, ...] | None:
    """The nodes that the environment brings, cut down to the recipe's concepts and difficulties.

    None when it brings none, or when the recipe names a tree.
    """
    planned = environment.planned_nodes()
    if planned is None or recipe.search.tree is not None:
        return None
    search = recipe.search
    _check_known("concepts", search.concepts, (name for node in planned for name in node.concepts))
    _check_known("difficulties", search.difficulties, (node.difficulty for node in planned))
    return tuple(node for node in planned if _wanted(node, search))


def _wanted(node: PlannedNode, search: SearchSettings) -> bool:
    concepts = search.concepts is None or set(node.concepts) <= set(search.concepts)
    return concepts and (search.difficulties is None or node.difficulty in search.difficulties)


def _check_known(key: str, asked: Sequence[str] | None, there: Iterable[str]) -> None:
    known = sorted(set(there))
    for name in asked or ():
        if name not in known:
            raise ConfigurationException(
                f"search.{key}: the environment has no node with {name!r}; it has {', '.join(known) or 'none'}"
                f"{did_you_mean(name, known)}",
                subject=name,
            )


def policy_context(recipe: Recipe, own: tuple[PlannedNode, ...] | None, workspaces: WorkspaceSet) -> PolicyContext:
    """What the recipe's policy is built from: the environment's `own` nodes, or those of the recipe's tree for None."""
    if own is not None:
        return PolicyContext(own, recipe.search, recipe.seed)
    concepts, difficulties = resolve_cells(recipe, workspaces)
    nodes = plan_cells(concepts, difficulties, pairs=recipe.search.pairs)
    return PolicyContext(nodes, recipe.search, recipe.seed, tuple(concepts), tuple(difficulties))


def build_policy(context: PolicyContext, policies: Mapping[str, PolicyEntry]) -> SearchPolicy:
    """The search policy that the settings name; ConfigurationException with the nearest name when unknown."""
    name = context.settings.policy
    entry = policies.get(name)
    if entry is None:
        raise ConfigurationException(
            f"search.policy: there is no policy {name!r}; there are {', '.join(sorted(policies))}"
            f"{did_you_mean(name, policies)}",
            code="unknown_policy",
            subject=name,
        )
    return entry.build(context)


def places_planned(
    recipe: Recipe, own: tuple[PlannedNode, ...] | None, workspaces: WorkspaceSet
) -> tuple[tuple[str, str], ...]:
    """The cells that there are to measure, each once, for a report to say which were not: those of the environment's
    `own` nodes, or the recipe's tree's for None.

    A node of several concepts lies in the cell of their combination, `a + b`, as in the map.
    """
    nodes = plan_cells(*resolve_cells(recipe, workspaces), pairs=recipe.search.pairs) if own is None else own
    places = dict.fromkeys((" + ".join(sorted(set(node.concepts))), node.difficulty) for node in nodes)
    return tuple(places)
