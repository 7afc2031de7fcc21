"""The bank's challenges as programs in other languages: right ones pass their cases, wrong ones fail them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.kit import language_shelf
from prismenv.isolation.toolchain import find_toolchain
from prismenv.simulated.bank import CONCEPTS, load_bank
from prismenv.simulated.programs import CRASHES, LANGUAGES, LOOPS, cut_off, load_programs
from prismenv.words.errors import ConfigurationException
from prismenv.words.limits import Limits
from prismenv.words.verdict import Verdict

Judge = Callable[..., Verdict]


@pytest.fixture
def judge(warm_sandbox: Callable[[str], BlockingSandbox]) -> Judge:
    """Judges a program of a language by cases; skips where its tools are missing."""

    def judged(language: str, program: str, suite: str, limits: Limits | None = None) -> Verdict:
        try:
            find_toolchain(language_shelf().profile(language))
        except ConfigurationException as error:
            pytest.skip(str(error))
        return warm_sandbox("portable").judge(program, suite, language=language, limits=limits)

    return judged


def test_there_is_a_challenge_for_each_concept() -> None:
    bank = load_bank()
    assert sorted(concept for name in load_programs() for concept in bank.by_id[name].concepts) == sorted(CONCEPTS)
    assert all(len(task.wrong[language]) >= 3 for task in load_programs().values() for language in LANGUAGES)


@pytest.mark.parametrize("name", sorted(load_programs()))
@pytest.mark.parametrize("language", LANGUAGES)
def test_right_programs_pass_and_wrong_ones_fail(name: str, language: str, judge: Judge) -> None:
    task = load_programs()[name]
    right = judge(language, task.right[language], task.suite)
    assert right.outcome == "passed", right.output
    wrong = task.wrong[language][:1] if language == "javascript" or name < "d" else ()  # a compiler takes its time
    for program in wrong:
        verdict = judge(language, program, task.suite)
        assert (verdict.outcome, verdict.fault) == ("failed", "candidate"), program


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_other_mistakes_are_what_they_are_called(language: str, judge: Judge) -> None:
    task = load_programs()["loops-toll-road"]
    assert judge(language, LOOPS[language], task.suite, Limits(wall_seconds=2, cpu_seconds=1)).outcome == "timed_out"
    assert judge(language, CRASHES[language], task.suite).outcome in ("errored", "crashed")
    assert judge(language, cut_off(task.right[language]), task.suite).outcome == "errored"


def test_a_file_of_programs_that_is_wrong_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "programs.yaml"
    file.write_text("- {id: x}\n", encoding="utf-8")
    with pytest.raises(ConfigurationException, match=r"programs\.yaml cannot be read"):
        load_programs(file)
