"""Every node, as often as asked, in rounds: a run that stops early has seen each node about equally often."""

from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy
from prismenv.search.sequence import SequencePolicy


def build_grid(context: PolicyContext) -> SearchPolicy:
    """All nodes in canonical order, `repeats` rounds of them, at most `nodes` in all."""
    nodes, settings = context.nodes, context.settings
    everything = len(nodes) * settings.repeats

    def choose(index: int) -> PlannedNode:
        return nodes[index % len(nodes)]

    total = everything if settings.nodes is None else min(settings.nodes, everything)
    return SequencePolicy(context, total, choose)


GRID = PolicyEntry("grid", "Measures every node, `search.repeats` times each.", build_grid)
