"""What all tests share: the repository's root, the event loop that async tests run on, and sandboxes of every form."""

import os
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import settings

from prismenv.contracts.jail import Sandbox
from prismenv.contracts.recipe import SandboxSettings
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.jailed import JailedSandbox
from prismenv.isolation.kinds import FORMS, problem_of
from prismenv.isolation.portable import PortableSandbox
from prismenv.isolation.remote import RemoteSandbox
from prismenv.network.secret import Secret
from prismenv.words.limits import Limits

# Tests run side by side; threads of linear algebra would only keep each other waiting.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# No deadline: how long an example takes says something about the machine, not about the code.
# Examples are drawn anew each time on a developer's machine, and are the same ones each time in CI: what chance finds
# there says nothing about the change that is being checked, and the next run would not find it again.
settings.register_profile("prismenv", deadline=None)
settings.register_profile("prismenv-ci", deadline=None, derandomize=True)
settings.load_profile("prismenv-ci" if os.environ.get("CI") else "prismenv")

ROOT = Path(__file__).resolve().parent.parent


class Served(RemoteSandbox):
    """A sandbox that is reached through a service, which is there while it is open."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        serving = pytest.importorskip("prismenv.server.sandboxes.serving", reason="the extra server is not installed")
        async with AsyncExitStack() as stack:
            served = serving.ServedSandbox(await stack.enter_async_context(self._sandbox), 2)
            settings = serving.SandboxServeSettings(port=0)
            running = await stack.enter_async_context(serving.running_sandbox_service(served, settings))
            super().__init__(SandboxSettings(url=running.url), None, Secret(""))
            await super().__aenter__()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self._stack.aclose()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-form", action="store_true", help="try each case in each form of isolation, not a sample")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the forms that a `sampled` mark names, keep every so many cases, and those that expect something else there.

    What such a case tests is the same code in all forms, and one of them runs all.
    """
    if config.getoption("--every-form"):
        return
    left_out = [item for item in items if _is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


def _is_left_out(item: pytest.Item) -> bool:
    mark, call = item.get_closest_marker("sampled"), getattr(item, "callspec", None)
    if mark is None or call is None or call.params["form"] not in mark.args:
        return False
    name = "attack" if "attack" in call.params else "case"
    case = call.params[name]
    differs = case.get("differs", {}) if isinstance(case, dict) else case.differs
    # By its name: the number of a case counts forms and modes too, so that one and the same form would get all or none.
    called = case["name"] if isinstance(case, dict) else case.name
    return bool(zlib.crc32(called.encode()) % mark.kwargs["every"]) and call.params["form"] not in differs


PROCESSES = 2048  # that the tests of one worker may have: a bomb that nothing else holds takes no more of the machine


@pytest.fixture(scope="session", autouse=True)
def _no_more_processes() -> Iterator[None]:
    """A control group around a worker and all that it starts, where it may make one."""
    try:
        told = Path("/proc/self/cgroup").read_text().splitlines()
        own = next((line.split(":", 2)[2] for line in told if line.split(":")[1] == "pids"), "/none")
        group = Path(f"/sys/fs/cgroup/pids{own}/tests-{os.getpid()}")
        group.mkdir()
        (group / "pids.max").write_text(str(PROCESSES))
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:  # another user than root, or another system: the limits of users hold there
        yield
        return
    yield
    (group.parent / "cgroup.procs").write_text(str(os.getpid()))
    for _ in range(100):
        try:
            group.rmdir()
        except OSError:  # what the last test ended is still on its way out
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data beside the repository; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared beside the repository")
    return folder


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def new_sandbox() -> Callable[..., Sandbox]:
    """Makes a sandbox of a form of isolation, `options` as its class takes them; skips where it is not to be had.

    The form `service` is the portable one, reached through a service.
    """

    def make(form: str, workers: int = 1, **options: Any) -> Sandbox:
        for jail in FORMS:
            if form == jail:
                if problem_of(jail):
                    pytest.skip(f"{jail}: {problem_of(jail)}")
                return JailedSandbox(workers, form=jail, **options)
        here = PortableSandbox(workers, **options)
        return Served(here) if form == "service" else here

    return make


@pytest.fixture(scope="session")
def warm_sandbox(new_sandbox: Callable[..., Sandbox]) -> Iterator[Callable[[str], BlockingSandbox]]:
    """Gives the sandbox of a form that all tests share, opened when it is first asked for."""
    opened: dict[str, BlockingSandbox] = {}
    with ExitStack() as stack:

        def of(form: str) -> BlockingSandbox:
            if form not in opened:
                opened[form] = stack.enter_context(BlockingSandbox(new_sandbox(form)))
            return opened[form]

        yield of


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of so many MB."""
    folder = tmp_path / "disk"

    def make(megabytes: int) -> Path:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        try:
            mounted = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("no mount here")
        if mounted.returncode:
            pytest.skip("mounting a small disk needs root")
        return folder

    yield make
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


# The code finds the harness that runs it, and its Session.
FINDS_HARNESS = """
import sys
frame, harness = sys._getframe(), None
while frame is not None:
    found = frame.f_locals.get("self")
    if type(found).__name__ == "Session":
        harness = found
    frame = frame.f_back
"""
SESSION_LIMITS = Limits(wall_seconds=20, cpu_seconds=10, memory_bytes=96 * 2**20, output_bytes=50_000, processes=8)


@pytest.fixture
def finds_harness() -> str:
    """Code for a session, which has the harness that runs it as `harness` then."""
    return FINDS_HARNESS


@pytest.fixture
def session_limits() -> Limits:
    """Limits of a session that is attacked."""
    return SESSION_LIMITS


@pytest.fixture
def hold_in_session() -> Callable[[BlockingSandbox, dict[str, Any]], None]:
    """`hold_in_session(box, attack)`: that an attack of tests/attacks/sessions.yaml is held in a session of the box."""

    def hold(box: BlockingSandbox, attack: dict[str, Any]) -> None:
        code = f"{FINDS_HARNESS if attack.get('finds_harness') else ''}{attack['code']}"
        with box.open(limits=SESSION_LIMITS) as session, box.open(limits=SESSION_LIMITS) as neighbour:
            neighbour.execute("kept = 1")
            done = session.execute(code, wall_seconds=attack.get("wall_seconds"))
            assert done.outcome in attack["outcomes"], done
            assert attack.get("ended") in (None, done.session_ended), done
            assert (session.ended is not None) == done.session_ended
            assert len(done.stdout) + len(done.stderr) <= SESSION_LIMITS.output_bytes
            assert len(done.result or "") <= 200_100
            assert neighbour.execute("kept").result == "1"
            if not done.session_ended:
                again = session.execute("'still ' + 'here'", wall_seconds=5)
                flooded = again.outcome == "output_limit"  # by a thread of the call before
                assert again.session_ended or flooded or again.result == "'still here'", again
        with box.open(limits=SESSION_LIMITS) as after:
            assert after.execute("6 * 7").result == "42"

    return hold


@pytest.fixture
def hold_bombs() -> Callable[[BlockingSandbox, dict[str, str], str], None]:
    """`hold_bombs(box, bombs, cases)`: that C++ which bombs its compiler is the candidate's fault, told shortly.

    `bombs` are sources by what they are to take.
    """

    def hold(box: BlockingSandbox, bombs: dict[str, str], cases: str) -> None:
        for name, source in bombs.items():
            verdict = box.judge(source, cases, language="cpp")
            assert verdict.fault == "candidate", (name, verdict.output)
            assert verdict.outcome in ("errored", "timed_out", "out_of_memory", "output_limit", "crashed"), name
            assert len(verdict.output) < 10_000, name

    return hold
