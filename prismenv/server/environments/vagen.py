"""Batches as VAGEN's trainers ask for them. See batches.py for what differs from ours.

`POST /environments` names instances: `{"ids2configs": {id: {"env_name", "env_config"}}}`. What stands in `env_config`
is what each reset of that instance is given: a request configures no environment. An action is a policy's text: it is
taken as it is where the environment takes text, else as a JSON object, else as the one field of text that it needs.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import anyio

from prismenv.contracts.episode import document_of
from prismenv.contracts.media import MEDIA_KEY, TEXT_KEY
from prismenv.engine.host.batch import BatchStep, InstanceBatch
from prismenv.engine.host.named import NamedInstances
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.asking import read_object
from prismenv.server.environments.batches import by_id, ids_of, wrong
from prismenv.server.refusal import Refusal
from prismenv.words.errors import ActionException, EnvironmentException, EnvironmentExecutionException

KEYS = ("ids2seeds", "ids2actions", "env_ids")
_ANSWERS = {"reward": "rewards", "system_prompt": "system_prompts"}
_READS: Mapping[str, Any] = {"reward": InstanceBatch.compute_reward, "system_prompt": InstanceBatch.system_prompt}

Outcomes = dict[str, Any]


class VagenBatches:
    """Calls are given the tenant, the body, and the environment of ids that were never named (None: there is none)."""

    def __init__(self, instances: NamedInstances, hosted: HostedEnvironments) -> None:
        self._instances = instances
        self._hosted = hosted
        self._made: dict[tuple[str, str], tuple[str, Mapping[str, Any]]] = {}

    async def make(self, tenant: str, body: Mapping[str, Any], only: str | None) -> dict[str, Any]:
        """Name and make instances: `{"success": true}`, or false and `error`, and none of them made."""
        wanted: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for name, config in by_id(body, "ids2configs").items():
            options = config.get("env_config", {}) if isinstance(config, dict) else None
            environment = config.get("env_name", only) if isinstance(config, dict) else None
            if not isinstance(options, dict) or not isinstance(environment, str):
                raise wrong(f"ids2configs.{name:.80}", config, 'an object with "env_name" and "env_config"')
            self._hosted.require(environment)
            wanted[name] = environment, options
        self._forget_closed()
        for name, (environment, options) in wanted.items():
            self._made[tenant, name] = environment, options
        outcomes = await self._at_each(tenant, wanted, only, lambda batch, names: batch.open(names))
        failed = {name: error for name, error in outcomes.items() if isinstance(error, EnvironmentException)}
        if not failed:
            return {"success": True}
        await self._close(tenant, list(wanted), only)
        told = "; ".join(f"{name}: {error.message}" for name, error in list(failed.items())[:5])
        return {"success": False, "error": told}

    async def call(self, kind: str, tenant: str, body: Mapping[str, Any], only: str | None) -> dict[str, Any]:
        """One of `reset`, `step`, `reward`, `system_prompt` and `close`."""
        if kind == "reset":
            return _results(await self._reset(tenant, by_id(body, "ids2seeds"), only), reset=True)
        if kind == "step":
            return _results(await self._step(tenant, by_id(body, "ids2actions"), only), reset=False)
        names = ids_of(body, "env_ids")
        if kind == "close":
            await self._close(tenant, names, only)
            return {"success": True}
        if kind not in _READS:
            raise Refusal(422, "wrong_type", f"VAGEN has no batches of {kind}: use ids")
        outcomes = await self._at_each(tenant, names, only, _READS[kind])
        nothing: float | str = 0.0 if kind == "reward" else ""
        values = {
            name: nothing if found is None or isinstance(found, EnvironmentException) else found
            for name, found in outcomes.items()
        }
        return {_ANSWERS[kind]: values, "errors": _errors(outcomes)}

    async def _reset(self, tenant: str, seeds: Mapping[str, Any], only: str | None) -> Outcomes:
        def resets(names: list[str]) -> dict[str, dict[str, Any]]:
            return {name: {**self._options(tenant, name), "seed": seeds[name]} for name in names}

        return await self._at_each(tenant, seeds, only, lambda batch, names: batch.reset(resets(names)))

    async def _step(self, tenant: str, actions: Mapping[str, Any], only: str | None) -> Outcomes:
        def steps(names: list[str]) -> dict[str, BatchStep]:
            return {name: BatchStep(self._action(tenant, name, actions[name], only)) for name in names}

        return await self._at_each(tenant, actions, only, lambda batch, names: batch.step(steps(names)))

    async def _close(self, tenant: str, names: list[str], only: str | None) -> None:
        await self._at_each(tenant, names, only, lambda batch, own: batch.close(own))
        for name in names:
            self._made.pop((tenant, name), None)

    def _options(self, tenant: str, name: str) -> Mapping[str, Any]:
        return self._made.get((tenant, name), ("", {}))[1]

    def _environment(self, tenant: str, name: str, only: str | None) -> str | None:
        made = self._made.get((tenant, name))
        return only if made is None else made[0]

    def _action(self, tenant: str, name: str, action: Any, only: str | None) -> Any:
        environment = self._environment(tenant, name, only) or ""
        instance = self._instances.find(tenant, environment, name)
        if not isinstance(action, str) or instance is None or instance.face.types.action is str:
            return action
        try:
            read = read_object(action)  # what is nested too deeply, or no Unicode, is no object here either
        except Refusal:
            read = None
        field = instance.face.types.text_field
        return read if read is not None else {field: action} if field is not None else action

    async def _at_each(self, tenant: str, names: Any, only: str | None, call: Any) -> Outcomes:
        """What `call(batch, names)` gives for all, each in the environment that it was named for."""
        outcomes: Outcomes = {}
        groups: dict[str, list[str]] = defaultdict(list)
        for name in names:
            environment = self._environment(tenant, name, only)
            if environment is None:
                outcomes[name] = EnvironmentExecutionException(
                    f"there is no instance {name!r:.80}: POST /environments names one", code="no_episode"
                )
            else:
                groups[environment].append(name)

        async def run(environment: str, own: list[str]) -> None:
            outcomes.update(await call(InstanceBatch(self._instances, tenant, environment), own))

        async with anyio.create_task_group() as group:
            for environment, own in groups.items():
                group.start_soon(run, environment, own)
        return {name: outcomes[name] for name in names}

    def _forget_closed(self) -> None:
        gone = [key for key, made in self._made.items() if self._instances.find(key[0], made[0], key[1]) is None]
        for key in gone:
            del self._made[key]


def _results(outcomes: Outcomes, *, reset: bool) -> dict[str, Any]:
    documents = {name: document_of(each) for name, each in outcomes.items()}
    results = {
        name: _failed(each, reset=reset) if isinstance(each, EnvironmentException) else _told(each, reset=reset)
        for name, each in documents.items()
    }
    return {"results": results, "errors": _errors(documents)}


def _told(document: Mapping[str, Any], *, reset: bool) -> list[Any]:
    seen = document["observation"]
    shown = seen if isinstance(seen.get(TEXT_KEY), str) else {TEXT_KEY: json.dumps(seen), **seen}
    info = {"metrics": {"turn_metrics": {}, "traj_metrics": {}}, **document.get("metadata", {})}
    observation = {**shown, MEDIA_KEY: _images(shown.get(MEDIA_KEY) or {})}
    return [observation, info] if reset else [observation, document["reward"] or 0.0, document["done"], info]


def _images(media: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Images as its clients read them."""
    return {placeholder: [_image(each) for each in items] for placeholder, items in media.items()}


def _image(item: Any) -> Any:
    image = isinstance(item, dict) and str(item.get("media_type", "")).startswith("image/") and "base64" in item
    return {"__pil_image__": item["base64"]} if image else item


def _failed(error: EnvironmentException, *, reset: bool) -> list[Any]:
    observation = {TEXT_KEY: f"Error: {error.message}", MEDIA_KEY: {}}
    turn = {"action_is_valid": False, "action_is_effective": False}
    info = {"error": error.message, "code": error.code, "metrics": {"turn_metrics": turn, "traj_metrics": {}}}
    return [observation, info] if reset else [observation, 0.0, not isinstance(error, ActionException), info]


def _errors(outcomes: Mapping[str, Any]) -> dict[str, str]:
    return {name: each.message for name, each in outcomes.items() if isinstance(each, EnvironmentException)}
