"""The phases that are built in, those that others registered, and the policy that goes through them."""

import inspect
from collections.abc import Mapping

from prismenv.contracts.phases import PhaseEntry, PhaseRegistration
from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy
from prismenv.search.phased.discovery import ChallengeDiscovery
from prismenv.search.phased.evaluation import ComprehensiveEvaluation
from prismenv.search.phased.following import FollowedPolicy
from prismenv.search.phased.mapping import CapabilityMapping
from prismenv.search.phased.phase import Phase
from prismenv.search.phased.policy import PhasedPolicy
from prismenv.words.errors import RegistryException

BUILT_IN: Mapping[str, type[Phase]] = {
    "phase_1": CapabilityMapping,
    "phase_2": ChallengeDiscovery,
    "phase_3": ComprehensiveEvaluation,
}
PHASES = tuple(PhaseEntry(name, (kind.__doc__ or "").partition("\n")[0], kind) for name, kind in BUILT_IN.items())


def phase_kind(registration: PhaseRegistration) -> type[Phase]:
    """The class of a registered phase; RegistryException where it is not derived from Phase."""
    base = registration.cls or Phase
    if not inspect.isclass(base) or not issubclass(base, Phase):
        raise RegistryException(
            f"{registration.where}: phase {registration.name!r} must be a class derived from prismenv.Phase, "
            f"found {base!r:.80}",
            code="not_a_phase",
            subject=registration.name,
        )
    return type(registration.name, (base,), dict(registration.methods)) if registration.methods else base


def build_prismbench(context: PolicyContext) -> SearchPolicy:
    """PrismBench's search: capability mapping, challenge discovery, comprehensive evaluation, and phases of others.

    The context's `kinds` are all the phases that there are; where there are none, the built-in ones.
    """
    return PhasedPolicy(context, _kinds(context))


def build_followed(first: SearchPolicy, context: PolicyContext) -> SearchPolicy:
    """`first`, and then the context's phases over what it measured."""
    return FollowedPolicy(first, context, _kinds(context))


def _kinds(context: PolicyContext) -> Mapping[str, type[Phase]]:
    named = {plan.name for plan in context.phases}
    own = {name: phase_kind(entry) for name, entry in context.kinds.items() if name in named}
    return {**BUILT_IN, **own}


PRISMBENCH = PolicyEntry(
    "prismbench",
    "Maps abilities, looks for what is hard, and measures that in depth, in the phases of an experiment.",
    build_prismbench,
    phased=True,
    keeps_tree=True,
)
