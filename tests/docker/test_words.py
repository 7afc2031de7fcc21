"""What the parent makes of what a container says, and of one that goes: played, so that it needs no engine."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

import pytest

from prismenv.isolation.container import Container, ContainerDesign, ContainerGuest, ContainerLostError, engine_limits
from prismenv.isolation.containershed import ImageTools
from prismenv.isolation.engine import Engine
from prismenv.words.errors import SandboxException
from prismenv.words.limits import Limits

READY = f"ready {MAGIC_NUMBER.hex()} 3.x {b'/python'.hex()}"
LIMITS = Limits()


class PlayedEngine(Engine):
    """Its containers are a thread that answers each word with what `script` says of it; None ends the container."""

    def play(self, script: Mapping[str, str | None], out_of_memory: bool = False) -> "PlayedEngine":
        object.__setattr__(self, "script", script)
        object.__setattr__(self, "told", {"OOMKilled": out_of_memory})
        object.__setattr__(self, "calls", [])
        return self

    def create(self, settings: Mapping[str, Any]) -> str:
        [mount] = settings["HostConfig"]["Mounts"]
        self.calls.append(("create", settings))  # type: ignore[attr-defined]
        object.__setattr__(self, "place", mount["Source"])
        return "played"

    def start(self, container: str) -> None:
        threading.Thread(target=self._serve, daemon=True).start()

    def update(self, container: str, settings: Mapping[str, Any]) -> None:
        self.calls.append(("update", dict(settings)))  # type: ignore[attr-defined]

    def state(self, container: str) -> dict[str, Any]:
        return dict(self.told)  # type: ignore[attr-defined]

    def remove(self, container: str) -> None:
        self.calls.append(("remove", container))  # type: ignore[attr-defined]

    def _serve(self) -> None:
        script = self.script  # type: ignore[attr-defined]
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control:
            control.connect(f"{self.place}/control")  # type: ignore[attr-defined]
            answer = script.get("start", READY)
            while answer is not None:
                if answer:
                    control.send(answer.encode())
                data, descriptors, _, _ = socket.recv_fds(control, 2**17, 4)
                for each in descriptors:
                    os.close(each)
                if not data:
                    return
                answer = script.get(data.decode().split()[0], "")


Opened = Callable[..., tuple[Container, PlayedEngine]]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """`opened(script, out_of_memory=…)`: a container that serves, and its engine."""
    made: list[Container] = []

    def open_one(script: Mapping[str, str | None], *, out_of_memory: bool = False) -> tuple[Container, PlayedEngine]:
        engine = PlayedEngine("/nowhere").play(script, out_of_memory)
        design = ContainerDesign("image", "python3", "7:8", 1.5, "agent", ["{python}"], {"A": "b"}, (), 10.0)
        place = tmp_path / f"place-{len(made)}"
        place.mkdir()
        made.append(Container(engine, design, place))
        made[-1].start(LIMITS)
        return made[-1], engine

    yield open_one
    for each in made:
        each.close()


def test_a_run_is_begun_and_its_end_is_told(opened: Opened) -> None:
    container, _ = opened({"run": "ended 1 3 0.25 4096 0", "uses": "using 0.5:100:1 0.25:200:3"})
    guest = ContainerGuest(container, LIMITS, None, streams_apart=True)
    done = guest.finish()
    assert (done.status, done.cpu_seconds, done.peak_memory_bytes) == (3, 0.25, 4096)
    assert guest.uses() == []
    guest.close()


def test_what_a_run_uses_is_asked_for_and_an_end_in_between_is_kept(opened: Opened) -> None:
    container, _ = opened({"uses": "using 0.5:100:1 0.25:200:3", "kill": "ended 1 -9 0.5 1 0"})
    guest = ContainerGuest(container, LIMITS, None, streams_apart=False)
    assert [(use.cpu_seconds, use.resident_bytes) for use in guest.uses()] == [(0.5, 100), (0.25, 200)]
    assert not guest.has_ended()
    guest.kill()
    assert guest.finish().status == -9
    guest.close()


@pytest.mark.parametrize(
    ("answer", "out_of_memory", "status", "killed_for"),
    [
        (None, False, None, None),
        (None, True, -9, "memory_bytes"),
        ("broken processes of a run could not be killed", False, None, None),
        ("nonsense", False, None, None),
        ("ended 7 0 0.1 1 0", False, None, None),
    ],
)
def test_a_container_that_goes_or_raves_in_a_run_is_nobodys_fault_but_for_want_of_memory(
    opened: Opened, answer: str | None, out_of_memory: bool, status: int | None, killed_for: str | None
) -> None:
    container, _ = opened({"run": answer}, out_of_memory=out_of_memory)
    guest = ContainerGuest(container, LIMITS, None, streams_apart=False)
    done = guest.finish()
    assert (done.status, done.killed_for) == (status, killed_for)
    assert container.dead
    guest.close()
    container.close()
    with pytest.raises(ContainerLostError):
        ContainerGuest(container, LIMITS, None, streams_apart=False)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "the container has ended"),
        ("broken it has no memory", "it has no memory"),
        ("hello", "it said nothing"),
        ("ready 00000000 2.7.18 2f", "the image 'image' has Python 2.7.18"),
    ],
)
def test_one_that_does_not_begin_to_serve_is_removed(opened: Opened, answer: str | None, says: str) -> None:
    with pytest.raises(SandboxException, match=says) as caught:
        opened({"start": answer})
    assert caught.value.code == "image_unfit"


def test_limits_of_a_run_are_the_containers_too_and_are_changed_only_where_they_differ(opened: Opened) -> None:
    container, engine = opened({"run": ""})
    more = LIMITS.model_copy(update={"memory_bytes": 2**30, "processes": 3})
    for limits in (LIMITS, more, more, LIMITS):
        container.ask(limits, [])
    [(_, made), *calls] = engine.calls  # type: ignore[attr-defined]
    assert calls == [("update", engine_limits(more)), ("update", engine_limits(LIMITS))]
    host = made["HostConfig"]
    assert engine_limits(LIMITS).items() <= host.items()
    assert (host["NetworkMode"], host["CapDrop"], host["SecurityOpt"]) == ("none", ["ALL"], ["no-new-privileges"])
    assert (host["ReadonlyRootfs"], host["NanoCpus"], made["User"]) == (True, 1_500_000_000, "7:8")
    assert "uid=7,gid=8" in host["Tmpfs"]["/tmp"]
    container.close()
    assert engine.calls[-1] == ("remove", "played")  # type: ignore[attr-defined]


def test_the_first_process_of_a_container_is_nothing_elsewhere(root: Path) -> None:
    """It kills all that it can see: here that would be everything."""
    words = [sys.executable, "-I", "-S", str(root / "sandbox" / "guests" / "container_agent.py"), "/nowhere"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "or nothing" in done.stderr) == (1, True)


def test_tools_of_an_image_are_where_it_says(opened: Opened) -> None:
    answers = {"which": f"found {b'/bin/a b'.hex()} {b'/opt/real'.hex()}", "ask": f"said {'5 ä ok'.encode().hex()}"}
    tools = ImageTools(opened(answers)[0], "tongue", "image")
    assert tools.which("a b") == ("/bin/a b", "/opt/real")
    assert tools.ask(["/opt/real", "--version"]) == "5 ä ok"
    nothing = ImageTools(opened({"which": "found", "ask": f"unsaid {b'it left'.hex()}"})[0], "tongue", "image")
    assert nothing.which("a") is None
    with pytest.raises(OSError, match="it left"):
        nothing.ask(["a"])


@pytest.mark.parametrize("answer", [None, "nonsense", "found xyz 00", "broken it is ill"])
def test_a_container_that_raves_when_it_is_asked_for_a_tool_is_lost(opened: Opened, answer: str | None) -> None:
    container, _ = opened({"which": answer, "ask": answer})
    with pytest.raises(SandboxException, match="tools of tongue were looked for is lost"):
        ImageTools(container, "tongue", "image").which("a")
    container, _ = opened({"which": answer, "ask": answer and answer.replace("found", "said")})
    with pytest.raises(SandboxException, match="tools of tongue were looked for is lost"):
        ImageTools(container, "tongue", "image").ask(["a"])
