"""Which nodes a run can measure, and the policy that chooses among them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from prismenv.contracts.base import BaseEnvironment
from prismenv.contracts.phases import PhasePlan, PhaseRegistration
from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy
from prismenv.contracts.recipe import Recipe, SearchSettings
from prismenv.contracts.searching import phase_registry, policy_registry
from prismenv.engine.guarding import GuardedPolicy
from prismenv.finding.discovery import load_environments
from prismenv.finding.failure import explain
from prismenv.finding.recipes import resolve_cells, resolve_following, resolve_phases
from prismenv.finding.workspace import WorkspaceSet
from prismenv.search.cells import plan_cells
from prismenv.search.phased.kinds import build_followed
from prismenv.words.errors import ConfigurationException, EnvironmentException
from prismenv.words.nearness import did_you_mean
from prismenv.words.nodes import NodeOutcome


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


def find_policy(name: str, workspaces: WorkspaceSet) -> PolicyEntry:
    """The search policy of that name, of a package or a workspace's file; ConfigurationException when unknown.

    The error names the nearest, and the files that are broken: what they would have registered is not known.
    """
    broken = [plugin for plugin in load_environments(workspaces) if plugin.searches and plugin.error is not None]
    policies = policy_registry.table()
    entry = policies.get(name)
    if entry is None:
        raise ConfigurationException(
            f"search.policy: there is no policy {name!r}; there are {', '.join(sorted(policies))}"
            f"{did_you_mean(name, policies)}" + "".join(f"; broken: {plugin.error}" for plugin in broken),
            code="unknown_policy",
            subject=name,
        )
    return entry.entry


def build_policy(
    recipe: Recipe,
    entry: PolicyEntry,
    own: tuple[PlannedNode, ...] | None,
    workspaces: WorkspaceSet,
    reference: tuple[NodeOutcome, ...] = (),
) -> SearchPolicy:
    """The recipe's policy over the environment's `own` nodes, or over those of the recipe's tree for None.

    `reference` are the outcomes of the run that `search.reference` names. The policy is guarded: what it raises
    later is EnvironmentExecutionException.
    """
    context = PolicyContext(own or (), recipe.search, recipe.seed, reference=reference)
    if entry.phased and recipe.search.then:
        raise ConfigurationException(
            f"search.then: the policy {entry.name!r} goes through the phases of its experiment; name them there",
            code="wrong_phases",
            subject="search.then",
        )
    if entry.phased or recipe.search.then:
        phases = resolve_phases(recipe, workspaces) if entry.phased else resolve_following(recipe, workspaces)
        context = replace(context, phases=phases, kinds=_kinds(phases, workspaces))
    if own is None:
        concepts, difficulties = resolve_cells(recipe, workspaces)
        nodes = plan_cells(concepts, difficulties, pairs=recipe.search.pairs)
        context = replace(context, nodes=nodes, concepts=tuple(concepts), difficulties=tuple(difficulties))
    try:
        policy = entry.build(context)
    except EnvironmentException:
        raise
    except (Exception, SystemExit) as error:
        raise _unusable(entry, f"could not be built: {explain(error)}") from error
    if not isinstance(policy, SearchPolicy):
        raise _unusable(entry, f"is {policy!r:.80}; expected a SearchPolicy")
    return GuardedPolicy(build_followed(GuardedPolicy(policy), context) if recipe.search.then else policy)


def _kinds(phases: Sequence[PhasePlan], workspaces: WorkspaceSet) -> Mapping[str, PhaseRegistration]:
    """All phases that there are; ConfigurationException when one of the experiment's is none of them."""
    broken = [plugin for plugin in load_environments(workspaces) if plugin.searches and plugin.error is not None]
    kinds = phase_registry.table()
    for plan in phases:
        if plan.name not in kinds:
            raise ConfigurationException(
                f"phase_sequences: there is no phase {plan.name!r}; there are {', '.join(sorted(kinds))}"
                f"{did_you_mean(plan.name, kinds)}" + "".join(f"; broken: {plugin.error}" for plugin in broken),
                code="unknown_phase",
                subject=plan.name,
            )
    return kinds


def _unusable(entry: PolicyEntry, what: str) -> ConfigurationException:
    return ConfigurationException(
        f"search.policy: the policy {entry.name!r} of {entry.origin} {what}", code="policy_broken", subject=entry.name
    )


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
