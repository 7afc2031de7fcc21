"""A warm container, and a run in it. The words that its first process knows are in sandbox/guests/container_agent.py.

One thread at a time uses a container. It is connected to this process by one socket: when this process ends, however it
does, the container's first process ends by that, and with it the container.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

from prismenv.isolation.engine import Engine
from prismenv.isolation.launch import Exit, HandedGuest
from prismenv.isolation.processes import ProcessUse, TaskUse
from prismenv.words.errors import SandboxException
from prismenv.words.limits import Limits

END_SECONDS = 10.0
ANSWER_SECONDS = 5.0
TOOL_SECONDS = 30.0  # for what a tool of the image prints
PACKET_BYTES = 2**17
INSIDE = "/run/prismenv"
LABEL = "org.prismenv.sandbox"
THREADS = 64  # tasks beyond the allowed number of processes: what threads may take
OWN_BYTES = 96 * 2**20  # of the first process and of a guest that is being loaded, beside what a run may have
SHARED_BYTES = 16 * 2**20
ENTRIES = 8_192  # files and folders of a run
PROCESS_LIMITS = {"core": 0, "memlock": 0, "msgqueue": 0, "sigpending": 256, "nofile": 1_024}


class ContainerLostError(Exception):
    """The container is gone, or does not do what it has to."""


@dataclass(frozen=True, slots=True)
class ContainerDesign:
    """What every container of a sandbox is made of: the image, how its Python is called, who its runs are.

    `agent` is the source of its first process; `command`, `environment` and `filters` are those of guests.
    """

    image: str
    python: str
    user: str
    cpus: float
    agent: str
    command: Sequence[str]
    environment: Mapping[str, str]
    filters: Sequence[bytes]
    start_seconds: float
    runs_own: bool = False  # whether a run starts what it is given, as programs that were compiled are
    file_bytes: int = 2**26  # of all files that a run writes

    def settings(self, folder: Path, limits: Mapping[str, int]) -> dict[str, Any]:
        """The engine's settings for a container that finds its parent's socket in `folder`."""
        owner, _, group = self.user.partition(":")
        started = "exec" if self.runs_own else "noexec"
        writable = f"rw,nosuid,nodev,{started},size={self.file_bytes},nr_inodes={ENTRIES},uid={owner},gid={group}"
        return {
            "Image": self.image,
            "Entrypoint": [self.python, "-I", "-S", "-B", "-c", self.agent, f"{INSIDE}/control"],
            "Cmd": [],
            "User": self.user,
            "WorkingDir": "/tmp",  # noqa: S108 - the container's own
            "Hostname": "sandbox",
            "StopSignal": "SIGKILL",  # the first process of a container hears no other
            "NetworkDisabled": True,
            "Labels": {LABEL: "1"},
            "HostConfig": {
                **limits,
                "NetworkMode": "none",
                "IpcMode": "private",
                "CgroupnsMode": "private",
                "NanoCpus": int(self.cpus * 1e9),
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges"],
                "Tmpfs": {"/tmp": writable},  # noqa: S108 - the container's own
                "ShmSize": SHARED_BYTES,
                "Mounts": [{"Type": "bind", "Source": str(folder), "Target": INSIDE, "ReadOnly": True}],
                "Ulimits": [{"Name": name, "Soft": most, "Hard": most} for name, most in PROCESS_LIMITS.items()],
                "LogConfig": {"Type": "none"},
                "RestartPolicy": {"Name": "no"},
            },
        }


def engine_limits(limits: Limits) -> dict[str, int]:
    """What the engine holds a container to while such a run is in it."""
    memory = limits.memory_bytes + OWN_BYTES
    return {"Memory": memory, "MemorySwap": memory, "PidsLimit": limits.processes + THREADS}


class Container:
    """One container. `place` is a folder of its own, which the engine sees under the same path.

    `python` is the path of its interpreter, known once it was started.
    """

    def __init__(self, engine: Engine, design: ContainerDesign, place: Path) -> None:
        self._engine = engine
        self._design = design
        self._place = place
        self._control: socket.socket | None = None
        self._id = ""
        self._limits: dict[str, int] = {}
        self._runs = 0
        self._heard: list[str] = []  # what was said of a run's end when something else was asked
        self.dead = False
        self.python = ""

    @property
    def control(self) -> int:
        """The descriptor that becomes readable when it has something to say."""
        return self._socket.fileno()

    @property
    def _socket(self) -> socket.socket:
        if self._control is None:
            raise ContainerLostError("the container is not there")
        return self._control

    def start(self, limits: Limits) -> None:
        """Make it and wait until it serves. SandboxException, in the engine's or its own words, when it cannot."""
        try:
            self._limits = engine_limits(limits)
            path = self._place / "control"
            self._place.chmod(0o755)
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(str(path))
                path.chmod(0o666)
                listener.listen(1)
                listener.settimeout(self._design.start_seconds)
                self._id = self._engine.create(self._design.settings(self._place, self._limits))
                self._engine.start(self._id)
                self._control, _ = listener.accept()
            path.unlink()
            self._greet()
        except (OSError, ContainerLostError) as error:
            self.close()
            message = f"the container does not begin to serve: {error or 'it took too long'}"
            raise SandboxException(message, code="image_unfit", subject=self._design.image) from error
        except SandboxException as error:
            self.close()
            raise self._explained(error) from error

    def _greet(self) -> None:
        words = self.hear(self._design.start_seconds)
        if words[:1] != ["ready"] or len(words) != 4:  # noqa: PLR2004 - the word, the number, the version, the path
            raise ContainerLostError(" ".join(words[1:]) or "it said nothing")
        if words[1] != MAGIC_NUMBER.hex():
            here = ".".join(map(str, sys.version_info[:2]))
            raise SandboxException(
                f"the image {self._design.image!r} has Python {words[2]:.20}; guests are compiled for {here}, as here",
                code="image_unfit",
                subject=self._design.image,
                hint=f"Name an image with Python {here}: sandbox.docker.image, such as python:{here}-slim.",
            )
        self.python = os.fsdecode(bytes.fromhex(words[3]))
        told: dict[str, Any] = {"command": list(self._design.command), "environment": dict(self._design.environment)}
        told["filters"] = [each.hex() for each in self._design.filters]
        self._socket.send(f"serve {json.dumps(told)}".encode())

    def _explained(self, error: SandboxException) -> SandboxException:
        if error.code != "engine_refused" or "executable file not found" not in error.message:
            return error
        return SandboxException(
            f"the image {self._design.image!r} has no {self._design.python!r}: {error.message}",
            code="image_unfit",
            subject=self._design.image,
            hint="Name an image with Python, or how it is called there: sandbox.docker.image, sandbox.docker.python.",
        )

    def ask(self, limits: Limits, descriptors: Sequence[int]) -> int:
        """Begin a run whose process holds `descriptors` as 0, 1, ..., and give its number. ContainerLostError."""
        wanted = engine_limits(limits)
        self._runs += 1
        try:
            if wanted != self._limits:
                self._engine.update(self._id, wanted)
                self._limits = wanted
            socket.send_fds(self._socket, [b"run %d" % self._runs], descriptors)
        except (OSError, SandboxException) as error:
            self.dead = True
            raise ContainerLostError(f"a run cannot be begun in the container: {error}") from error
        return self._runs

    def send(self, word: str) -> None:
        """Tell its first process something that it does not answer; nothing where it is gone."""
        with contextlib.suppress(OSError, ContainerLostError):  # whoever waits for the run's end is told so
            self._socket.send(word.encode())

    def kill(self) -> None:
        """Have the run killed, whatever it does."""
        self.send("kill")

    def uses(self) -> list[TaskUse]:
        """What each process of the run uses now."""
        parts = [word.split(":") for word in self._answered("uses", "using")[1:]]
        return [TaskUse(1, int(tasks), float(seconds), int(resident)) for seconds, resident, tasks in parts]

    def cpu_seconds(self) -> float:
        """CPU time that the first process of the run has used so far."""
        return float(self._answered("cpu", "cpu")[1])

    def folder(self) -> int:
        """A descriptor of the folder that runs work in, which is the caller's to close. ContainerLostError."""
        try:
            self._socket.send(b"folder")
            self._socket.settimeout(ANSWER_SECONDS)
            data, received, _, _ = socket.recv_fds(self._socket, PACKET_BYTES, 1)
        except OSError as error:
            self.dead = True
            raise ContainerLostError(f"it does not answer: {error}") from error
        if data != b"folder" or len(received) != 1:
            self.dead = True
            for each in received:
                os.close(each)
            raise ContainerLostError("it did not show the folder that runs work in")
        return received[0]

    @property
    def heard_end(self) -> bool:
        """Whether the run's end was told while something else was asked."""
        return bool(self._heard)

    def _answered(self, question: str, *expected: str, seconds: float = ANSWER_SECONDS) -> list[str]:
        """What it answers, its word first; should a run end meanwhile, that is kept. ContainerLostError, OSError."""
        self._socket.send(question.encode())
        words = self.hear(seconds)
        if words[0] == "ended":
            self._heard = words
            words = self.hear(seconds)
        if words[0] not in expected:
            raise ContainerLostError(f"it said {words[0]!r:.40} where {' or '.join(expected)} was to be")
        return words

    def end_of(self, number: int, seconds: float) -> Exit | None:
        """How the run ended, None when it has not within `seconds`. ContainerLostError."""
        words, self._heard = self._heard, []
        if not words:
            try:
                words = self.hear(seconds)
            except (TimeoutError, BlockingIOError):
                return None
        if words[:2] != ["ended", str(number)]:
            self.dead = True
            raise ContainerLostError(" ".join(words[1:]) or f"it said {words[0]!r:.40} when a run was to end")
        status, cpu_seconds, peak, killed = int(words[2]), float(words[3]), int(words[4]), int(words[5])
        return Exit(status, cpu_seconds, peak, killed_for="memory_bytes" if killed else None)

    def which(self, name: str) -> tuple[str, str] | None:
        """Where the image has a program, and where that leads to in the end. ContainerLostError."""
        _, *paths = self._asked(f"which {name}", "found")
        return (_text(paths[0]), _text(paths[1])) if len(paths) == 2 else None  # noqa: PLR2004 - both, or none

    def answer(self, command: Sequence[str]) -> str:
        """What a tool of the image prints. OSError when it does not answer; ContainerLostError."""
        word, *said = self._asked(f"ask {json.dumps(list(command))}", "said", "unsaid", seconds=TOOL_SECONDS)
        text = _text("".join(said))
        if word == "unsaid":
            raise OSError(text)
        return text

    def _asked(self, question: str, *expected: str, seconds: float = ANSWER_SECONDS) -> list[str]:
        """What it answers while there is no run: one that does not is not used again. ContainerLostError."""
        try:
            return self._answered(question, *expected, seconds=seconds)
        except (OSError, ContainerLostError) as error:
            self.dead = True
            raise ContainerLostError(f"it does not answer: {error}") from error

    def ran_out_of_memory(self) -> bool:
        """Whether the engine says that it was for want of memory that it ended."""
        with contextlib.suppress(SandboxException):
            return bool(self._engine.state(self._id).get("OOMKilled"))
        return False

    def hear(self, seconds: float) -> list[str]:
        """The next words. ContainerLostError at its end; TimeoutError, or BlockingIOError where `seconds` are 0."""
        control = self._socket
        control.settimeout(seconds)
        try:
            data = control.recv(PACKET_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self.dead = True
            raise ContainerLostError("the container has ended")
        return data.decode("ascii", "replace").split() or [""]

    def close(self) -> None:
        """End it and all that is in it, and remove it."""
        self.dead = True
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._id:
            with contextlib.suppress(SandboxException):  # the engine is gone: with its socket it ends by itself
                self._engine.remove(self._id)
            self._id = ""
        with contextlib.suppress(OSError):
            (self._place / "control").unlink()


def _text(hexadecimal: str) -> str:
    try:
        return bytes.fromhex(hexadecimal).decode("utf-8", "surrogateescape")
    except ValueError as error:
        raise ContainerLostError(f"it said {hexadecimal!r:.40} where a text was to be") from error


class ContainerGuest(HandedGuest):
    """One run in a container. ContainerLostError when it cannot be begun.

    `bridge` is the descriptor of its end of the socket to the other guest of its pair; None: it is no pair. `python` is
    the path of the container's interpreter.
    """

    def __init__(self, container: Container, limits: Limits, bridge: int | None, *, streams_apart: bool) -> None:
        self._container = container
        self._exit: Exit | None = None
        self._killed = False
        self._number = self._hand(partial(container.ask, limits), bridge, streams_apart=streams_apart)
        self.exit_descriptor = container.control
        self.python = container.python

    def has_ended(self) -> bool:
        return self._take_end(0.0)

    def uses(self) -> list[ProcessUse]:
        if self._exit is not None:
            return []
        try:
            return [ProcessUse(each.cpu_seconds, each.resident_bytes) for each in self._container.uses()]
        except (OSError, ContainerLostError):  # its end is told by the next look
            return []

    def kill(self) -> None:
        self._killed = True
        self._container.kill()

    def finish(self) -> Exit:
        if not self._take_end(0.0):
            if not self._killed:
                self.kill()
            if not self._take_end(END_SECONDS):
                self._exit = Exit(None, message="the container did not end a run in time")
                self._container.close()
        assert self._exit is not None  # noqa: S101 - one of the two has set it
        return self._exit

    def close(self) -> None:
        if self._exit is None:
            self.finish()
        self._let_go()

    def _take_end(self, seconds: float) -> bool:
        if self._exit is None:
            try:
                self._exit = self._container.end_of(self._number, seconds)
            except (ContainerLostError, OSError) as error:
                memory = self._container.ran_out_of_memory()  # it was its first process that the kernel chose
                lost = Exit(-signal.SIGKILL, killed_for="memory_bytes")
                self._exit = lost if memory else Exit(None, message=str(error))
        return self._exit is not None
