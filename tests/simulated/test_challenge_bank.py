"""The challenge bank: complete, valid, tight; and its loader, which takes no bad one."""

import ast
from itertools import combinations, product
from pathlib import Path

import anyio
import pytest
import yaml

from prismenv.answers.similarity import THRESHOLD, similarity
from prismenv.answers.suites import stubs_for
from prismenv.isolation.portable import PortableSandbox
from prismenv.simulated.bank import CONCEPTS, DIFFICULTIES, Challenge, load_bank, read_bank
from prismenv.simulated.mutants import FILE, LEAST, MOST, digest_of, mutants_of, read_mutants
from prismenv.simulated.variants import CRASHES, SUFFIXES, crashing, hanging, misspelt, renamed
from prismenv.words.errors import ConfigurationException
from prismenv.words.limits import Limits
from prismenv.words.seeding import derive_random
from prismenv.words.verdict import Verdict

CHALLENGES = load_bank().challenges
GOOD = {
    "id": "loops-one",
    "title": "One",
    "concepts": ["loops"],
    "difficulty": "easy",
    "entry_point": "one",
    "statement": "One\n\nWrite one() that returns 1.",
    "solution": "def one():\n    return 1",
    "tests": "one()",
}


def judged(pairs: list[tuple[str, str]], limits: Limits | None = None) -> list[Verdict]:
    """The verdicts of (solution, tests), all at once."""
    verdicts: dict[int, Verdict] = {}

    async def main() -> None:
        async with PortableSandbox(2) as sandbox, anyio.create_task_group() as group:

            async def one(number: int, solution: str, tests: str) -> None:
                verdicts[number] = await sandbox.judge(solution, tests, limits=limits)

            for number, (solution, tests) in enumerate(pairs):
                group.start_soon(one, number, solution, tests)

    anyio.run(main)
    return [verdicts[number] for number in range(len(pairs))]


def sample(purpose: str, count: int) -> list[Challenge]:
    return derive_random(7, purpose).sample(CHALLENGES, count)


def test_every_cell_of_the_tree_has_a_challenge() -> None:
    bank = load_bank()
    assert [cell for cell in product(CONCEPTS, DIFFICULTIES) if not bank.for_cell([cell[0]], cell[1])] == []


def test_there_are_sixty_challenges_and_a_dozen_on_pairs() -> None:
    assert len(CHALLENGES) >= 60
    assert sum(len(challenge.concepts) > 1 for challenge in CHALLENGES) >= 12


def test_a_cell_is_found_whatever_the_order_of_its_concepts() -> None:
    pair = next(challenge for challenge in CHALLENGES if len(challenge.concepts) == 2)
    assert pair in load_bank().for_cell(reversed(pair.concepts), pair.difficulty)
    assert load_bank().for_cell(["loops", "nothing"], "easy") == ()


@pytest.mark.parametrize("challenge", CHALLENGES, ids=lambda challenge: challenge.id)
def test_suites_have_six_tests_and_solutions_define_the_entry_point(challenge: Challenge) -> None:
    tests = [node.name for node in ast.walk(ast.parse(challenge.tests)) if isinstance(node, ast.FunctionDef)]
    assert sum(name.startswith("test") for name in tests) >= 6
    names = [node.name for node in ast.parse(challenge.solution).body if isinstance(node, ast.FunctionDef)]
    assert challenge.entry_point in names
    assert f"{challenge.entry_point}(" in challenge.statement


def test_no_two_statements_are_near_duplicates() -> None:
    pairs = combinations(CHALLENGES, 2)
    assert max(similarity(one.statement, other.statement) for one, other in pairs) < THRESHOLD / 2


def test_no_suite_is_passed_by_a_stub() -> None:
    """The one that agrees with everything is tried on each suite, the others on a suite now and then."""
    chosen = []
    for challenge in CHALLENGES:
        *others, agreeing = stubs_for(challenge.tests)
        chosen += [(challenge, agreeing), (challenge, derive_random(7, "stub", challenge.id).choice(others))]
    verdicts = judged([(stub.program, challenge.tests) for challenge, stub in chosen])
    passed = [
        (challenge.id, stub.does)
        for (challenge, stub), verdict in zip(chosen, verdicts, strict=True)
        if verdict.success
    ]
    assert passed == []


def test_every_reference_passes_its_suite() -> None:
    verdicts = judged([(challenge.solution, challenge.tests) for challenge in CHALLENGES])
    failed = [challenge.id for challenge, verdict in zip(CHALLENGES, verdicts, strict=True) if not verdict.success]
    assert failed == []


def test_the_wrong_answers_were_built_from_this_bank() -> None:
    built = {name: digest for name, (digest, _) in read_mutants().items()}
    assert built == {challenge.id: digest_of(challenge) for challenge in CHALLENGES}
    assert all(LEAST <= len(set(mutants_of(challenge))) <= MOST for challenge in CHALLENGES)
    assert FILE.stat().st_size < 200_000


def test_wrong_answers_fail_at_least_one_test_and_do_not_hang() -> None:
    pairs = [
        (derive_random(7, challenge.id).choice(mutants_of(challenge)), challenge.tests)
        for challenge in sample("mutants", 30)
    ]
    assert {verdict.outcome for verdict in judged(pairs)} <= {"failed", "errored"}


def test_renaming_local_variables_changes_nothing() -> None:
    chosen = sample("renamed", 25)
    sources = [renamed(challenge, suffix) for challenge, suffix in zip(chosen, SUFFIXES * 9, strict=False)]
    assert sum(source != challenge.solution for source, challenge in zip(sources, chosen, strict=True)) > 20
    verdicts = judged([(source, challenge.tests) for source, challenge in zip(sources, chosen, strict=True)])
    assert [verdict.outcome for verdict in verdicts] == ["passed"] * len(chosen)


def test_a_changed_challenge_has_no_wrong_answers_until_the_bank_is_built() -> None:
    changed = Challenge(**{**GOOD, "id": CHALLENGES[0].id, "concepts": ("loops",)})
    with pytest.raises(ConfigurationException, match="scripts/build-bank"):
        mutants_of(changed)


def test_crashes_end_badly_and_endless_loops_time_out() -> None:
    (challenge,) = sample("crash", 1)
    crashed = judged([(crashing(challenge, crash), challenge.tests) for crash in CRASHES])
    assert {verdict.fault for verdict in crashed} == {"candidate"}
    (stuck,) = judged([(hanging(challenge), challenge.tests)], Limits(wall_seconds=1, cpu_seconds=1))
    assert stuck.outcome == "timed_out"


@pytest.mark.parametrize("cut_off", [True, False])
def test_misspelt_answers_do_not_parse(cut_off: bool) -> None:
    for challenge in CHALLENGES:
        with pytest.raises(SyntaxError):
            ast.parse(misspelt(challenge, cut_off=cut_off))


def write(folder: Path, **changes: object) -> Path:
    entry = {key: value for key, value in {**GOOD, **changes}.items() if value != "absent"}
    (folder / "one.yaml").write_text(yaml.safe_dump([entry]), encoding="utf-8")
    return folder


def test_a_bank_of_ones_own_is_read(tmp_path: Path) -> None:
    (challenge,) = read_bank(write(tmp_path)).challenges
    assert (challenge.id, challenge.concepts, challenge.difficulty) == ("loops-one", ("loops",), "easy")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"difficulty": "impossible"}, "allowed are very easy, easy"),
        ({"concepts": ["magic"]}, "some of loops"),
        ({"concepts": ["loops", "loops"]}, "twice"),
        ({"concepts": "loops"}, "a list"),
        ({"tests": 5}, "tests must be text"),
        ({"solution": "  "}, "solution must be text"),
        ({"extra": 1}, "unknown keys \\['extra'\\]"),
        ({"tests": "absent"}, "missing keys \\['tests'\\]"),
        ({"entry_point": "two"}, "never mentions the entry point 'two'"),
        ({"title": "Two"}, "the first line of the statement"),
    ],
    ids=str,
)
def test_a_wrong_challenge_is_refused_with_its_place(
    tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigurationException, match=rf"one\.yaml: challenge 1.*{complaint}"):
        read_bank(write(tmp_path, **changes))


@pytest.mark.parametrize("text", ["a: [", "just text", "- 1", "", "- id: !!python/object:os.system {}"])
def test_a_file_that_is_no_bank_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationException, match=r"one\.yaml"):
        read_bank(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationException, match="no challenge bank"):
        read_bank(tmp_path)


def test_an_id_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "two.yaml").write_text(yaml.safe_dump([GOOD]), encoding="utf-8")
    with pytest.raises(ConfigurationException, match="'loops-one' twice"):
        read_bank(tmp_path)
