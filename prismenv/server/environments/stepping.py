"""OpenEnv over plain HTTP: an episode that is kept between requests.

Without a name a tenant's requests speak of one default instance of the environment; `episode_id`, or the header
`X-Session-ID`, names any other.
"""

from collections.abc import Mapping
from typing import Any

from prismenv.contracts.episode import result_document
from prismenv.engine.host.instance import Instance
from prismenv.engine.host.named import NamedInstances
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.asking import name_in
from prismenv.server.refusal import Refusal
from prismenv.words.errors import EnvironmentExecutionException


class HttpEpisodes:
    """Each of its calls is given the tenant, the environment, the name in the header (empty: none) and the body."""

    def __init__(self, instances: NamedInstances, hosted: HostedEnvironments) -> None:
        self._instances = instances
        self._hosted = hosted

    async def reset(self, tenant: str, environment: str, session: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Begin an episode; what is not ours of the body are the author's options."""
        instance = await self._instances.get_or_open(tenant, environment, _named(session, body))
        return result_document(await instance.reset(body))

    async def step(self, tenant: str, environment: str, session: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One step: `{"action", "timeout_s"?, "request_id"?, "episode_id"?}`."""
        if "action" not in body:
            raise Refusal(422, "wrong_type", "action: it is missing")
        instance = self._there(tenant, environment, _named(session, body))
        request_id = name_in(body, "request_id") if body.get("request_id") is not None else None
        seconds = body.get("timeout_s")
        return result_document(await instance.step(body["action"], seconds, request_id=request_id))

    async def state(self, tenant: str, environment: str, session: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The state; before any reset only `episode_id` and `step_count`."""
        instance = self._instances.find(tenant, environment, _named(session, body))
        return await instance.state() if instance is not None else {"episode_id": None, "step_count": 0}

    def _there(self, tenant: str, environment: str, name: str) -> Instance:
        instance = self._instances.find(tenant, environment, name)
        if instance is None:
            raise EnvironmentExecutionException(
                f"there is no episode of {environment!r} here, or its lease is over: reset begins one",
                code="no_episode",
                subject=environment,
            )
        return instance


def _named(session: str, body: Mapping[str, Any]) -> str:
    """The instance's name, empty for the default one."""
    if session:
        return name_in({"X-Session-ID": session}, "X-Session-ID")
    return name_in(body, "episode_id") if body.get("episode_id") is not None else ""
