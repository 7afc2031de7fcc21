"""Harm by whole programs in other languages, as data: held in every strong form of isolation, and shown undefended."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from prismenv.isolation.attacks import filled
from prismenv.isolation.baits import Baits, laid_baits
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.kit import language_shelf
from prismenv.isolation.toolchain import Toolchain, find_toolchain
from prismenv.isolation.toolwords import filled as filled_words
from prismenv.words.errors import ConfigurationException
from prismenv.words.limits import Limits

FILE = Path(__file__).parents[1] / "attacks" / "programs.yaml"
KEYS = {"name", "class", "languages", "program", "limits", "expect", "twin", "docker"}
ENDS = ("exited", "timed_out", "out_of_memory", "output_limit", "crashed")
CLASSES = {"exhausting", "reading", "writing", "network", "killing", "privileges"}
Attack = dict[str, Any]


def attacks() -> list[Any]:
    found = []
    for attack in yaml.safe_load(FILE.read_text(encoding="utf-8")):
        assert set(attack) <= KEYS, attack["name"]
        found += [
            pytest.param(attack, language, id=f"{language}: {attack['class']}: {attack['name']}")
            for language in attack["languages"]
        ]
    return found


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
@pytest.mark.parametrize(("attack", "language"), attacks())
def test_an_attack_by_a_program_is_held(
    attack: Attack, language: str, form: str, baits: Baits, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    chain_of(language)
    if form == "alone" and language_shelf().profile(language).compile is not None:
        pytest.skip("nothing is compiled without namespaces")
    if form == "userns" and attack["class"] == "exhausting" and language in ("c", "cpp"):
        pytest.skip("what holds it is tried there by the attacks in Python")
    if form == "userns" and attack["name"] == "a fork bomb":
        pytest.skip(
            "there the kernel counts no processes of root's, and the machine would have thousands between two looks"
        )
    sandbox = warm_sandbox(form)
    limits = Limits(**{"wall_seconds": 20, **attack.get("limits", {})})
    done = sandbox.run(filled(attack["program"], baits.words), language=language, limits=limits)
    assert "HARM" not in done.stdout, done
    assert done.outcome in attack.get("expect", ENDS), done
    assert not baits.damage()
    after = sandbox.judge("def f(): return 1", "def test_a(): assert f() == 1")
    assert after.outcome == "passed", after.output


@pytest.mark.parametrize(("attack", "language"), attacks())
def test_its_twin_does_harm_undefended(attack: Attack, language: str, baits: Baits, tmp_path: Path) -> None:
    if "twin" in attack:
        pytest.skip(attack["twin"])
    chain, profile = chain_of(language), language_shelf().profile(language)
    baits.refill()
    source = tmp_path / profile.files.program
    source.write_text(filled(attack["program"], baits.words), encoding="utf-8")
    values = {**chain.values, "source": source.name}
    if profile.compile is not None:
        subprocess.run(filled_words(profile.compile.command, values), cwd=tmp_path, check=True, timeout=120)
    done = subprocess.run(
        filled_words(profile.run, values), cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert "HARM" in done.stdout, done


def test_every_class_is_tried_in_every_language_that_is_asked_for() -> None:
    tried = {(attack.values[1], attack.values[0]["class"]) for attack in attacks()}
    wanted = CLASSES - {"privileges"}
    assert {(language, group) for language in ("c", "cpp", "javascript", "bash") for group in wanted} <= tried
