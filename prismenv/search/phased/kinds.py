"""The phases that are built in, and the policy that goes through them."""

from collections.abc import Callable

from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy
from prismenv.search.phased.discovery import ChallengeDiscovery
from prismenv.search.phased.evaluation import ComprehensiveEvaluation
from prismenv.search.phased.mapping import CapabilityMapping
from prismenv.search.phased.phase import Phase, PhaseSetup
from prismenv.search.phased.policy import PhasedPolicy

BUILT_IN: dict[str, Callable[[PhaseSetup], Phase]] = {
    "phase_1": CapabilityMapping,
    "phase_2": ChallengeDiscovery,
    "phase_3": ComprehensiveEvaluation,
}


def build_prismbench(context: PolicyContext) -> SearchPolicy:
    """PrismBench's search: capability mapping, challenge discovery, comprehensive evaluation."""
    return PhasedPolicy(context, BUILT_IN)


PRISMBENCH = PolicyEntry(
    "prismbench",
    "Maps abilities, looks for what is hard, and measures that in depth, in the phases of an experiment.",
    build_prismbench,
    phased=True,
)
