"""What there is to be had on the host for those who get out: a secret, sockets, a process. For attacks to try."""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prismenv.isolation.folder import remove_folder
from prismenv.isolation.language import base_interpreter

SECRET = "bait"  # noqa: S105 - it is there to be found
VARIABLE = "BAIT_OF_PRISMENV"  # not one that begins as settings do
FILES = {"secret": SECRET, "victim.txt": "victim", "removable": "", "movable": ""}
NAP_SECONDS = 600
_laid: set[str] = set()  # the names of baits of this process


class Baits:
    """Laid baits. `words` are what stands for them in an attack: SECRET, FOLDER, PORT, ABSTRACT, VICTIM and others."""

    def __init__(self, words: dict[str, str]) -> None:
        self.words = words

    def refill(self) -> None:
        """Put back what an attack that works takes away."""
        folder = Path(self.words["FOLDER"])
        for name in ("removable", "movable"):
            (folder / name).touch()
        (folder / "linked").unlink(missing_ok=True)

    def damage(self) -> str:
        """What was done to them, in words; empty for nothing."""
        if Path(self.words["SECRET"]).read_text(encoding="utf-8") != SECRET:
            return "a file of the host was written"
        victim = Path(f"/proc/{self.words['VICTIM']}/cmdline")
        if not victim.exists() or not victim.read_bytes().startswith(b"/bin/sleep"):
            return "a process of the host was ended"
        return ""


@contextmanager
def laid_baits(place: Path | None = None) -> Iterator[Baits]:
    """Baits in a new folder below `place`, None: where temporary files go; gone with the block. Linux only."""
    folder = Path(tempfile.mkdtemp(prefix="bait-", dir=place))
    abstract = f"prismenv-{folder.name}"
    with ExitStack() as stack:
        stack.callback(remove_folder, folder)
        _open_folder(folder, stop=Path(tempfile.gettempdir()))
        stack.enter_context(_told_in_environment(folder.name))
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for address in (f"\0{abstract}", str(folder / "socket")):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen(64)
        # Its own session: one that has an id in every namespace.
        victim = subprocess.Popen(["/bin/sleep", str(NAP_SECONDS)], start_new_session=True)  # noqa: S603 - fixed words
        stack.callback(_end, victim)
        yield Baits(
            {
                "SECRET": str(folder / "secret"),
                "FOLDER": str(folder),
                "PORT": str(server.getsockname()[1]),
                "ABSTRACT": abstract,
                "VICTIM": str(victim.pid),
                "HOSTNAME": os.uname().nodename,
                "PYTHON": base_interpreter(),
                "MARK": f"{NAP_SECONDS + os.getpid() / 1_000_000}",
            }
        )


@contextmanager
def _told_in_environment(name: str) -> Iterator[None]:
    """The secret in this process's environment, as long as one of several baits is laid."""
    _laid.add(name)
    os.environ[VARIABLE] = SECRET
    try:
        yield
    finally:
        _laid.discard(name)
        if not _laid:
            del os.environ[VARIABLE]


def processes_with(mark: str) -> list[int]:
    """Processes of the host, but for this one, whose command line holds `mark`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes()
        except OSError:  # it ended while it was looked at, or it is somebody else's
            continue
        if mark.encode() in text and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


def _open_folder(folder: Path, stop: Path) -> None:
    """Let everybody read what is in it: only the jail may be what keeps an attack away."""
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in (folder, *folder.parents):
        if path == stop or path == Path(path.anchor):
            return
        if path.owner() == folder.owner():
            path.chmod(0o755)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
