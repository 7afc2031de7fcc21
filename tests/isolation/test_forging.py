"""Forging, as data: no wrong solution is called right by a split verdict, and its twin shows where it is.

A twin says one of these words, or why nothing can be shown:
    shared    the shared verdict, which has the suite and the solution in one process, passes it
    naive     the program of solution and suite leaves with exit code 0
    printed   the program prints what a judge that reads output takes for a pass
    exhausts  the program is killed, fills what it may have, or does not end
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from prismenv.isolation.attacks import Attack, load_attacks
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.processes import use_of
from prismenv.words.limits import Limits
from prismenv.words.verdict import Verdict, VerdictMode

FORMS = ("full", "userns", "alone", "portable")
DISTURBING = ("leaving", "raw frames", "killing the judge", "clock")  # what could harm more than its own verdict
SHOWN = ("shared", "naive", "printed", "exhausts")
PATIENCE_SECONDS = 2
ENOUGH_CPU_SECONDS = 0.5  # by then it does not end
GUARD = """
import resource
for kind, most in ((resource.RLIMIT_AS, 2**30), (resource.RLIMIT_FSIZE, 2**26), (resource.RLIMIT_CPU, 1), (resource.RLIMIT_CORE, 0)):
    resource.setrlimit(kind, (most, most + (kind == resource.RLIMIT_CPU) * 2))
del resource, kind, most
"""  # noqa: E501 - a program
RUN_CASES = "\nunittest.main()\n"
RUN_FUNCTIONS = "\nfor _name in [name for name in globals() if name.startswith('test')]: globals()[_name]()\n"
PASS = re.compile(r"^(OK|=+ \d+ passed.*|All tests passed\.)$", re.MULTILINE)


def attacks(family: Any, *, only: Callable[[Attack], bool] = lambda _: True) -> list[Any]:
    found = [attack for attack in load_attacks(family) if only(attack)]
    return [pytest.param(attack, id=f"{attack.group}: {attack.name}") for attack in found]


def judged(sandbox: BlockingSandbox, attack: Attack, mode: VerdictMode, limits: Limits | None = None) -> Verdict:
    limits = limits or attack.allowed()
    return sandbox.judge(attack.source({}), attack.tests, limits=limits, module=attack.module, verdict=mode)


def program_of(attack: Attack) -> str:
    """Solution and suite in one file, run as people do who take the exit code for a verdict."""
    ending = RUN_CASES if "unittest.TestCase)" in attack.tests else RUN_FUNCTIONS
    if attack.whole or "\ncheck(" in attack.tests:
        ending = ""
    source = attack.source({})
    return f"{GUARD}{source if isinstance(source, str) else source.text}\n{attack.tests}{ending}"


@pytest.mark.sampled("userns", "alone", "portable", every=6)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("attack", attacks("forge"))
def test_a_split_verdict_is_not_forged(
    attack: Attack, form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    if why := attack.why_not(form, "split"):
        pytest.skip(why)
    sandbox = warm_sandbox(form)
    verdict = judged(sandbox, attack, "split")
    assert attack.is_held(verdict, form), verdict.model_dump_json(indent=1) + verdict.output
    if form == "portable" or attack.group not in DISTURBING:
        return  # nothing is left there that the next run could meet
    after = sandbox.judge("def f(): return 1", "def test_a(): assert f() == 1")
    assert after.outcome == "passed", after.output


@pytest.mark.parametrize("form", ["portable", "alone"])
def test_what_stands_in_the_way_of_a_patch_is_in_the_part_that_patches(
    form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    """A fresh guest loaded the part twice, and watched the copy that nobody used."""
    [attack] = [each for each in load_attacks("forge") if each.name == "the target of monkeypatch is a text"]
    assert judged(warm_sandbox(form), attack, "split").outcome == "invalid_tests"


@pytest.mark.parametrize("form", ["full"])
@pytest.mark.parametrize("attack", attacks("forge", only=lambda attack: attack.shared))
def test_what_a_shared_verdict_holds_is_held(
    attack: Attack, form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    if why := attack.why_not(form, "shared"):
        pytest.skip(why)
    verdict = judged(warm_sandbox(form), attack, "shared")
    assert attack.is_held(verdict, form), verdict.model_dump_json(indent=1) + verdict.output


@pytest.mark.sampled("userns", "portable", every=5)
@pytest.mark.parametrize(("form", "mode"), [*((form, "split") for form in FORMS), ("full", "shared")])
@pytest.mark.parametrize("case", attacks("legit"))
def test_what_only_looks_like_an_attack_passes(
    case: Attack, form: str, mode: VerdictMode, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    verdict = judged(warm_sandbox(form), case, mode)
    assert case.is_held(verdict, form), verdict.model_dump_json(indent=1) + verdict.output


@pytest.mark.parametrize("attack", attacks("forge"))
def test_its_twin_shows_where_it_works(
    attack: Attack, warm_sandbox: Callable[[str], BlockingSandbox], tmp_path: Path
) -> None:
    if attack.twin not in SHOWN:
        assert " " in attack.twin, "it says why there is none"
        pytest.skip(attack.twin)
    if attack.twin == "shared":
        verdict = judged(warm_sandbox("alone"), attack, "shared", Limits(wall_seconds=30, cpu_seconds=20))
        assert verdict.outcome == "passed", verdict.output
        return
    code, text = run_undefended(attack, tmp_path)
    if attack.twin == "naive":
        assert code == 0, text
    elif attack.twin == "printed":
        assert PASS.search(text), text
    else:
        assert code is None or code < 0 or "MemoryError" in text or len(text) > 2**20, text[-2000:]


def run_undefended(attack: Attack, folder: Path) -> tuple[int | None, str]:
    """The exit code, None when it had to be ended, and what was printed."""
    for name, text in (attack.files or {"solution.py": attack.solution or ""}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    program = folder / "program.py"
    program.write_text(program_of(attack), encoding="utf-8")
    output = folder / "output"
    with output.open("wb") as stream:
        done = subprocess.Popen(
            [sys.executable, str(program)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        try:
            wait_for(done, exhausts=attack.twin == "exhausts")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(done.pid, 9)
    code = done.poll()
    done.wait()
    return code, output.read_bytes()[: 2 * 2**20].decode(errors="replace")


def wait_for(process: subprocess.Popen[bytes], *, exhausts: bool) -> None:
    """Until it has ended; one that is not to end, until it has used or waited enough to show it."""
    if not exhausts:
        process.wait(timeout=60)
        return
    end = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < end:
        used = use_of(process.pid)
        if used is not None and used.cpu_seconds > ENOUGH_CPU_SECONDS:
            return
        time.sleep(0.02)


def test_there_are_attacks_of_every_class() -> None:
    found = load_attacks("forge")
    assert len(found) >= 110
    assert {attack.group for attack in found} == {
        "leaving", "reporting", "raw frames", "agreeing", "recording", "patching", "walking", "skipping",
        "control flow", "reaching", "shadowing", "importing", "rewriting", "killing the judge", "reading tests",
        "clock",
    }  # fmt: skip
    assert len({attack.name for attack in found}) == len(found)
    assert not any("passed" in (attack.expect or ()) for attack in found)
    assert len(load_attacks("legit")) >= 25
