"""The warm containers of a sandbox: two for each worker's Python, and for other languages those that are needed."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from prismenv.contracts.recipe import DockerSettings
from prismenv.isolation.bundle import boot
from prismenv.isolation.container import Container, ContainerDesign, ContainerGuest, ContainerLostError
from prismenv.isolation.containersession import ContainerSession
from prismenv.isolation.engine import Engine
from prismenv.isolation.folder import remove_folder
from prismenv.isolation.kit import LanguageKit, LanguageShelf
from prismenv.isolation.language import SIDE_OF, Role, base_interpreter
from prismenv.isolation.seccomp import filter_programs, load_profile
from prismenv.isolation.toolchain import ToolPlace
from prismenv.words.errors import SandboxException
from prismenv.words.limits import Limits

TRIES = 2
SPARE_BYTES = 2**20  # for what a guest itself writes


class ContainerWorker:
    """A place for one container, which is made again when it is lost, or has other room for files than a run may take.

    `limits` are those of the runs that are expected. A thread at a time uses it.
    """

    def __init__(self, engine: Engine, design: ContainerDesign, place: Path, limits: Limits) -> None:
        self._engine = engine
        self._design = design
        self._place = place
        self._limits = limits
        self._container: Container | None = None
        self._file_bytes = 0

    def container(self, limits: Limits | None = None) -> Container:
        """One that serves, for a run with such limits, None: the expected ones. SandboxException: none can be had."""
        wanted = limits or self._limits
        if self._container is not None and (self._container.dead or self._file_bytes != wanted.file_bytes):
            self.close()
        if self._container is None:
            design = replace(self._design, file_bytes=wanted.file_bytes + SPARE_BYTES)
            made = Container(self._engine, design, self._place)
            made.start(wanted)
            self._container, self._file_bytes = made, wanted.file_bytes
        return self._container

    def guest(self, limits: Limits, given: int | None, *, streams_apart: bool) -> ContainerGuest:
        """A run, with `given` as its third descriptor; a container that turns out to be lost is made again.

        ContainerLostError in the end.
        """
        for _ in range(TRIES - 1):
            try:
                return ContainerGuest(self.container(limits), limits, given, streams_apart=streams_apart)
            except ContainerLostError:
                continue
        return ContainerGuest(self.container(limits), limits, given, streams_apart=streams_apart)

    def close(self) -> None:
        """End the container."""
        container, self._container = self._container, None
        if container is not None:
            container.close()


class ContainerShed:
    """All workers of a sandbox, by the number of the place that they belong to. `place` gives a new empty folder."""

    def __init__(
        self, engine: Engine, settings: DockerSettings, shelf: LanguageShelf, place: Callable[[], Path]
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._shelf = shelf
        self._place = place
        self._workers: dict[tuple[int, str, str], ContainerWorker] = {}

    def image(self, language: str) -> str:
        """The image for a language."""
        return self._settings.images.get(language, self._settings.image)

    def worker(self, number: int, kit: LanguageKit, role: Role) -> ContainerWorker:
        """The one that serves a place's runs of a language in a role; it has no container before that is needed."""
        room = role if kit.profile.guest is None else SIDE_OF[role]
        key = (number, kit.profile.language, room)
        if key not in self._workers:
            phase = kit.profile.compile
            limits = phase.limits if role == "compile" and phase is not None else kit.limits
            self._workers[key] = ContainerWorker(self._engine, self._design(kit, role), self._place(), limits)
        return self._workers[key]

    def session(self, kit: LanguageKit, limits: Limits) -> ContainerSession:
        """A session in a new container. SandboxException when it cannot be begun."""
        place = self._place()
        design = replace(self._design(kit, "session"), file_bytes=limits.file_bytes + SPARE_BYTES)
        container = Container(self._engine, design, place)
        leave = partial(remove_folder, place)
        try:
            container.start(limits)
        except SandboxException:
            leave()
            raise
        return ContainerSession(container, limits, int(self._settings.user.partition(":")[0]), leave)

    def emptied(self) -> list[ContainerWorker]:
        """All that there are, for whoever closes them; there are none afterwards."""
        workers, self._workers = list(self._workers.values()), {}
        return workers

    def _design(self, kit: LanguageKit, role: Role) -> ContainerDesign:
        settings, profile = self._settings, kit.profile
        phase = profile.compile if role == "compile" and profile.compile is not None else profile
        calls = load_profile(phase.seccomp, *self._shelf.seccomp_folders())
        filters = filter_programs(calls, platform.machine())
        return ContainerDesign(
            image=self.image(profile.language),
            python=settings.python,
            user=settings.user,
            cpus=settings.cpus,
            agent=(self._shelf.home / "guests" / "container_agent.py").read_text(encoding="utf-8"),
            command=[image_word(word, "{python}") for word in profile.filled(kit.guest.start, boot=boot(None))],
            environment={**kit.guest_environment, "HOME": "/tmp", "TMPDIR": "/tmp"},  # noqa: S108 - the container's
            filters=(filters.lasting, filters.own),
            start_seconds=settings.start_seconds,
            runs_own=role == "run" and profile.compile is not None,
        )


class ImageTools(ToolPlace):
    """The tools of the image that a container is made of. A container that is lost meanwhile: SandboxException."""

    def __init__(self, container: Container, language: str, image: str) -> None:
        self._container = container
        self._language = language
        self.path = f"the PATH of the image {image!r}"

    def which(self, name: str) -> tuple[str, str] | None:
        try:
            return self._container.which(name)
        except ContainerLostError as error:
            raise self._lost(error) from error

    def ask(self, command: Sequence[str]) -> str:
        try:
            return self._container.answer(command)
        except ContainerLostError as error:
            raise self._lost(error) from error

    def advice(self, packages: str) -> str:
        name = self._language
        return (
            f"Name an image that has it, and this Python: sandbox.docker.images.{name}; Debian's package is {packages}"
        )

    def _lost(self, error: ContainerLostError) -> SandboxException:
        return SandboxException(f"the container in which tools of {self._language} were looked for is lost: {error}")


def image_word(word: str, python: str) -> str:
    """A word of a command: the interpreter is the image's, whatever it is called there."""
    return python if word == base_interpreter() else word
