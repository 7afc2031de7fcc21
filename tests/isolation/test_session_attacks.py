"""Sessions against code that means harm: what it does ends with it, is told in a class, and reaches nobody else.

What such code does to an interpreter without a jail is shown in test_session_twins.py.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.kinds import FORMS, problem_of
from prismenv.isolation.processes import descendants, use_of
from prismenv.words.coderesult import CodeResult
from prismenv.words.limits import Limits

ALL = ["portable", *FORMS]
JAILED = list(FORMS)
ATTACKS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "attacks" / "sessions.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(
    ("attack", "form"),
    [
        pytest.param(attack, form, id=f"{attack['name']}-{form}")
        for attack in ATTACKS
        for form in attack.get("forms", ALL)
    ],
)
def test_an_attack_in_a_session_is_held(
    attack: dict[str, Any],
    form: str,
    warm_sandbox: Callable[[str], BlockingSandbox],
    hold_in_session: Callable[[BlockingSandbox, dict[str, Any]], None],
) -> None:
    hold_in_session(warm_sandbox(form), attack)


@pytest.mark.parametrize("form", ["full", "userns"])
def test_a_process_that_a_call_leaves_behind_ends_with_it(
    form: str, warm_sandbox: Callable[[str], BlockingSandbox], session_limits: Limits
) -> None:
    daemon = "import os, time\nchild = os.fork()\nif not child:\n    os.setsid()\n    time.sleep(600)\nchild"
    with warm_sandbox(form).open(limits=session_limits) as session:
        assert session.execute(daemon).outcome == "finished"
        looked = session.execute("try:\n    os.kill(child, 0)\nexcept ProcessLookupError:\n    print('gone')")
        assert looked.stdout == "gone\n"


@pytest.mark.parametrize("form", ["full", "userns"])
def test_a_process_that_the_harness_does_not_end_ends_the_session(
    form: str, warm_sandbox: Callable[[str], BlockingSandbox], finds_harness: str, session_limits: Limits
) -> None:
    patch = finds_harness + "type(harness).serve.__globals__['end_children'] = lambda: None\n"
    code = patch + "import os, time\nif not os.fork():\n    time.sleep(600)"
    with warm_sandbox(form).open(limits=session_limits) as session:
        done = session.execute(code)
        assert (done.outcome, done.session_ended) == ("process_limit", True)


@pytest.mark.parametrize("form", ALL)
def test_what_the_code_does_to_builtins_is_its_own_affair(
    form: str, warm_sandbox: Callable[[str], BlockingSandbox], session_limits: Limits
) -> None:
    with warm_sandbox(form).open(limits=session_limits) as session:
        done = session.execute("import builtins\nfor name in list(vars(builtins)): delattr(builtins, name)")
        assert done.session_ended or session.execute("1 + 1").result == "2"


@pytest.mark.parametrize("form", JAILED)
def test_a_session_has_no_more_rights_than_a_run(
    form: str, warm_sandbox: Callable[[str], BlockingSandbox], session_limits: Limits
) -> None:
    code = """
import os, socket
held = []
def refused(what, act):
    try:
        act()
    except OSError:
        held.append(what)
refused("host", lambda: open("/etc/passwd"))
refused("network", lambda: socket.socket())
refused("write", lambda: open("/usr/lib/x", "w"))
refused("parent", lambda: os.kill(os.getppid() or 2**22, 9))
refused("link", lambda: open("/proc/1/environ"))
def is_open(descriptor):
    try:
        return bool(os.fstat(descriptor))
    except OSError:
        return False
held, dict(os.environ), sum(map(is_open, range(4096)))
"""
    with warm_sandbox(form).open(limits=session_limits) as session:
        done = session.execute(code)
        assert done.result is not None, done
        assert done.result.startswith("(['host', 'network', 'write', 'parent', 'link'], {"), done
        assert done.result.endswith("}, 4)"), done  # three streams and the channel
        assert "PATH" not in done.result


KEEPER = """
import os, sys, time
from prismenv import BlockingSandbox
from prismenv.isolation.processes import descendants
with BlockingSandbox({sandbox}) as box:
    session = box.open()
    idle = box.open()
    session.execute("1")
    print(*descendants(os.getpid()), flush=True)
    session.execute("print('on')\\nwhile True: pass", wall_seconds=300, cpu_seconds=300)
"""


@pytest.mark.parametrize("form", ALL)
def test_nothing_survives_a_parent_that_is_killed(form: str, tmp_path: Path) -> None:
    if form in FORMS and problem_of(form):
        pytest.skip(f"{form}: {problem_of(form)}")
    made = "PortableSandbox(1)" if form == "portable" else f"JailedSandbox(1, form={form!r})"
    sandbox = (
        f"__import__('prismenv.isolation.{'portable' if form == 'portable' else 'jailed'}', fromlist=['*']).{made}"
    )
    code = KEEPER.format(sandbox=sandbox)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as parent:
        assert parent.stdout is not None
        started = [int(word) for word in parent.stdout.readline().split()]
        assert len(started) > 2
        time.sleep(0.2)  # into the call; before it would do as well
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    ends = time.monotonic() + 60
    while alive := [pid for pid in started if use_of(pid) is not None]:
        assert time.monotonic() < ends, alive
        time.sleep(0.02)


def test_the_list_of_forms_has_what_is_tried_here() -> None:
    assert set(ALL) == {"portable", *FORMS}
    assert descendants(os.getpid())[0] == os.getpid()


def test_a_result_is_a_record_that_can_be_sent(warm_sandbox: Callable[[str], BlockingSandbox]) -> None:
    with warm_sandbox("portable").open() as session:
        done = session.execute("print('\\ud800'.encode('utf-8', 'surrogatepass'))\nraise ValueError('\\ud800\\0')")
    assert CodeResult.model_validate_json(done.model_dump_json()) == done
