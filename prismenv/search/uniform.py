"""Nodes drawn at random, each as likely as any other."""

from prismenv.contracts.plan import PlannedNode
from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy
from prismenv.search.sequence import SequencePolicy
from prismenv.words.seeding import derive_random


def build_uniform(context: PolicyContext) -> SearchPolicy:
    """`search.nodes` draws with replacement; where that is None, as many as a grid would measure.

    The draw at an index depends on the run's seed and the index only, so a resumed run draws the same.
    """
    nodes, settings = context.nodes, context.settings

    def choose(index: int) -> PlannedNode:
        return derive_random(context.seed, "draw", index).choice(nodes)

    total = len(nodes) * settings.repeats if settings.nodes is None else settings.nodes
    return SequencePolicy(context, total, choose)


RANDOM = PolicyEntry("random", "Draws `search.nodes` nodes with replacement, each equally likely.", build_uniform)
