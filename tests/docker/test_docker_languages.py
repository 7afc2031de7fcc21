"""Other languages in containers: their tools are those of an image, and attacks are held as elsewhere."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from prismenv import BlockingSandbox, ConfigurationException, Sandbox, SandboxException
from prismenv.isolation.attacks import filled
from prismenv.isolation.baits import Baits, laid_baits, processes_with
from prismenv.isolation.programattacks import ProgramAttack, load_program_attacks

CASES = "cases:\n- {stdin: '1 2 3', stdout: '6'}\n- {stdin: '3 4', stdout: '7'}\n"
TESTS = Path(__file__).parents[1]
PROGRAMS: dict[str, dict[str, str]] = yaml.safe_load(
    (TESTS / "isolation" / "languages" / "cases.yaml").read_text(encoding="utf-8")
)
TRIED = ("bash", "javascript", "c", "cpp")
ATTACKED = ("bash", "javascript", "cpp")


@pytest.fixture(scope="module")
def box(engine: Path, image: str, tools_image: tuple[str, list[str]]) -> Iterator[BlockingSandbox]:
    name, languages = tools_image
    docker = {"image": image, "socket": str(engine), "images": dict.fromkeys(languages, name)}
    with BlockingSandbox(Sandbox(isolation="docker", workers=1, docker=docker)) as opened:
        yield opened


@pytest.fixture
def usable(tools_image: tuple[str, list[str]]) -> Callable[[str], None]:
    """Skips the test where this machine has not the tools of a language."""

    def usable(language: str) -> None:
        if language not in tools_image[1]:
            pytest.skip(f"the tools of {language} are not on this machine, so they are in no image")

    return usable


@pytest.mark.parametrize("language", TRIED)
def test_right_programs_pass_and_wrong_ones_fail(
    box: BlockingSandbox, usable: Callable[[str], None], language: str
) -> None:
    usable(language)
    programs = PROGRAMS[language]
    right = box.judge(programs["right"], CASES, language=language)
    assert (right.outcome, right.isolation, right.tests_passed_num) == ("passed", "docker", 2), right.output
    wrong = box.judge(programs["wrong"], CASES, language=language)
    assert (wrong.outcome, wrong.fault) == ("failed", "candidate"), wrong.output
    broken = box.judge(programs["broken"], CASES, language=language)
    assert (broken.outcome, broken.fault) == ("errored", "candidate"), broken.output


@pytest.fixture(scope="module")
def baits() -> Iterator[Baits]:
    with laid_baits() as laid:
        yield laid


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(attack, id=f"{attack.language}: {attack.group}: {attack.name}")
        for attack in load_program_attacks()
        if attack.language in ATTACKED
    ],
)
def test_an_attack_by_a_program_is_held(
    attack: ProgramAttack, box: BlockingSandbox, usable: Callable[[str], None], baits: Baits
) -> None:
    usable(attack.language)
    if why := attack.why_not("docker"):
        pytest.skip(why)
    done = box.run(attack.source(baits.words), language=attack.language, limits=attack.allowed())
    assert attack.is_held(done), done
    assert not baits.damage()
    assert not (attack.survivor and processes_with(filled(attack.survivor, baits.words)))
    assert box.judge("def f(): return 1", "def test_a(): assert f() == 1").outcome == "passed"


def test_what_is_compiled_is_compiled_once_and_judged_in_a_container_of_its_own(
    box: BlockingSandbox, usable: Callable[[str], None]
) -> None:
    usable("cpp")
    source = "#include <iostream>\nint main() { std::cout << __TIME__ << __COUNTER__; }\n"
    first, second = (box.run(source, language="cpp") for _ in range(2))
    assert (first.outcome, first.stdout) == ("exited", second.stdout), first
    cases = "cases:\n" + "- {stdin: '1 2 3', stdout: '6'}\n" * 30
    verdict = box.judge(PROGRAMS["cpp"]["right"], cases, language="cpp")
    assert verdict.tests_passed_num == 30, verdict.output


def test_a_bomb_for_the_compiler_is_the_candidates_fault(
    box: BlockingSandbox, usable: Callable[[str], None], hold_bombs: Callable[..., None]
) -> None:
    usable("cpp")
    bombs = {
        "memory": "template<int N> struct A { A<N + 1> a; A<N + 2> b; }; A<0> a; int main() {}",
        "output": "\n".join(f"int x{n} = undeclared{n};" for n in range(20_000)),
        "files": 'asm(".zero 3000000000"); int main() {}',
    }
    hold_bombs(box, bombs, CASES)
    assert box.judge(PROGRAMS["cpp"]["right"], CASES, language="cpp").success


def test_tests_that_are_a_program_are_run_beside_the_solution(
    box: BlockingSandbox, usable: Callable[[str], None]
) -> None:
    usable("bash")
    solution, wrong = "double() { echo $(($1 * 2)); }\n", "double() { echo $1; }\n"
    tests = '. ./solution.sh\necho 1..1\n[ "$(double 2)" = 4 ] && echo "ok 1 - doubled" || echo "not ok 1 - doubled"\n'
    good, bad = (box.judge(each, tests, language="bash", verdict="shared") for each in (solution, wrong))
    assert (good.outcome, good.verdict_mode, bad.outcome) == ("passed", "shared", "failed"), good.output


def test_an_image_without_the_tools_is_named_with_what_to_install(docker_box: BlockingSandbox) -> None:
    with pytest.raises(
        ConfigurationException, match=r"cpp cannot be used here: g\+\+, as, ld is not on the PATH of"
    ) as told:
        docker_box.judge("int main() {}", CASES, language="cpp")
    assert told.value.code == "tool_missing"
    assert "sandbox.docker.images.cpp" in str(told.value)
    assert "g++ binutils" in str(told.value)


def test_an_image_for_a_language_that_is_not_there_is_named(engine: Path, image: str) -> None:
    docker = {"image": image, "socket": str(engine), "images": {"bash": "prismenv-nowhere"}}
    with BlockingSandbox(Sandbox(isolation="docker", workers=1, docker=docker)) as box:
        for _ in range(2):
            with pytest.raises(SandboxException, match="has no image 'prismenv-nowhere'") as told:
                box.run("echo 1", language="bash")
            assert told.value.code == "no_image"
        assert box.run("print(1)").stdout == "1\n"


def test_a_language_of_a_workspace_is_known_too(
    engine: Path, tools_image: tuple[str, list[str]], usable: Callable[[str], None], tmp_path: Path
) -> None:
    usable("bash")
    (tmp_path / "languages").mkdir()
    (tmp_path / "languages" / "words.yaml").write_text(
        "language: words\nextensions: [.words]\nfiles: {solution: a.words, program: a.words}\n"
        "tools: {cat: {find: [cat], package: coreutils}}\nrun: ['{cat}', '{source}']\n"
        "probe: {program: hello, output: hello}\n",
        encoding="utf-8",
    )
    docker = {"image": tools_image[0], "socket": str(engine)}
    with BlockingSandbox(Sandbox(isolation="docker", workers=1, docker=docker, languages=[tmp_path])) as box:
        assert box.run("some words", language="words").stdout == "some words"
