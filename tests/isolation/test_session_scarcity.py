"""Sessions where something of the machine goes away: descriptors, a process, the zygote of all sessions."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from prismenv.contracts.jail import Sandbox
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.kinds import FORMS, problem_of
from prismenv.isolation.processes import descendants, use_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is scarce is made so by Linux")
ALL = ["portable", *FORMS]

DESCRIPTORS = """
import json, os, resource, sys
from prismenv import BlockingSandbox, SandboxException
from prismenv.isolation.jailed import JailedSandbox
from prismenv.isolation.portable import PortableSandbox
form = sys.argv[1]
def held():
    return len(os.listdir("/proc/self/fd"))
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
with BlockingSandbox(PortableSandbox(1) if form == "portable" else JailedSandbox(1, form=form)) as box:
    with box.open() as first:
        first.execute("1")
    before, outcomes = held(), []
    for spare in range(0, 20):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + spare, hard))
        try:
            with box.open() as session:
                outcomes.append(session.execute("1").outcome)
        except SandboxException as error:
            outcomes.append("refused")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    with box.open() as last:
        outcomes.append(last.execute("1").result)
    print(json.dumps([outcomes, held() - before]))
"""


@pytest.mark.parametrize("form", ALL)
def test_without_descriptors_opening_is_refused_and_nothing_is_lost(form: str, tmp_path: Path) -> None:
    if form in FORMS and problem_of(form):
        pytest.skip(f"{form}: {problem_of(form)}")
    command = [sys.executable, "-c", DESCRIPTORS, form]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    outcomes, lost = json.loads(done.stdout)
    assert outcomes[0] == "refused"
    assert outcomes[-2:] == ["finished", "1"]
    assert set(outcomes[:-1]) <= {"refused", "finished", "infrastructure_error"}
    assert lost == 0


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """More than 1024 of them are open, so that every new one has a number beyond what select(2) takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("this user may not open so many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    with ExitStack() as held:
        for _ in range(1100):
            held.callback(os.close, os.dup(2))
        yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("form", ALL)
@pytest.mark.usefixtures("many_descriptors")
def test_descriptors_with_large_numbers_do_as_well(form: str, new_sandbox: Callable[..., Sandbox]) -> None:
    with BlockingSandbox(new_sandbox(form)) as box, box.open() as one, box.open() as other:
        one.execute("x = 1")
        one.put_files({"a": "1"})
        assert one.execute("import time\ntime.sleep(60)", wall_seconds=0.1).outcome == "timed_out"
        assert (one.execute("x").result, other.execute("'x' in globals()").result) == ("1", "False")
        assert one.get_files().files == {"a": b"1"}


def started_by(act: Callable[[], object]) -> list[int]:
    """The processes that there are after `act` and were not before."""
    before = set(descendants(os.getpid()))
    act()
    return [pid for pid in descendants(os.getpid()) if pid not in before]


@pytest.mark.parametrize("form", ALL)
def test_a_session_that_somebody_kills_in_a_call_gives_an_error_and_says_that_it_ended(
    form: str, new_sandbox: Callable[..., Sandbox]
) -> None:
    with BlockingSandbox(new_sandbox(form)) as box:
        box.open().close()  # its zygote is there
        sessions = []
        pids = started_by(lambda: sessions.append(box.open()))
        assert len(pids) == 1
        timer = threading.Timer(0.3, os.kill, (pids[0], signal.SIGKILL))
        timer.start()
        done = sessions[0].execute("import time\ntime.sleep(60)", wall_seconds=60)
        timer.join()
        assert (done.outcome, done.session_ended) == ("crashed", True)
        assert sessions[0].ended is not None
        assert "SIGKILL" in sessions[0].ended
        assert box.open().execute("1").result == "1"


@pytest.mark.parametrize("form", FORMS)
def test_the_death_of_their_zygote_ends_sessions_and_the_next_has_another(
    form: str, new_sandbox: Callable[..., Sandbox]
) -> None:
    with BlockingSandbox(new_sandbox(form)) as box:
        sessions = []
        zygote, *_ = started_by(lambda: sessions.append(box.open()))
        os.kill(zygote, signal.SIGKILL)
        ends = time.monotonic() + 60
        while use_of(zygote) is not None:
            assert time.monotonic() < ends
            time.sleep(0.01)
        done = sessions[0].execute("1")
        assert (done.outcome, done.session_ended) == ("infrastructure_error", True)
        assert box.open().execute("1").result == "1"
