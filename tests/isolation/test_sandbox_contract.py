"""What the contract promises beside verdicts: programs, limits, probes, refusals, awkward text."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from prismenv import Sandbox
from prismenv.contracts.recipe import SandboxSettings
from prismenv.isolation.blocking import BlockingSandbox
from prismenv.isolation.choice import open_sandbox
from prismenv.isolation.kinds import FORMS, available_kinds
from prismenv.isolation.language import base_interpreter, load_language
from prismenv.isolation.portable import PortableSandbox
from prismenv.testing.jail import ScriptedSandbox
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.limits import Limits
from prismenv.words.verdict import DEFAULT_VERDICT, Execution, Verdict

pytestmark = pytest.mark.anyio

SMALL = Limits(wall_seconds=20, cpu_seconds=10, memory_bytes=128 * 2**20, output_bytes=100_000)


MISSING: dict[str, set[str]] = {
    "full": set(),
    "userns": {"own_user"},
    "alone": {"own_user", "children", "total_files"},
    "portable": {"own_user", "host_files", "host_writes", "network", "other_processes", "total_files"},
}
Run = Callable[..., Execution]
Judge = Callable[..., Verdict]


@pytest.fixture(params=["portable", *FORMS])
def box(request: pytest.FixtureRequest, warm_sandbox: Callable[[str], BlockingSandbox]) -> BlockingSandbox:
    return warm_sandbox(request.param)


@pytest.fixture
def run(box: BlockingSandbox) -> Run:
    def run_it(program: str, limits: Mapping[str, Any] | None = None, stdin: str = "") -> Execution:
        return box.run(program, stdin=stdin, limits=SMALL.model_copy(update=dict(limits or {})))

    return run_it


@pytest.fixture
def judge(box: BlockingSandbox) -> Judge:
    return box.judge


def test_a_program_reads_its_input_and_its_streams_are_kept_apart(run: Run, box: BlockingSandbox) -> None:
    done = run("import sys\nprint(input()[::-1])\nprint('oh', file=sys.stderr)\nsys.exit(3)", stdin="abc\n")
    assert (done.outcome, done.exit_code, done.stdout, done.stderr) == ("exited", 3, "cba\n", "oh\n")
    assert done.isolation == box.isolation
    assert done.cpu_seconds > 0


def test_a_program_is_the_main_module_of_a_file_and_exit_is_known(run: Run) -> None:
    done = run("print(__name__, __file__.rpartition('/')[2])\nexit(0)")
    assert (done.exit_code, done.stdout) == (0, "__main__ program.py\n")


@pytest.mark.parametrize(
    ("program", "limits", "outcome"),
    [
        ("while True: pass", {"cpu_seconds": 0.3}, "timed_out"),
        ("import time; print('so far'); time.sleep(600)", {"wall_seconds": 0.5}, "timed_out"),
        ("bytearray(10**9)", {}, "out_of_memory"),
        ("while True: print('x' * 1000)", {}, "output_limit"),
        ("import os; os.abort()", {}, "crashed"),
        ("import ctypes; ctypes.string_at(0)", {}, "crashed"),
        ("1 / 0", {}, "exited"),
        ("this is no program", {}, "exited"),
        ("x = 1\0", {}, "exited"),
        ("x = '\ud800'", {}, "exited"),
        ("", {}, "exited"),
    ],
)
def test_a_program_ends_as_the_contract_says(run: Run, program: str, limits: dict[str, Any], outcome: str) -> None:
    done = run(program, limits)
    assert done.outcome == outcome, done
    assert (done.exit_code is None) == (outcome in ("timed_out", "output_limit", "crashed"))


def test_what_was_printed_before_the_limit_is_kept(run: Run) -> None:
    done = run("import time\nprint('so far')\ntime.sleep(600)", {"wall_seconds": 0.5})
    assert done.stdout == "so far\n"
    assert done.limits_hit == ("wall_seconds",)
    flood = run("while True: print('x' * 999)")
    assert len(flood.stdout) == SMALL.output_bytes


def test_megabytes_of_input_arrive_whole(run: Run) -> None:
    text = "a line of text\n" * 200_000
    done = run("import sys, hashlib\nprint(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())", stdin=text)
    assert done.stdout.strip() == hashlib.sha256(text.encode()).hexdigest()


def test_the_program_holds_no_descriptor_but_its_streams(run: Run) -> None:
    done = run("import os\nprint([n for n in range(3, 5000) if os.path.exists(f'/dev/fd/{n}')])")
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("size", [50_000_000])
def test_a_solution_of_fifty_megabytes_gets_a_clean_verdict(judge: Judge, size: int) -> None:
    verdict = judge("x = 1\n" * (size // 6), "def test_a(): assert x == 1", limits=Limits(memory_bytes=2**27))
    assert verdict.outcome in ("out_of_memory", "timed_out"), verdict.message
    assert verdict.fault == "candidate"


def test_a_megabyte_of_prose_gets_a_clean_verdict(judge: Judge) -> None:
    verdict = judge("Sure! Here is the code. " * 45_000, "def test_a(): assert True")
    assert (verdict.outcome, verdict.fault) == ("errored", "candidate")
    assert len(verdict.output) < 20_000


async def test_a_request_is_cut_down_to_the_ceiling() -> None:
    ceiling = Limits(wall_seconds=0.4, memory_bytes=64 * 2**20)
    async with PortableSandbox(1, ceiling) as sandbox:
        assert sandbox.ceiling == ceiling
        verdict = await sandbox.judge(
            "import time\ntime.sleep(600)", "def test_a(): pass", limits=Limits(wall_seconds=500)
        )
    assert verdict.limits_hit == ("wall_seconds",)


def test_verdicts_name_the_harness_and_what_it_cost(judge: Judge, box: BlockingSandbox) -> None:
    first = judge("x = 1", "def test_a(): assert x == 1")
    second = judge("x = 2", "def test_a(): assert x == 1")
    assert first.harness_hash == second.harness_hash != ""
    assert (first.isolation, first.verdict_mode) == (box.isolation, DEFAULT_VERDICT)
    assert first.cpu_seconds > 0
    assert first.wall_seconds > 0
    assert first.cases[0].wall_seconds is not None


def test_the_same_run_gives_the_same_report(judge: Judge) -> None:
    solution = "def names(): return {'a', 'b', 'c', 'd', 'e'}, object()"
    tests = "def test_a():\n    print(names()[0])\n    assert names() == 1, names()"
    reports = {(judge(solution, tests)).output for _ in range(4)}
    assert len(reports) == 1


@pytest.mark.parametrize("form", ["portable", *FORMS])
def test_every_promise_is_tried_and_only_a_weaker_kind_misses_some(
    form: str, warm_sandbox: Callable[[str], BlockingSandbox]
) -> None:
    found = warm_sandbox(form).probe()
    missing = {name for name, said in found.items() if said != "ok"}
    assert missing == MISSING[form], found
    assert all(found[name].startswith("missing: ") for name in missing)
    assert {"program", "judge", "memory_limit", "wall_limit", "process_limit", "network", "outliving"} <= set(found)


def test_an_unknown_language_names_the_known_ones(judge: Judge) -> None:
    with pytest.raises(ConfigurationException, match="unknown language 'pyton'"):
        judge("x = 1", "def test_a(): pass", language="pyton")


@pytest.mark.parametrize("packages", [(), ("numpy",)], ids=["", "packages"])
@pytest.mark.parametrize("form", ["portable", *FORMS])
def test_files_that_a_caller_keeps_to_itself_are_in_nobodys_way(
    form: str, packages: tuple[str, ...], new_sandbox: Callable[..., Sandbox]
) -> None:
    before = os.umask(0o077)
    try:
        with BlockingSandbox(new_sandbox(form, packages=packages)) as sandbox:
            wanted = "import numpy\n" * bool(packages) + "def one(): return 1"
            verdict = sandbox.judge(wanted, "def test_a(): assert one() == 1")
            assert verdict.outcome == "passed", verdict
    finally:
        os.umask(before)


async def test_a_sandbox_that_is_not_open_says_so() -> None:
    with pytest.raises((SandboxException, AttributeError)):
        await PortableSandbox(1).judge("x = 1", "def test_a(): pass")


async def test_settings_choose_the_sandbox_and_its_limits() -> None:
    settings = SandboxSettings(limits={"wall_seconds": 0.4}, require="portable")
    async with open_sandbox(settings, 1) as sandbox:
        verdict = await sandbox.judge("import time\ntime.sleep(600)", "def test_a(): pass")
    assert verdict.outcome == "timed_out"


@pytest.mark.parametrize("kind", ["full", "unprivileged"])
def test_a_weaker_kind_than_the_required_one_is_refused(kind: Any) -> None:
    with pytest.raises(SandboxException, match=f"{kind} isolation is required") as caught:
        open_sandbox(SandboxSettings(isolation="portable", require=kind), None)
    assert caught.value.code == "isolation_unavailable"


def test_the_strongest_kind_that_is_there_is_taken() -> None:
    there = [kind for kind, state in available_kinds().items() if state == "ok"]
    chosen = open_sandbox(SandboxSettings(), 1)
    assert chosen.isolation == next(kind for kind in ("full", "unprivileged", "portable") if kind in there)
    assert open_sandbox(SandboxSettings(isolation="portable"), 1).isolation == "portable"


@pytest.mark.parametrize(
    ("limits", "message"), [({"wal_seconds": 1}, "Did you mean wall_seconds"), ({"wall_seconds": -1}, "wall_seconds")]
)
def test_a_wrong_limit_in_the_settings_is_an_error_before_anything_runs(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationException, match=message):
        open_sandbox(SandboxSettings(limits=limits), 1)


def test_a_wrong_language_file_is_an_error_with_its_place(tmp_path: Path, root: Path) -> None:
    text = (root / "sandbox" / "languages" / "python.yaml").read_text(encoding="utf-8")
    (tmp_path / "python.yaml").write_text(text.replace("wall_seconds: 10", "wall_seconds: soon"), encoding="utf-8")
    with pytest.raises(ConfigurationException, match=r"python\.yaml:\d+.*wall_seconds"):
        load_language("python", tmp_path)


def test_the_interpreter_is_absolute_and_real() -> None:
    path = Path(base_interpreter())
    assert path.is_absolute()
    assert path == path.resolve()


async def test_the_scripted_sandbox_answers_by_function_and_keeps_what_it_was_asked() -> None:
    def verdict(solution: str, _: str) -> Verdict:
        return Verdict(outcome="passed" if "good" in solution else "failed")

    async with ScriptedSandbox(verdict) as sandbox:
        assert (await sandbox.judge("good", "t")).success
        assert not (await sandbox.judge("bad", "t")).success
        assert (await sandbox.run("p", stdin="i")).exit_code == 0
        assert await sandbox.probe() == {"scripted": "ok"}
    assert sandbox.judged == [("good", "t"), ("bad", "t")]
    assert sandbox.ran == [("p", "i")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"isolation": "ful"}, r"isolation: found 'ful'; expected .*full"),
        ({"verdict": "spilt"}, "verdict: found 'spilt'"),
        ({"limits": {"wal_seconds": 1}}, "Did you mean wall_seconds"),
        ({"workers": 0}, "workers: found 0; expected at least 1"),
        ({"packages": ["no-such-package"]}, "no-such-package"),
    ],
)
def test_a_wrong_argument_of_the_public_sandbox_is_told_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationException, match=message):
        Sandbox(**arguments)


def test_an_argument_of_another_type_and_a_sandbox_that_is_not_open_are_told_in_words() -> None:
    box = BlockingSandbox(Sandbox(isolation="portable"))
    with box:
        for call, said in [
            (lambda: box.judge(3, "x"), "solution: found int; expected str or FileSet"),  # type: ignore[arg-type]
            (lambda: box.judge("x = 1", None), "tests: found NoneType; expected str"),  # type: ignore[arg-type]
            (lambda: box.run("x", limits={"wall_seconds": 3}), "limits: found dict"),  # type: ignore[arg-type]
            (lambda: box.open(limits={"wall_seconds": 3}), "limits: found dict"),  # type: ignore[arg-type]
        ]:
            with pytest.raises(ConfigurationException, match=said):
                call()
    for other in (box, BlockingSandbox(Sandbox(isolation="portable"))):
        with pytest.raises(SandboxException, match="use it in `with`"):
            other.run("print(1)")


@pytest.mark.anyio
async def test_an_asynchronous_sandbox_that_is_not_open_says_so() -> None:
    sandbox = Sandbox(isolation="portable")
    for call in (sandbox.judge("x = 1", "def test_a(): pass"), sandbox.run("print(1)"), sandbox.open()):
        with pytest.raises(SandboxException, match="use it in `async with`"):
            await call


@pytest.mark.anyio
async def test_the_public_sandbox_judges_and_runs_as_its_arguments_say() -> None:
    async with Sandbox(isolation="portable", verdict="shared", limits={"wall_seconds": 20}, workers=1) as sandbox:
        verdict = await sandbox.judge("def one(): return 1", "def test_one(): assert one() == 1")
        assert (verdict.success, verdict.verdict_mode, verdict.isolation) == (True, "shared", "portable")
        assert (await sandbox.run("print(input())", stdin="hello")).stdout == "hello\n"
        assert (await sandbox.probe())["wall_limit"] == "ok"


async def test_a_request_that_names_one_limit_leaves_the_others_as_they_were() -> None:
    async with PortableSandbox(1, limits={"memory_bytes": 64 * 2**20}) as sandbox:
        done = await sandbox.run("bytearray(300 * 2**20)", limits=Limits(wall_seconds=20))
    assert done.outcome == "out_of_memory"
