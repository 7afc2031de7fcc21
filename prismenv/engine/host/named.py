"""Instances that are addressed by a name, for callers without a connection of their own.

Such a caller says when an episode begins, and never that it is done with it. So one whose episode is over stays for its
lease, unless its tenant needs the place: then the one that was unused for longest makes room.
"""

from prismenv.contracts.turn import Turn
from prismenv.engine.host.host import EnvironmentHost
from prismenv.engine.host.instance import Instance

Key = tuple[str, str, str]  # tenant, environment, name; an empty name is the tenant's default instance


class NamedInstances:
    """The instances of a host that have names. One that lost its lease is not there any more."""

    def __init__(self, host: EnvironmentHost) -> None:
        self._host = host
        self._known: dict[Key, Instance] = {}
        self._opening: dict[Key, Turn] = {}

    def find(self, tenant: str, environment: str, name: str) -> Instance | None:
        """The instance of that name; None where there is none."""
        return self._known.get((tenant, environment, name))

    async def get_or_open(self, tenant: str, environment: str, name: str) -> Instance:
        """The instance of that name, made where there is none; raises what EnvironmentHost.open raises."""
        key = (tenant, environment, name)
        turn = self._opening.setdefault(key, Turn())
        try:
            async with turn:
                if key not in self._known:
                    if not self._host.has_room(tenant):
                        await self._make_room(tenant)
                    instance = await self._host.open(environment, tenant)
                    instance.on_close = lambda _why: self._forget(key, instance)
                    self._known[key] = instance
                return self._known[key]
        finally:
            if not turn.is_taken():
                self._opening.pop(key, None)

    async def close(self, tenant: str, environment: str, name: str) -> None:
        """Let go of the instance of that name, if there is one."""
        instance = self.find(tenant, environment, name)
        if instance is not None:
            await self._host.release(instance)

    async def _make_room(self, tenant: str) -> None:
        idle = [each for key, each in self._known.items() if key[0] == tenant and each.idle]
        if idle:
            await self._host.release(
                min(idle, key=lambda each: each.used_at), "its episode was over, and its place needed"
            )

    def _forget(self, key: Key, instance: Instance) -> None:
        if self._known.get(key) is instance:
            del self._known[key]
