"""The kind of isolation that a Docker engine gives: warm containers, two for each worker.

As everywhere, one is told of tests and one of solutions alone; each judged run has a fresh process in one or both, and
between two runs a container is emptied (see sandbox/guests/container_agent.py). What a container is held to is in
container.py.
"""

import os
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread

from prismenv.contracts.recipe import DockerSettings
from prismenv.isolation.base import GuestSandbox
from prismenv.isolation.bridge import bridges
from prismenv.isolation.bundle import chunk
from prismenv.isolation.calls import GuestCall
from prismenv.isolation.container import LABEL, ContainerLostError
from prismenv.isolation.containershed import ContainerShed, ImageTools, image_word
from prismenv.isolation.engine import Engine, socket_path
from prismenv.isolation.errand import all_in_threads
from prismenv.isolation.kit import HARNESS, LanguageKit
from prismenv.isolation.language import Role
from prismenv.isolation.launch import Ending, StopSignal
from prismenv.isolation.sessionkeeper import SessionKeeper, StartedSession
from prismenv.isolation.supervisor import Supervisor
from prismenv.isolation.toolchain import find_toolchain
from prismenv.isolation.watched import Watched
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.limits import Limits
from prismenv.words.verdict import DEFAULT_VERDICT, Isolation, VerdictMode

T = TypeVar("T")


class DockerSandbox(GuestSandbox):
    """Runs each judgement in containers of the engine and image that `docker` names.

    Languages are those whose tools an image has: `docker.images` names it, else `docker.image` is looked at when a
    language is first asked for. It knows no packages: ConfigurationException for them. SandboxException on entering
    where there is no engine on this machine, it has no such image, or the image has not this Python.
    """

    isolation: Isolation = "docker"

    def __init__(  # noqa: PLR0913 - what every kind has, and where the engine is
        self,
        workers: int,
        ceiling: Limits | None = None,
        *,
        docker: DockerSettings | None = None,
        limits: Mapping[str, Any] | None = None,
        verdict: VerdictMode = DEFAULT_VERDICT,
        folder: Path | None = None,
        packages: Sequence[str] = (),
        languages: Sequence[Path] = (),
        sessions: SessionKeeper | None = None,
    ) -> None:
        if packages:
            raise ConfigurationException(
                f"docker isolation offers no packages to the code, found {', '.join(packages)}",
                subject=packages[0],
                hint="Take sandbox.packages out, or use another isolation: full, unprivileged.",
            ).at("sandbox", "packages")
        super().__init__(
            workers, ceiling, limits=limits, verdict=verdict, folder=folder, languages=languages, sessions=sessions
        )
        settings = docker or DockerSettings()
        self._engine = Engine(socket_path(settings.socket, os.environ))
        self._shed = ContainerShed(self._engine, settings, self._shelf_of_languages, self._new_place)
        self._kits: dict[str, LanguageKit] = {}
        self._idle: deque[int] = deque()  # numbers of places whose containers nobody uses

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._looking = anyio.Lock()
        try:
            await anyio.to_thread.run_sync(self._look)
            await self._start_workers()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sessions.close()
        workers = self._shed.emptied()
        self._idle.clear()
        self._kits.clear()
        with anyio.CancelScope(shield=True):
            await all_in_threads([worker.close for worker in workers])
        await super().__aexit__()

    def _look(self) -> None:
        """Whether the engine and the image are there; what others left behind is removed."""
        self._engine.require_image(self._shed.image(HARNESS))
        for container in self._engine.ended(LABEL):
            self._engine.remove(container)

    async def _start_workers(self) -> None:
        kit = self._language(HARNESS)
        roles: tuple[Role, ...] = ("judge", "run")  # one of each side
        workers = [self._shed.worker(number, kit, role) for number in range(self.workers) for role in roles]
        failed = await all_in_threads([worker.container for worker in workers])
        if failed:
            raise failed[0]
        self._idle.extend(range(self.workers))

    def _new_place(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="container-", dir=self._open_root()))

    async def _kit(self, name: str) -> LanguageKit:
        """The language with its tools as its image has them: a container is started to see."""
        if name == HARNESS:
            return self._language(name)
        self._open_root()
        async with self._looking:
            if name not in self._kits:
                bare = self._shelf_of_languages.bare_kit(name)
                async with self._places:
                    self._kits[name] = await self._with_place(
                        lambda number: anyio.to_thread.run_sync(self._fitted, number, bare)
                    )
            return self._kits[name]

    def _fitted(self, number: int, bare: LanguageKit) -> LanguageKit:
        name = bare.profile.language
        image = self._shed.image(name)
        self._engine.require_image(image)
        tools = ImageTools(self._shed.worker(number, bare, "run").container(), name, image)
        return replace(bare, chain=find_toolchain(bare.profile, tools))

    async def _launch(self, kit: LanguageKit, calls: Sequence[GuestCall], limits: Limits) -> Ending:
        return await self._with_place(lambda number: self._in_thread(partial(self._run, number, kit, calls, limits)))

    async def _with_place(self, use: Callable[[int], Awaitable[T]]) -> T:
        """Use the containers of a place that nobody else uses meanwhile. There is one for each worker."""
        number = self._idle.popleft()
        try:
            return await use(number)
        finally:
            self._idle.append(number)

    def _start_session(self, kit: LanguageKit, nonce: str, limits: Limits) -> StartedSession:
        message = chunk({"nonce": nonce, "limits": limits.model_dump(), "marker": 0, "alone": True})
        return StartedSession(self._shed.session(kit, limits), (kit.bundles["session"].chunk, message))

    def _run(
        self, number: int, kit: LanguageKit, calls: Sequence[GuestCall], limits: Limits, stop: StopSignal
    ) -> Ending:
        watched = []
        with ExitStack() as held:
            try:
                with bridges(len(calls)) as ends:
                    for call, end in zip(calls, ends, strict=True):
                        worker = self._shed.worker(number, kit, call.role)
                        given = call.handed if end is None else end
                        guest = worker.guest(limits, given, streams_apart=call.role == "run")
                        held.enter_context(closing(guest))
                        payload = {**call.payload, "limits": limits.model_dump(), "marker": 0}
                        if "command" in payload:
                            payload["command"] = [image_word(word, guest.python) for word in payload["command"]]
                        chunks = (kit.bundles[call.role].chunk, chunk(payload))
                        watched.append(Watched(guest, chunks, call.conversation))
            except (ContainerLostError, SandboxException, OSError) as error:
                return Ending(message=f"the sandbox could not work: {error}")
            return Supervisor(watched, limits, stop).run()


def engine_state(environ: Mapping[str, str]) -> str:
    """What doctor shows: `ok`, or why docker isolation is not to be had. Nothing is started."""
    try:
        engine = Engine(socket_path(None, environ))
        engine.version()
        engine.require_image(DockerSettings().image)
    except (SandboxException, ConfigurationException) as error:
        return str(error).replace("\n", " ")
    return "ok"
