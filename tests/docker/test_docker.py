"""Judging in containers of a real engine: the same verdicts, contained; and what becomes of runs when it breaks."""

import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from prismenv import ConfigurationException, FileSet, Limits, Sandbox, SandboxException
from prismenv.isolation.attacks import filled, load_attacks
from prismenv.isolation.baits import Baits, laid_baits, processes_with
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.docker import DockerSandbox, engine_state
from prismenv.isolation.engine import Engine
from prismenv.words.verdict import VerdictMode

SOLUTION = "def double(number):\n    return number + number\n"
WRONG = "def double(number):\n    return number\n"
TESTS = (
    "import unittest\n\nclass T(unittest.TestCase):\n    def test_two(self):\n        self.assertEqual(double(2), 4)\n"
)
Containers = Callable[..., set[str]]
Until = Callable[[Callable[[], bool]], None]
LEGIT = Path(__file__).parents[1] / "isolation" / "legit"
SECONDS = 60
EVERY = 40  # so many cases of the suites of other kinds, one is judged here: what judges is the same code
SAMPLE = [each for each in load_attacks() if zlib.crc32(each.name.encode()) % EVERY == 0 or "docker" in each.differs]


@pytest.mark.parametrize("mode", ["split", "shared"])
def test_solutions_are_judged_in_both_modes(docker_box: BlockingSandbox, mode: VerdictMode) -> None:
    good, bad = (docker_box.judge(each, TESTS, verdict=mode) for each in (SOLUTION, WRONG))
    assert (good.outcome, good.isolation, good.verdict_mode) == ("passed", "docker", mode), good.message
    assert (bad.outcome, bad.fault, bad.tests_failed_num) == ("failed", "candidate", 1)


def legit_cases() -> Iterator[Any]:
    for path in sorted(LEGIT.glob("*.yaml")):
        for case in yaml.safe_load(path.read_text(encoding="utf-8")):
            if zlib.crc32(case["name"].encode()) % EVERY == 0:
                yield pytest.param(case, id=f"{path.stem}: {case['name']}")


@pytest.mark.parametrize("case", list(legit_cases()))
def test_ordinary_suites_are_judged_as_elsewhere(docker_box: BlockingSandbox, case: dict[str, Any]) -> None:
    source = FileSet(files=case["files"], entry=case.get("entry")) if "files" in case else case["solution"]
    expected = case.get("split", case.get("expect", {})).get("outcome", "passed")
    verdict = docker_box.judge(source, case["tests"])
    assert verdict.outcome == expected, verdict.output


@pytest.fixture(scope="module")
def baits() -> Iterator[Baits]:
    with laid_baits() as laid:
        yield laid


@pytest.mark.parametrize("attack", SAMPLE, ids=lambda each: f"{each.group}: {each.name}")
def test_attacks_are_held_as_said(docker_box: BlockingSandbox, attack: Any, baits: Baits) -> None:
    if why := attack.why_not("docker", "split"):
        pytest.skip(why)
    for _ in range(attack.times):
        source = attack.source(baits.words)
        verdict = docker_box.judge(source, attack.tests, limits=attack.allowed(), module=attack.module)
        assert attack.is_held(verdict, "docker"), verdict.model_dump_json(indent=1)
    assert not baits.damage()
    assert not (attack.survivor and processes_with(filled(attack.survivor, baits.words)))


def test_it_keeps_what_it_promises(docker_box: BlockingSandbox) -> None:
    found = docker_box.probe()
    assert set(found.values()) == {"ok"}, found


def test_what_a_program_meets_is_a_container_without_rights(docker_box: BlockingSandbox) -> None:
    done = docker_box.run(
        "import os, re\n"
        "status = open('/proc/self/status').read()\n"
        "for name in ('Uid', 'CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp'):\n"
        "    print(name, *re.search(rf'^{name}:\\s*(.*)$', status, re.M)[1].split())\n"
        "print(sorted(os.listdir('/sys/class/net')))\n"
        "for path in ('/file', '/usr/bin/file', '/run/prismenv/file', '/etc/hostname'):\n"
        "    try: open(path, 'w')\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )
    assert done.stdout.splitlines() == [
        "Uid 65534 65534 65534 65534",
        "CapEff 0000000000000000",
        "CapBnd 0000000000000000",
        "NoNewPrivs 1",
        "Seccomp 2",
        "['lo']",
        *["OSError"] * 4,
    ]


@pytest.mark.parametrize(
    ("program", "limits", "outcome"),
    [
        ("import time; time.sleep(600)", {"wall_seconds": 0.5}, "timed_out"),
        ("while True: pass", {"cpu_seconds": 0.5}, "timed_out"),
        ("bytearray(b'x' * 10**9)", {"memory_bytes": 2**27}, "out_of_memory"),
        ("while True: print('x' * 1000)", {"output_bytes": 2000}, "output_limit"),
        (
            "import os\nfor _ in range(40):\n    if os.fork() == 0: os.pause()\nimport time; time.sleep(60)",
            {},
            "crashed",
        ),
        ("import os; os.abort()", {}, "crashed"),
        ("print(input()[::-1])", {}, "exited"),
    ],
)
def test_a_program_ends_as_the_contract_says(
    docker_box: BlockingSandbox, program: str, limits: dict[str, Any], outcome: str
) -> None:
    program = program.replace("os.pause()", "__import__('time').sleep(60)")
    done = docker_box.run(program, stdin="abc\n", limits=Limits(**limits))
    assert done.outcome == outcome, done


LEAVER = """
import os, stat, sys, time
os.makedirs("/tmp/deep/" + "d/" * 50)
os.chmod("/tmp/deep/d", 0)
open("/tmp/left", "w").write("x")
open("/dev/shm/left", "w").write("x")
os.symlink("/etc", "/tmp/link")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
"""
FINDER = """
import os
left = [name for place in ("/tmp", "/dev/shm", "/dev/mqueue") for name in os.listdir(place) if name != "program.py"]
print(left, [name for name in os.listdir("/proc") if name.isdecimal() and int(name) not in (1, os.getpid())])
"""


def test_a_run_finds_nothing_of_the_one_before(docker_box: BlockingSandbox) -> None:
    assert docker_box.run(LEAVER).exit_code == 0
    assert docker_box.run(FINDER).stdout == "[] []\n"


@pytest.mark.anyio
async def test_a_call_that_is_cancelled_leaves_nothing_behind(new_docker: Callable[..., DockerSandbox]) -> None:
    async with new_docker() as sandbox:
        with anyio.move_on_after(1):
            await sandbox.run("import time\ntime.sleep(600)", limits=Limits(wall_seconds=600))
        assert (await sandbox.run(FINDER)).stdout == "[] []\n"


@pytest.mark.usefixtures("docker_box")
def test_a_container_that_is_killed_costs_one_run_at_most(
    new_docker: Callable[..., DockerSandbox], engine: Path, containers: Containers, until: Until
) -> None:
    others = containers(ended=True)
    with BlockingSandbox(new_docker()) as box:
        for container in containers(ended=True) - others:
            subprocess.run(["docker", "-H", f"unix://{engine}", "kill", container], check=True, capture_output=True)
        assert box.judge(SOLUTION, TESTS).outcome in ("passed", "infrastructure_error")
        assert box.judge(SOLUTION, TESTS).outcome == "passed"
    until(lambda: containers(ended=True) == others)


PARENT = """
import sys
from prismenv import BlockingSandbox, Sandbox
docker = {"image": sys.argv[1], "socket": sys.argv[2]}
with BlockingSandbox(Sandbox(isolation="docker", workers=1, docker=docker)) as box:
    print(box.judge("def f(): return 1", "def test_a(): assert f() == 1").outcome, flush=True)
    sys.stdin.read()
"""


def test_containers_end_with_a_parent_that_is_killed(
    new_docker: Any, engine: Path, image: str, containers: Containers, until: Until
) -> None:
    before = len(containers())
    words = [sys.executable, "-c", PARENT, image, str(engine)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "passed\n"
        assert len(containers()) == before + 2
        parent.send_signal(signal.SIGKILL)
    until(lambda: len(containers()) == before)
    with BlockingSandbox(new_docker()):
        assert len(containers(ended=True)) == before + 2  # what was left of it is removed by the next one


def test_an_engine_that_dies_is_no_verdict_of_a_candidate(
    tree: bytes, import_image: Callable[..., None], running_engine: Callable[..., Any], image: str
) -> None:
    with running_engine() as (path, process):
        import_image(path, image, tree)
        sandbox = Sandbox(isolation="docker", workers=1, docker={"image": image, "socket": str(path)})
        with BlockingSandbox(sandbox) as box:
            assert box.judge(SOLUTION, TESTS).outcome == "passed"
            process.terminate()  # it ends its containers
            process.wait(SECONDS)
            verdict = box.judge(SOLUTION, TESTS)
            assert (verdict.outcome, verdict.fault) == ("infrastructure_error", "infrastructure")
            assert "no Docker engine answers" in verdict.message
    with pytest.raises(SandboxException, match="no Docker engine answers") as caught, BlockingSandbox(sandbox):
        pass
    assert caught.value.code == "engine_gone"


@pytest.mark.parametrize(
    ("settings", "code", "says"),
    [
        ({"image": "prismenv-no-such-image"}, "no_image", "docker pull prismenv-no-such-image"),
        ({"image": "prismenv-test-empty"}, "image_unfit", "has no 'python3'"),
        ({"python": "python9"}, "image_unfit", "has no 'python9'"),
        ({"python": "/usr/bin/other"}, "image_unfit", "has Python 2.7"),
        ({"python": "/usr/bin/mute", "start_seconds": 3}, "image_unfit", "does not begin to serve"),
    ],
)
def test_an_image_that_does_not_fit_is_refused_with_what_to_do(
    engine: Path, image: str, settings: dict[str, Any], code: str, says: str
) -> None:
    sandbox = Sandbox(isolation="docker", workers=1, docker={"image": image, "socket": str(engine), **settings})
    with pytest.raises(SandboxException) as caught, BlockingSandbox(sandbox):
        pass
    assert (caught.value.code, says in str(caught.value)) == (code, True), caught.value


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"packages": ["numpy"]}, "offers no packages"),
        ({"docker": {"socket": "tcp://10.0.0.1:2375"}}, "no socket on this machine"),
        ({"docker": {"user": "0:0"}}, "docker.user"),
        ({"docker": {"imagine": "x"}}, "imagine"),
    ],
)
def test_what_docker_cannot_do_is_refused_before_anything_starts(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationException, match=says):
        Sandbox(isolation="docker", **settings)
    with pytest.raises(SandboxException, match="full isolation is required"):
        Sandbox(isolation="docker", require="full")


def test_doctor_says_what_is_missing(engine: Path, tmp_path: Path) -> None:
    assert "docker pull python:3" in engine_state({"DOCKER_HOST": f"unix://{engine}"})
    assert "no Docker engine answers" in engine_state({"DOCKER_HOST": f"unix://{tmp_path}/none"})
    assert "no socket on this machine" in engine_state({"DOCKER_HOST": "tcp://10.0.0.1:2375"})


def test_where_there_is_no_engine_that_is_said(tmp_path: Path) -> None:
    engine = Engine(str(tmp_path / "socket"))
    with pytest.raises(SandboxException, match="no Docker engine answers") as caught:
        engine.version()
    assert caught.value.code == "engine_gone"
    assert os.fspath(tmp_path) in caught.value.message
