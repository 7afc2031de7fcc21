"""The adaptive policy as it is registered; what needs NumPy is imported once it is built."""

from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy


def build_adaptive(context: PolicyContext) -> SearchPolicy:
    """The policy over the context's nodes.

    Raises ConfigurationException where there is no node, or more cells than the model can hold.
    """
    from prismenv.search.adaptive.policy import AdaptivePolicy

    return AdaptivePolicy(context)


ADAPTIVE = PolicyEntry(
    "adaptive", "Asks for what tells most about `search.objective`, by a statistical model of ability.", build_adaptive
)
