"""The boundary around a search policy, which may be somebody else's code.

What it raises, or gives that is none of what the contract says, is told as the policy's own, with the method. So is the
end of the process that a policy asks for (SystemExit): a run that ended so would look like a success.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from prismenv.contracts.abilitymap import MAP, AbilityMap
from prismenv.contracts.policy import SearchPolicy
from prismenv.engine.blocked import door
from prismenv.words.errors import EnvironmentException, EnvironmentExecutionException
from prismenv.words.nodes import NodeOutcome, NodeRequest, wrong_option


class GuardedPolicy(SearchPolicy):
    """Another policy, of which only what the contract allows comes through.

    All methods raise EnvironmentExecutionException with the code `policy_broken` where the policy raises or gives
    anything else; errors of ours pass as they are.
    """

    def __init__(self, policy: SearchPolicy) -> None:
        self._policy = policy

    @door
    def ask(self, most: int) -> Sequence[NodeRequest]:
        """At most `most` requests whose parts have the types that they should have; their indexes are not looked at."""
        with _policys_own("ask"):
            requests = self._policy.ask(most)
        if not isinstance(requests, Sequence) or not all(isinstance(one, NodeRequest) for one in requests):
            raise _broken(f"gave {requests!r:.80}; expected a list of NodeRequest")
        if len(requests) > most:
            raise _broken(f"asked for {len(requests)} nodes where there was room for {most}")
        for request in requests:
            _check(request)
        return requests

    @door
    def tell(self, outcome: NodeOutcome) -> None:
        """Pass one outcome on."""
        with _policys_own("tell"):
            self._policy.tell(outcome)

    @property
    @door
    def finished(self) -> bool:
        with _policys_own("finished"):
            return bool(self._policy.finished)

    @property
    @door
    def total(self) -> int | None:
        with _policys_own("total"):
            total = self._policy.total
        if total is not None and (not _is_whole(total) or total < 0):
            raise _broken(f"gave the total {total!r:.80}; expected a whole number, 0 or more, or None")
        return total

    @property
    @door
    def environments(self) -> Sequence[str]:
        with _policys_own("environments"):
            return tuple(self._policy.environments)

    @door
    def state(self) -> Mapping[str, Any]:
        """What the policy tells of itself; a map that is none is the policy's error."""
        with _policys_own("state"):
            state = self._policy.state()
        if not isinstance(state, Mapping):
            raise _broken(f"gave the state {state!r:.80}; expected a mapping")
        _check_map(state.get(MAP))
        return state

    @door
    def tree_json(self) -> Mapping[str, Any] | None:
        """The tree that the policy searched; None where it keeps none."""
        with _policys_own("tree_json"):
            tree = self._policy.tree_json()
        nodes = tree.get("nodes") if isinstance(tree, Mapping) else None
        if tree is not None and not (isinstance(nodes, Sequence) and all(map(_is_node, nodes))):
            raise _broken(f"gave the tree {tree!r:.80}; expected a mapping with nodes that have ids, or None")
        return tree


def _is_node(found: object) -> bool:
    return isinstance(found, Mapping) and isinstance(found.get("id"), str)


def _check(request: NodeRequest) -> None:
    parts = {
        "index": ("a whole number", _is_whole(request.index)),
        "node_id": ("a name", isinstance(request.node_id, str) and request.node_id != ""),
        "concepts": ("a tuple of names", _are_names(request.concepts)),
        "difficulty": ("a name", isinstance(request.difficulty, str)),
        "seed": ("a whole number", _is_whole(request.seed)),
        "options": ("a mapping", isinstance(request.options, Mapping)),
        "phase": ("a name or None", isinstance(request.phase, str | None)),
        "environment": ("a name or None", isinstance(request.environment, str | None)),
    }
    for part, (expected, right) in parts.items():
        if not right:
            found = getattr(request, part)
            raise _broken(f"gave a request with the {part} {found!r:.80}; expected {expected}")
    if (wrong := wrong_option(request.options)) is not None:
        raise _broken(f"gave a request with {wrong}")


def _check_map(found: object) -> None:
    if found is None:
        return
    try:
        AbilityMap.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise _broken(f"gave a state whose {MAP!r} is no AbilityMap: {key or 'all of it'}: {first['msg']}") from error


def _is_whole(found: object) -> bool:
    return isinstance(found, int) and not isinstance(found, bool)


def _are_names(found: object) -> bool:
    return isinstance(found, tuple | list) and all(isinstance(name, str) for name in found)


def _broken(what: str) -> EnvironmentExecutionException:
    return EnvironmentExecutionException(f"the search policy {what}", code="policy_broken")


@contextmanager
def _policys_own(method: str) -> Iterator[None]:
    try:
        yield
    except EnvironmentException:
        raise
    except (Exception, SystemExit) as error:  # boundary: a policy may be somebody else's code
        raise _broken(f"failed in {method}: {type(error).__name__}: {error}") from error
