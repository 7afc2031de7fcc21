"""The first process of a warm container: starts a guest when it is told to, and leaves nothing of it behind.

Theory of operation. The parent listens at a socket in a folder that the container sees read-only; this process connects
once, the socket is taken away, and what they say goes over that connection, with descriptors. A run is a fresh process:
its channel, its output and its bridge are the descriptors that came with the word `run`, and its code and payload come
over its own channel, so that nothing of a run is ever in this process. A run ends when its process ends, or by `kill`:
then every other process of the container is killed, which is all of this namespace but the first, and what may be
written is emptied, before `ended` is said. What cannot be emptied ends the container. So does the parent's end.

All processes have the same user. This one cannot be traced, nor its memory read: it is not dumpable; and no signal from
its own namespace kills the first process of it.

Words in: `serve JSON` (command, with `{python}` for this interpreter, environment, filters), `kill`, `uses`, and `run
NUMBER` with descriptors for 0, 1, 2 and maybe 3. Words out: `ready MAGIC VERSION PYTHON`, `using CPU:BYTES:TASKS ...`,
`ended NUMBER STATUS CPU_SECONDS PEAK_BYTES KILLED` (how many processes the kernel killed for want of memory), `broken
WHY`. While there is no run: `which NAME`, answered by `found PATH REAL` or `found`, and `ask JSON` (a command of the
image's own), answered by `said OUTPUT` or `unsaid WHY`. Paths and output are in hexadecimal. For runs that stay:
`signal NUMBER` to the first process of the run, `pause` (that one stops, all others are killed), `cpu`, answered by
`cpu SECONDS` of the first, and `folder`, answered by the same word with a descriptor of the folder that it works in.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import posix
import select
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER
from typing import Any, NoReturn

PACKET_BYTES = 2**17
PLACES = ("/tmp", "/dev/shm", "/dev/mqueue")
MOST_ENTRIES = 100_000
MOST_TOLD = 2_000
MOST_SAID = 2**14  # bytes of what a tool prints
ASK_SECONDS = 20.0
ROUNDS = 2000
PR_SET_DUMPABLE, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 4, 22, 2
IPC_RMID = 0
SCHEDULED = 2  # of the kernel's clocks of a process: the CPU time that it was given
OUT_OF_MEMORY = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")  # groups of both kinds
ABOVE = 64
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_library = ctypes.CDLL(None)


class Agent:
    """`control` is the connection to the parent."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._command: list[str] = []
        self._environment: dict[str, str] = {}
        self._filters: list[bytes] = []
        self._number = 0
        self._main = 0
        self._status = 0
        self._cpu_seconds = 0.0
        self._peak_bytes = 0
        self._killed_before = 0

    def serve(self) -> NoReturn:
        """Until the parent goes."""
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        version = ".".join(map(str, sys.version_info[:3]))
        self._say(f"ready {MAGIC_NUMBER.hex()} {version} {os.fsencode(sys.executable).hex()}")
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    while os.read(wake, 4096):
                        pass
            self._reap()
            if self._control.fileno() in ready:
                self._hear()

    def _hear(self) -> None:
        data, descriptors, _, _ = socket.recv_fds(self._control, PACKET_BYTES, 4)
        if not data:
            os._exit(0)
        word, _, rest = data.decode().partition(" ")
        self._heed(word, rest, descriptors)
        for each in descriptors:
            os.close(each)

    def _heed(self, word: str, rest: str, descriptors: list[int]) -> None:
        if word == "serve":
            told = json.loads(rest)
            self._command = [sys.executable if each == "{python}" else each for each in told["command"]]
            self._environment, self._filters = told["environment"], [*map(bytes.fromhex, told["filters"])]
        elif word == "run":
            self._start(int(rest), descriptors)
        elif word == "which":
            self._say(" ".join(["found", *(os.fsencode(each).hex() for each in _which(rest))]))
        elif word == "ask":
            self._say(_answer(json.loads(rest)))
        else:
            self._heed_of_run(word, rest)

    def _heed_of_run(self, word: str, rest: str) -> None:
        if word == "uses":
            self._say(" ".join(["using", *_uses()]))
        elif word == "cpu":
            self._say(f"cpu {_cpu_seconds(self._main):.9f}")
        elif word == "folder":
            self._hand_folder()
        elif not self._main:  # it has ended, and that was told
            return
        elif word == "kill":
            self._end()
        elif word == "signal":
            os.kill(self._main, int(rest))
        elif word == "pause":
            self._pause()

    def _start(self, number: int, descriptors: list[int]) -> None:
        self._number, self._status, self._cpu_seconds, self._peak_bytes = number, -signal.SIGKILL, 0.0, 0
        self._killed_before = _killed_for_memory()
        self._main = os.fork()
        if self._main == 0:
            try:
                self._become(descriptors)
            except BaseException as error:
                os.write(2, f"the guest cannot be started: {error}\n".encode())
            finally:
                os._exit(71)

    def _become(self, descriptors: list[int]) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _library.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
        with contextlib.suppress(OSError):
            posix.write(posix.open("/proc/self/oom_score_adj", posix.O_WRONLY | posix.O_CLOEXEC), b"1000")
        high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, ABOVE) for each in descriptors]
        for number, each in enumerate(high):
            os.dup2(each, number)
        os.closerange(len(high), ABOVE)
        os.chdir(PLACES[0])
        for code in self._filters:
            kept = ctypes.create_string_buffer(code, len(code))
            program = struct.pack("@HP", len(code) // 8, ctypes.addressof(kept))
            if _library.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
                raise OSError("the filter of system calls was refused")
        os.execve(self._command[0], self._command, self._environment)

    def _reap(self) -> bool:
        """Take who has ended; True when nobody is left. The run is over when its first process is."""
        left, over = True, False
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    left = False
                    break
                self._cpu_seconds += usage.ru_utime + usage.ru_stime
                self._peak_bytes = max(self._peak_bytes, usage.ru_maxrss * 1024)
                if pid == self._main:
                    self._status, over = os.waitstatus_to_exitcode(status), True
        if over:
            self._main = 0
            self._end()
        return left

    def _end(self) -> None:
        """Kill all that is left, empty what was written, and say how it ended."""
        killed = bool(self._main)
        main, self._main = self._main, 0
        for attempt in range(ROUNDS):
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
            if self._all_gone(main):
                break
            time.sleep(0.0002 * min(attempt + 1, 25))
        else:
            self._give_up("processes of a run could not be killed")
        if killed:
            self._status = -signal.SIGKILL
        try:
            _empty()
        except (OSError, OverflowError) as error:
            self._give_up(f"what a run wrote could not be removed: {error}")
        killed = _killed_for_memory() - self._killed_before
        self._say(f"ended {self._number} {self._status} {self._cpu_seconds:.6f} {self._peak_bytes} {killed}")

    def _pause(self) -> None:
        """Stop the first process of the run, which has the others killed: nothing of it goes on between two calls."""
        os.kill(self._main, signal.SIGSTOP)
        for attempt in range(ROUNDS):
            others = [each for each in _alive() if each != self._main]
            if not others:
                return
            for each in others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            time.sleep(0.0002 * min(attempt, 25))
        self._give_up("processes of a run could not be killed")

    def _hand_folder(self) -> None:
        folder = os.open(PLACES[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            socket.send_fds(self._control, [b"folder"], [folder])
        except OSError:
            os._exit(0)
        finally:
            os.close(folder)

    def _all_gone(self, main: int) -> bool:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return False
                self._cpu_seconds += usage.ru_utime + usage.ru_stime
                self._peak_bytes = max(self._peak_bytes, usage.ru_maxrss * 1024)
                if pid == main:
                    self._status = os.waitstatus_to_exitcode(status)
        return True

    def _give_up(self, why: str) -> NoReturn:
        self._say(f"broken {why}"[:500])
        os._exit(1)

    def _say(self, text: str) -> None:
        try:
            self._control.send(text.encode("ascii", "replace"))
        except OSError:
            os._exit(0)


def _read(path: str) -> bytes:
    """A small file of the kernel's."""
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        parts = []
        while part := posix.read(descriptor, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        posix.close(descriptor)


def _living() -> Iterator[tuple[int, list[bytes]]]:
    """Each process of the run that lives: its number, and what the kernel tells of it, from its state on."""
    for name in posix.listdir("/proc"):
        if not name.isdecimal() or name == "1":
            continue
        try:
            fields = _read(f"/proc/{name}/stat").rpartition(b")")[2].split()
        except OSError:
            continue
        if fields and fields[0] not in (b"Z", b"X"):
            yield int(name), fields


def _alive() -> list[int]:
    return [number for number, _ in _living()]


def _uses() -> list[str]:
    """What each process of the run uses: seconds of CPU time, resident bytes, and threads."""
    found = []
    for _, fields in _living():
        ticks = sum(int(value) for value in fields[11:15])
        found.append(f"{ticks / TICKS:.2f}:{int(fields[21]) * PAGE_BYTES}:{int(fields[17])}")
    return found[:MOST_TOLD]


def _cpu_seconds(process: int) -> float:
    """CPU time of one process; 0.0 when it has ended."""
    try:
        return time.clock_gettime((~process << 3) | SCHEDULED)
    except OSError:
        return 0.0


def _killed_for_memory() -> int:
    """How many processes of this container the kernel has killed for want of memory; 0 where it does not tell."""
    for path in OUT_OF_MEMORY:
        try:
            lines = _read(path).split(b"\n")
        except OSError:
            continue
        return sum(int(line.split()[1]) for line in lines if line.startswith(b"oom_kill "))
    return 0


def _which(name: str) -> list[str]:
    """Where a program is in the image, and where that leads to in the end; empty when it has none."""
    import shutil  # noqa: PLC0415 - few containers are asked, and each starts faster without it

    named = shutil.which(name)
    return [] if named is None else [os.path.abspath(named), os.path.realpath(named)]  # noqa: PTH100 - a link stays one


def _answer(command: list[str]) -> str:
    """What a tool of the image says, in its word."""
    import subprocess  # noqa: PLC0415 - as above

    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unsaid {str(error).encode()[:MOST_SAID].hex()}"
    if done.returncode:
        return f"unsaid {f'{command[0]} left with exit code {done.returncode}'.encode()[:MOST_SAID].hex()}"
    return f"said {(done.stdout or done.stderr)[:MOST_SAID].hex()}"


def _empty() -> None:
    """Remove all that a run can have left: files, queues, and what the kernel keeps for System V's calls."""
    left = MOST_ENTRIES
    for place in PLACES:
        left = _empty_folder(place, left)
    for kind, remove in (("shm", _library.shmctl), ("msg", _library.msgctl), ("sem", _remove_semaphores)):
        for number in _kept(kind):
            remove(number, IPC_RMID, None)


def _empty_folder(place: str, left: int) -> int:
    """Remove what is in it, at most `left` entries; gives how many more there might have been."""
    pending, folders = [place], []
    while pending:
        folder = pending.pop()
        if folder != place:
            posix.chmod(folder, 0o700)
            folders.append(folder)
        for entry in _entries(folder):
            left -= 1
            if left < 0:
                raise OverflowError("there is too much of it")
            if stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
                pending.append(entry.path)
            else:
                posix.unlink(entry.path)
    for folder in reversed(folders):
        posix.rmdir(folder)
    return left


def _entries(folder: str) -> "list[posix.DirEntry[str]]":
    try:
        with posix.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:  # the engine has not mounted it
        return []


def _kept(kind: str) -> list[int]:
    try:
        lines = _read(f"/proc/sysvipc/{kind}").decode("ascii").splitlines()
    except FileNotFoundError:  # a kernel without them
        return []
    return [int(line.split()[1]) for line in lines[1:]]


def _remove_semaphores(number: int, command: int, _: Any) -> None:
    _library.semctl(number, 0, command)


def main(path: str) -> NoReturn:
    """Connect to the parent and serve it. Nowhere but as the first process: it kills all others that it can see."""
    if os.getpid() != 1:
        sys.exit("this is the first process of a container, or nothing")
    _library.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.connect(path)
    Agent(control).serve()


if __name__ == "__main__":
    main(sys.argv[1])
