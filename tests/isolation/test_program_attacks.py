"""Harm by whole programs in other languages, as data: held in every strong form of isolation, and shown undefended."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prismenv.isolation.attacks import filled
from prismenv.isolation.baits import Baits, laid_baits, processes_with
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.kit import language_shelf
from prismenv.isolation.programattacks import MARK, ProgramAttack, load_program_attacks
from prismenv.isolation.toolchain import Toolchain, find_toolchain
from prismenv.isolation.toolwords import filled as filled_words
from prismenv.words.errors import ConfigurationException

ATTACKS = [
    pytest.param(attack, id=f"{attack.language}: {attack.group}: {attack.name}") for attack in load_program_attacks()
]


@pytest.fixture(scope="module")
def baits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Baits]:
    with laid_baits(tmp_path_factory.mktemp("baits")) as laid:
        yield laid


def chain_of(language: str) -> Toolchain:
    try:
        return find_toolchain(language_shelf().profile(language))
    except ConfigurationException as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("form", ["full", "userns", "alone"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_by_a_program_is_held(
    attack: ProgramAttack, form: str, baits: Baits, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    chain_of(attack.language)
    if why := attack.why_not(form):
        pytest.skip(why)
    if form == "alone" and language_shelf().profile(attack.language).compile is not None:
        pytest.skip("nothing is compiled without namespaces")
    if form == "userns" and attack.language not in ("bash", "javascript", "cpp"):
        pytest.skip("its jail is that of the others, which are tried there")
    if form == "userns" and attack.group == "exhausting" and attack.language == "cpp":
        pytest.skip("what holds it is tried there by the attacks in Python")
    sandbox = warm_sandbox(form)
    done = sandbox.run(attack.source(baits.words), language=attack.language, limits=attack.allowed())
    assert attack.is_held(done), done
    assert not baits.damage()
    assert not (attack.survivor and processes_with(filled(attack.survivor, baits.words)))
    after = sandbox.judge("def f(): return 1", "def test_a(): assert f() == 1")
    assert after.outcome == "passed", after.output


@pytest.mark.parametrize("attack", ATTACKS)
def test_its_twin_does_harm_undefended(attack: ProgramAttack, baits: Baits, tmp_path: Path) -> None:
    if attack.twin:
        pytest.skip(attack.twin)
    chain, profile = chain_of(attack.language), language_shelf().profile(attack.language)
    baits.refill()
    source = tmp_path / profile.files.program
    source.write_text(attack.source(baits.words), encoding="utf-8")
    values = {**chain.values, "source": source.name}
    if profile.compile is not None:
        subprocess.run(filled_words(profile.compile.command, values), cwd=tmp_path, check=True, timeout=120)
    done = subprocess.run(
        filled_words(profile.run, values), cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert MARK in done.stdout, done


HARM = {"exhausting", "reading", "writing", "network", "processes"}


@pytest.mark.parametrize("language", [name for name in language_shelf().names() if name != "python"])
def test_each_class_of_harm_is_tried_in_each_language(language: str) -> None:
    assert {each.group for each in load_program_attacks() if each.language == language} >= HARM
