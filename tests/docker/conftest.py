"""A real Docker engine of the tests' own, started by hand, with an image made of this machine's Python.

The engine has its own sockets and folders, touches no network of the host's, and is ended by its own id. Where none can
be had the tests are skipped, with the reason.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prismenv.contracts.recipe import DockerSettings
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.container import LABEL
from prismenv.isolation.docker import DockerSandbox
from prismenv.isolation.engine import Engine
from prismenv.isolation.kit import language_shelf
from prismenv.isolation.language import base_interpreter
from prismenv.words.errors import ConfigurationException, SandboxException

TOOLS = ("bash", "javascript", "c", "cpp")  # whose tools an image is given
IMAGE, EMPTY = "prismenv-test-python", "prismenv-test-empty"
SECONDS = 120
LEFT_OUT = re.compile(r"/(site-packages|test|tests|idlelib|ensurepip|lib2to3|tkinter|turtledemo|config-[^/]+)$")
UNUSED = re.compile(r"^(lto.*|lib[a-z]+san\..*|gfortran|f951|gnat1)$|/include/(node|llvm|unicode|postgresql)")
LINKED = tuple(
    f"{folder}/*-linux-gnu/{each}"
    for folder in ("/lib", "/usr/lib")
    for each in ("*crt*.o", "libc.*", "libc_nonshared.a", "libm.*", "libm-*.a", "libmvec*")
)
SHOWN = re.compile(r"(?:=> )?(/\S+) \(0x")


# One that says it is of another version, and one that says nothing. They are programs of the Python beside them.
STAND_INS = {
    "other": b"""#!/usr/bin/python3 -IS
import socket, sys
control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
control.connect(sys.argv[-1])
control.send(b"ready 03f30d0a 2.7.18 2f")
control.recv(10)
""",
    "mute": b"#!/usr/bin/python3 -IS\nimport time\ntime.sleep(600)\n",
}


def python_files() -> Iterator[Path]:
    """What Python needs, and nothing that it does not."""
    yield Path(base_interpreter())
    library = Path(sysconfig.get_path("stdlib")).resolve()
    for folder, folders, files in os.walk(library):
        folders[:] = [each for each in folders if not LEFT_OUT.search(f"{folder}/{each}")]
        yield from (Path(folder) / each for each in files if not each.endswith(".a"))


def tool_files(language: str) -> Iterator[Path]:
    """What the tools of a language need. ConfigurationException: they are not on this machine."""
    kit = language_shelf().kit(language)
    assert kit.chain is not None
    compiled = kit.profile.compile
    shown = [*kit.profile.shows, *(() if compiled is None else (*compiled.shows, *LINKED))]
    for top in kit.chain.shown(shown):
        for folder, _, files in os.walk(top):
            if not UNUSED.search(folder):
                yield from (Path(folder) / each for each in files if not UNUSED.search(each))
        if top.is_file():
            yield top


def is_program(path: Path) -> bool:
    """Whether it is a program or a library for this machine."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def is_here(language: str) -> bool:
    """Whether this machine has its tools."""
    try:
        language_shelf().kit(language)
    except ConfigurationException:
        return False
    return True


def libraries_of(files: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """The libraries that programs and libraries are linked with: (where each is here, where it is looked for)."""
    wanted = [each for each in files if each.is_file() and is_program(each)]
    found = set()
    for begin in range(0, len(wanted), 100):
        some = [str(each) for each in wanted[begin : begin + 100]]
        told = subprocess.run(["ldd", *some], capture_output=True, text=True, check=False).stdout
        found |= set(SHOWN.findall(told))
    yield from ((Path(each).resolve(), Path(each)) for each in sorted(found))


def image_tar(*languages: str) -> bytes:
    """A root file system with this machine's Python as /usr/bin/python3, tools of languages, and nothing else."""
    file = io.BytesIO()
    files = [*python_files(), *(each for name in languages for each in tool_files(name))]
    with tarfile.open(fileobj=file, mode="w") as tar:
        made: set[Path] = set()

        def folder(path: Path) -> None:
            if path != Path("/") and path not in made:
                folder(path.parent)
                made.add(path)
                entry = tarfile.TarInfo(str(path).lstrip("/"))
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)

        for here, there in [*((each.resolve(), each) for each in files), *libraries_of(files)]:
            if there not in made and here.is_file():
                made.add(there)
                folder(there.parent)
                tar.add(here, str(there).lstrip("/"), recursive=False)
        for each in ("/tmp", "/etc", "/run", "/dev", "/proc", "/sys", "/usr/bin"):
            folder(Path(each))
        for name, text in STAND_INS.items():  # interpreters that do not do
            entry = tarfile.TarInfo(f"usr/bin/{name}")
            entry.mode, entry.size = 0o755, len(text)
            tar.addfile(entry, io.BytesIO(text))
        link = tarfile.TarInfo("usr/bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, base_interpreter()
        tar.addfile(link)
    return file.getvalue()


@contextmanager
def _running_engine() -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """An engine: its socket and its process."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("an engine of the tests' own takes Linux and root")
    for tool in ("dockerd", "docker"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}: Debian has it in docker.io")
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    path = folder / "socket"
    command = ["dockerd", "--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"]
    command += ["-H", f"unix://{path}", "--bridge", "none", "--iptables=false", "--ip-masq=false"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + SECONDS
            while True:
                try:
                    Engine(str(path)).version()
                    break
                except SandboxException:
                    if process.poll() is not None or time.monotonic() > deadline:
                        last = (folder / "log").read_text(errors="replace").splitlines()[-1:]
                        pytest.skip(f"no engine can be started here: {last}")
                    time.sleep(0.05)
            yield path, process
        finally:
            process.terminate()
            process.wait(SECONDS)
    # What is mounted below is the engine's business; it has let go of it.
    shutil.rmtree(folder, ignore_errors=True)


def _import_image(path: Path, name: str, tar: bytes) -> None:
    command = ["docker", "-H", f"unix://{path}", "import", "-", name]
    done = subprocess.run(command, input=tar, capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def running_engine() -> Callable[..., Any]:
    """`with running_engine() as (socket, process)`: one more, without images."""
    return _running_engine


@pytest.fixture(scope="session")
def containers(engine: Path) -> Callable[..., set[str]]:
    """`containers()`: ids of ours that run in the engine; `containers(ended=True)`: of those that have ended, too."""

    def listed(*, ended: bool = False) -> set[str]:
        words = ["docker", "-H", f"unix://{engine}", "ps", "-q", "--no-trunc", "--filter", f"label={LABEL}"]
        told = subprocess.run([*words, *(["-a"] if ended else [])], capture_output=True, text=True, check=True)
        return set(told.stdout.split())

    return listed


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """`until(condition)`: wait for it."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    return wait


@pytest.fixture
def import_image() -> Callable[..., None]:
    """`import_image(socket, name, tar)`."""
    return _import_image


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image that fits."""
    return IMAGE


@pytest.fixture(scope="session")
def tree() -> bytes:
    """The image's file system."""
    return image_tar()


@pytest.fixture(scope="session")
def engine(tree: bytes) -> Iterator[Path]:
    """The socket of an engine that has the image, and an empty one."""
    with _running_engine() as (path, _):
        _import_image(path, IMAGE, tree)
        nothing = io.BytesIO()
        with tarfile.open(fileobj=nothing, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("nothing"))
        _import_image(path, EMPTY, nothing.getvalue())
        try:
            with BlockingSandbox(DockerSandbox(1, docker=DockerSettings(image=IMAGE, socket=str(path)))):
                pass
        except SandboxException as error:
            if error.code == "engine_refused":  # an engine inside a container, as CI's may be, that can start nothing
                pytest.skip(f"the engine can start no container here: {error.message}")
            raise
        yield path


@pytest.fixture(scope="session")
def new_docker(engine: Path) -> Callable[..., DockerSandbox]:
    """Makes a sandbox in the engine: `workers`, `image`, and what its class takes."""

    def make(workers: int = 1, image: str = IMAGE, **options: object) -> DockerSandbox:
        settings = DockerSettings(image=image, socket=str(engine))
        return DockerSandbox(workers, docker=settings, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def docker_box(new_docker: Callable[..., DockerSandbox]) -> Iterator[BlockingSandbox]:
    """The one that tests share."""
    with BlockingSandbox(new_docker()) as box:
        yield box


@pytest.fixture(scope="session")
def tools_image(engine: Path) -> tuple[str, list[str]]:
    """The name of an image that has tools, and the languages whose tools this machine could give it."""
    there = [name for name in TOOLS if is_here(name)]
    _import_image(engine, "prismenv-test-tools", image_tar(*there))
    return "prismenv-test-tools", there
