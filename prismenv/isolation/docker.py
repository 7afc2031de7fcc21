"""The kind of isolation that a Docker engine gives: warm containers, two for each worker.

As everywhere, one is told of tests and one of solutions alone; each judged run has a fresh process in one or both, and
between two runs a container is emptied (see sandbox/guests/container_agent.py). What a container is held to is in
container.py.
"""

import os
import platform
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread

from prismenv.contracts.recipe import DockerSettings
from prismenv.isolation.base import GuestSandbox
from prismenv.isolation.bridge import bridges
from prismenv.isolation.bundle import boot, chunk
from prismenv.isolation.calls import GuestCall
from prismenv.isolation.container import LABEL, Container, ContainerDesign, ContainerGuest, ContainerLostError
from prismenv.isolation.engine import Engine, socket_path
from prismenv.isolation.kit import LanguageKit
from prismenv.isolation.language import SIDE_OF, base_interpreter
from prismenv.isolation.launch import Ending, StopSignal
from prismenv.isolation.seccomp import filter_programs, load_profile
from prismenv.isolation.supervisor import Supervisor
from prismenv.isolation.watched import Watched
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.limits import Limits
from prismenv.words.verdict import DEFAULT_VERDICT, Isolation, VerdictMode

TRIES = 2
SPARE_BYTES = 2**20  # for what a guest itself writes


class ContainerWorker:
    """A place for one container, which is made again when it is lost. A thread at a time uses it."""

    def __init__(self, engine: Engine, design: ContainerDesign, place: Path, limits: Limits) -> None:
        self._make = partial(Container, engine, design, place)
        self._limits = limits
        self._container: Container | None = None

    def container(self) -> Container:
        """One that serves. SandboxException when none can be started."""
        if self._container is not None and self._container.dead:
            self.close()
        if self._container is None:
            made = self._make()
            made.start(self._limits)
            self._container = made
        return self._container

    def guest(self, limits: Limits, bridge: int | None, *, streams_apart: bool) -> ContainerGuest:
        """A run; a container that turns out to be lost is made again. ContainerLostError in the end."""
        for _ in range(TRIES - 1):
            try:
                return ContainerGuest(self.container(), limits, bridge, streams_apart=streams_apart)
            except ContainerLostError:
                continue
        return ContainerGuest(self.container(), limits, bridge, streams_apart=streams_apart)

    def close(self) -> None:
        """End the container."""
        container, self._container = self._container, None
        if container is not None:
            container.close()


class DockerSandbox(GuestSandbox):
    """Runs each judgement in containers of the engine and image that `docker` names.

    It knows Python alone, and no packages: ConfigurationException for others. SandboxException on entering where there
    is no engine on this machine, it has no such image, or the image has not this Python.
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
    ) -> None:
        if packages:
            raise ConfigurationException(
                f"docker isolation offers no packages to the code, found {', '.join(packages)}",
                subject=packages[0],
                hint="Take sandbox.packages out, or use another isolation: full, unprivileged.",
            ).at("sandbox", "packages")
        super().__init__(workers, ceiling, limits=limits, verdict=verdict, folder=folder)
        self._docker = docker or DockerSettings()
        self._engine = Engine(socket_path(self._docker.socket, os.environ))
        self._idle: deque[tuple[ContainerWorker, ContainerWorker]] = deque()
        self._all: list[ContainerWorker] = []

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await anyio.to_thread.run_sync(self._look)
            await self._start_workers()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        workers, self._all = self._all, []
        self._idle.clear()
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as group:
                for worker in workers:
                    group.start_soon(_in_own_thread, worker.close)
        await super().__aexit__()

    def _look(self) -> None:
        """Whether the engine and the image are there; what others left behind is removed."""
        self._engine.require_image(self._docker.image)
        for container in self._engine.ended(LABEL):
            self._engine.remove(container)

    async def _start_workers(self) -> None:
        kit = self._language("python")
        design = self._design(kit)
        for _ in range(self.workers):
            pair = [ContainerWorker(self._engine, design, self._new_place(), kit.limits) for _ in range(2)]
            self._all += pair
            self._idle.append((pair[0], pair[1]))
        failed: list[SandboxException] = []

        async def start(worker: ContainerWorker) -> None:
            try:
                await _in_own_thread(worker.container)
            except SandboxException as error:
                failed.append(error)

        async with anyio.create_task_group() as group:
            for worker in self._all:
                group.start_soon(start, worker)
        if failed:
            raise failed[0]

    def _design(self, kit: LanguageKit) -> ContainerDesign:
        command = [_named(word, "{python}") for word in kit.profile.filled(kit.guest.start, boot=boot(None))]
        settings, calls = self._docker, load_profile(kit.profile.seccomp, self._folder / "seccomp")
        filters = filter_programs(calls, platform.machine())
        return ContainerDesign(
            image=settings.image,
            python=settings.python,
            user=settings.user,
            cpus=settings.cpus,
            file_bytes=kit.limits.file_bytes + SPARE_BYTES,
            agent=(self._folder / "guests" / "container_agent.py").read_text(encoding="utf-8"),
            command=command,
            environment={**kit.guest_environment, "HOME": "/tmp", "TMPDIR": "/tmp"},  # noqa: S108 - the container's
            filters=(filters.lasting, filters.own),
            start_seconds=settings.start_seconds,
        )

    def _new_place(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="container-", dir=self._open_root()))

    def _language(self, name: str) -> LanguageKit:
        if name != "python":
            raise ConfigurationException(
                f"docker isolation judges Python alone, not {name!r:.80}",
                code="no_docker_language",
                subject=name[:80],
                hint="Use another isolation for it: full, unprivileged.",
            )
        return super()._language(name)

    async def _launch(self, kit: LanguageKit, calls: Sequence[GuestCall], limits: Limits) -> Ending:
        pair = self._idle.popleft()
        try:
            return await self._in_thread(partial(self._run, pair, kit, calls, limits))
        finally:
            self._idle.append(pair)

    def _run(
        self,
        pair: tuple[ContainerWorker, ContainerWorker],
        kit: LanguageKit,
        calls: Sequence[GuestCall],
        limits: Limits,
        stop: StopSignal,
    ) -> Ending:
        watched = []
        with ExitStack() as held:
            try:
                with bridges(len(calls)) as ends:
                    for call, end in zip(calls, ends, strict=True):
                        worker = pair[0] if SIDE_OF[call.role] == "judge" else pair[1]
                        guest = worker.guest(limits, end, streams_apart=call.role == "run")
                        held.enter_context(closing(guest))
                        payload = {**call.payload, "limits": limits.model_dump(), "marker": 0}
                        if "command" in payload:
                            payload["command"] = [_named(word, guest.python) for word in payload["command"]]
                        chunks = (kit.bundles[call.role].chunk, chunk(payload))
                        watched.append(Watched(guest, chunks, call.conversation))
            except (ContainerLostError, SandboxException, OSError) as error:
                return Ending(message=f"the sandbox could not work: {error}")
            return Supervisor(watched, limits, stop).run()


def _named(word: str, python: str) -> str:
    """A word of a command: the interpreter is the image's, whatever it is called there."""
    return python if word == base_interpreter() else word


async def _in_own_thread(work: Any) -> None:
    await anyio.to_thread.run_sync(work, limiter=anyio.CapacityLimiter(1))


def engine_state(environ: Mapping[str, str]) -> str:
    """What doctor shows: `ok`, or why docker isolation is not to be had. Nothing is started."""
    try:
        engine = Engine(socket_path(None, environ))
        engine.version()
        engine.require_image(DockerSettings().image)
    except (SandboxException, ConfigurationException) as error:
        return str(error).replace("\n", " ")
    return "ok"
