"""Harm, as data: each attack is held in every strong form of isolation, and its twin shows what it does undefended."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from prismenv.isolation.attacks import CALLS_MACHINE, Attack, filled, load_attacks
from prismenv.isolation.baits import Baits, laid_baits, processes_with
from prismenv.isolation.blocking import BlockingSandbox

FORMS = ("full", "userns", "alone")
HARMFUL = "harmful"
GUARD = """
import resource
for kind, most in ((resource.RLIMIT_AS, 2 * 2**30), (resource.RLIMIT_FSIZE, 300 * 2**20), (resource.RLIMIT_CPU, 20)):
    resource.setrlimit(kind, (most, most))
"""
ENDING = """
import os
harm = None
try:
    harm = attack()
finally:
    print("HARM" if harm else "held", flush=True)
    os._exit(0)
"""
known_calls = pytest.mark.skipif(os.uname().machine != CALLS_MACHINE, reason="calls.yaml numbers another machine's")


def attacks() -> list[Any]:
    return [pytest.param(attack, id=f"{attack.group}: {attack.name}") for attack in load_attacks("harm")]


@pytest.fixture(scope="session")
def baits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Baits]:
    with laid_baits(tmp_path_factory.mktemp("baits")) as laid:
        yield laid


@known_calls
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("attack", attacks())
def test_an_attack_is_held(
    attack: Attack, form: str, baits: Baits, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    sandbox = warm_sandbox(form)
    for _ in range(attack.times):
        verdict = sandbox.judge(attack.source(baits.words), attack.tests, limits=attack.allowed())
        assert attack.is_held(verdict, form), verdict.output
    if attack.survivor is not None:
        assert not processes_with(filled(attack.survivor, baits.words))
    after = sandbox.judge("def f(): return 1", "def test_a(): assert f() == 1")
    assert after.outcome == "passed", after.output
    assert not baits.damage()


@known_calls
@pytest.mark.parametrize("attack", attacks())
def test_its_twin_shows_what_it_does_undefended(attack: Attack, baits: Baits, tmp_path: Path) -> None:
    if attack.twin != HARMFUL:
        pytest.skip(attack.twin)
    program = tmp_path / "program.py"
    program.write_text(GUARD + attack.source(baits.words) + ENDING, encoding="utf-8")
    baits.refill()
    command = [sys.executable, str(program)]
    output = tmp_path / "output"
    mark = filled(attack.survivor or "", baits.words)
    with output.open("wb") as stream:  # no pipe: children may hold it open
        done = subprocess.Popen(command, cwd=tmp_path, stdout=stream, stderr=stream, start_new_session=True)
        try:
            done.wait(timeout=200)
            survivors = processes_with(mark) if mark else []
        finally:
            with suppress(ProcessLookupError):
                os.killpg(done.pid, 9)
    if mark:
        for pid in survivors:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        assert survivors
    else:
        text = output.read_bytes()[-2000:].decode(errors="replace")
        assert text.rstrip().endswith("HARM"), text


def test_there_are_attacks_of_every_class() -> None:
    found = load_attacks("harm")
    assert len(found) >= 130
    assert {attack.group for attack in found} == {
        "reading", "writing", "network", "processes", "outliving", "kernel", "exhausting",
    }  # fmt: skip
    assert len({attack.name for attack in found}) == len(found)
