"""Many instances in one request, in a dialect of ours and in VAGEN's.

Ours: what is done by id, `{"results": {id: …}, "errors": {id: …}}`; an error is told as OpenEnv's WebSocket tells it.
VAGEN's, in vagen.py: `{"ids2seeds"}`, `{"ids2actions"}` and `{"env_ids"}`, of instances that its `POST /environments`
named; a result is `[observation, info]` or `[observation, reward, done, info]`, and one that failed is an episode that
ended, with the error in its info, so that a trainer goes on with the others.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from prismenv.contracts.episode import document_of
from prismenv.engine.host.batch import BatchStep, InstanceBatch
from prismenv.engine.host.named import NamedInstances
from prismenv.server.asking import name_in
from prismenv.server.environments.openenv import error_of
from prismenv.server.refusal import Refusal
from prismenv.words.errors import EnvironmentException
from prismenv.words.jsonkind import json_kind

MOST = 4096  # instances in one request
CALLS = ("reset", "step", "state", "system_prompt", "reward", "close")


class Batches:
    """Its calls are given the tenant, the environment and the body."""

    def __init__(self, instances: NamedInstances) -> None:
        self._instances = instances
        self._calls: Mapping[str, Callable[[InstanceBatch, Mapping[str, Any]], Awaitable[dict[str, Any]]]] = {
            "reset": self._reset,
            "step": self._step,
            "state": lambda batch, body: batch.state(ids_of(body)),
            "system_prompt": lambda batch, body: batch.system_prompt(ids_of(body)),
            "reward": lambda batch, body: batch.compute_reward(ids_of(body)),
            "close": lambda batch, body: batch.close(ids_of(body)),
        }

    async def call(self, kind: str, tenant: str, environment: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One of CALLS, in our dialect."""
        outcomes = await self._calls[kind](InstanceBatch(self._instances, tenant, environment), body)
        results: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for name, outcome in outcomes.items():
            told = document_of(outcome) if kind in ("reset", "step") else outcome
            if isinstance(told, EnvironmentException):
                errors[name] = error_of(told)["data"]
            else:
                results[name] = told
        return {"results": results, "errors": errors}

    async def _reset(self, batch: InstanceBatch, body: Mapping[str, Any]) -> dict[str, Any]:
        resets = by_id(body, "resets")
        for name, options in resets.items():
            if not isinstance(options, dict):
                raise wrong(f"resets.{name:.80}", options, "an object")
        return await batch.reset(resets, request_id_of(body))

    async def _step(self, batch: InstanceBatch, body: Mapping[str, Any]) -> dict[str, Any]:
        steps = {}
        shared = request_id_of(body)
        for name, step in by_id(body, "steps").items():
            if not isinstance(step, dict) or "action" not in step:
                raise wrong(f"steps.{name:.80}", step, 'an object with an "action"')
            steps[name] = BatchStep(step["action"], step.get("timeout_s"), request_id_of(step) or shared)
        return await batch.step(steps)


def by_id(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What is asked for each instance; Refusal for what is no object of names."""
    given = body.get(key)
    if not isinstance(given, dict):
        raise wrong(key, given, "an object by id")
    _check_names(given)
    return given


def ids_of(body: Mapping[str, Any], key: str = "ids") -> list[str]:
    """The instances that are asked for, in order and each once; a number is as its text."""
    given = body.get(key)
    if not isinstance(given, list):
        raise wrong(key, given, "a list of ids")
    names = [str(each) if isinstance(each, int) and not isinstance(each, bool) else each for each in given]
    _check_names(names)
    return list(dict.fromkeys(names))


def _check_names(names: Iterable[Any]) -> None:
    wanted = list(names)
    if len(wanted) > MOST:
        raise Refusal(413, "too_large", f"{len(wanted):,} instances in one request; {MOST:,} at most")
    for name in wanted:
        name_in({"id": name}, "id")


def request_id_of(body: Mapping[str, Any]) -> str | None:
    """The name of what is asked, None: it has none."""
    return name_in(body, "request_id") if body.get("request_id") is not None else None


def wrong(key: str, found: Any, expected: str) -> Refusal:
    """What a client is told whose body is not as it should be."""
    return Refusal(422, "wrong_type", f"{key}: found {json_kind(found)}; expected {expected}")
