"""Through the service a sandbox is what it is in process."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from prismenv import ConfigurationException, FileSet, JudgeCase, Limits, Sandbox, SandboxException, Verdict
from prismenv.contracts.jail import Sandbox as SandboxContract
from prismenv.isolation.portable import PortableSandbox
from prismenv.testing.jail import ScriptedSandbox

pytestmark = pytest.mark.anyio
SOLUTION = "def double(number):\n    return number + number\n"
WRONG = "def double(number):\n    return number\n"
TESTS = "def test_two():\n    assert double(2) == 4\n\ndef test_zero():\n    assert double(0) == 0\n"
ABOUT = {"cpu_seconds", "wall_seconds", "peak_memory_bytes"}


@pytest.fixture
async def pair(serve: Any, connect: Any) -> AsyncIterator[tuple[SandboxContract, SandboxContract]]:
    """The sandbox itself, and the way to it through the service."""
    async with PortableSandbox(2) as sandbox, serve(sandbox) as running, connect(running.url) as remote:
        yield sandbox, remote


def facts(verdict: Any) -> dict[str, Any]:
    """What does not differ from run to run."""
    document = verdict.model_dump()
    cases = [{name: value for name, value in case.items() if name not in ABOUT} for case in document.pop("cases")]
    return {name: value for name, value in document.items() if name not in ABOUT} | {"cases": cases}


@pytest.mark.parametrize(
    "call",
    [
        {"solution": SOLUTION, "tests": TESTS},
        {"solution": WRONG, "tests": TESTS, "verdict": "shared"},
        {"solution": SOLUTION, "tests": "import pair\n" + TESTS, "module": "pair"},
        {"solution": "x = '\udc80'", "tests": TESTS},
        {"solution": "while True: pass", "tests": TESTS, "limits": Limits(cpu_seconds=0.3)},
        {"solution": "print(input())", "tests": "cases:\n  - stdin: 'a'\n    stdout: 'a'\n"},
        {
            "solution": FileSet(
                files={"a/b.py": "from a.c import n\ndef f(): return n", "a/c.py": "n = 1"}, entry="a/b.py"
            ),
            "tests": "def test_a(): assert f() == 1",
        },
    ],
    ids=["passes", "fails", "module", "surrogate", "limit", "cases", "files"],
)
async def test_a_verdict_is_the_same_through_the_service(pair: Any, call: dict[str, Any]) -> None:
    here, there = pair
    one, other = await here.judge(**call), await there.judge(**call)
    assert facts(one) == facts(other)
    assert type(one) is type(other)


async def test_a_program_runs_there(pair: Any) -> None:
    _, there = pair
    done = await there.run("import sys\nprint(input()[::-1])\nsys.exit(3)", stdin="añb\n")
    assert (done.outcome, done.exit_code, done.stdout, done.isolation) == ("exited", 3, "bña\n", "portable")
    stopped = await there.run("import time\ntime.sleep(60)", limits=Limits(wall_seconds=0.3))
    assert (stopped.outcome, stopped.limits_hit) == ("timed_out", ("wall_seconds",))


async def test_a_batch_is_judged_in_its_order(pair: Any) -> None:
    here, there = pair
    cases = [JudgeCase(solution=each, tests=TESTS) for each in [SOLUTION, WRONG, "no python", SOLUTION] * 2]
    expected = ["passed", "failed", "errored", "passed"] * 2
    for sandbox in (here, there):
        assert [each.outcome for each in await sandbox.judge_batch(cases)] == expected
    assert await there.judge_batch([]) == []
    for sandbox in (here, there):
        with pytest.raises(ConfigurationException, match="unknown language 'pyhton'"):
            await sandbox.judge_batch([cases[0], JudgeCase(solution="", tests="", language="pyhton")])


async def test_a_long_batch_is_sent_in_pieces_and_comes_back_in_its_order(serve: Any, connect: Any) -> None:
    def of(solution: str, _tests: str) -> Verdict:
        return Verdict(outcome="failed", fault="candidate", tests_failed_num=int(solution), verdict_mode="split")

    sandbox = ScriptedSandbox(of)
    async with serve(sandbox, workers=3) as running, connect(running.url) as remote:
        found = await remote.judge_batch([JudgeCase(solution=str(number), tests="") for number in range(1, 200)])
    assert [each.tests_failed_num for each in found] == list(range(1, 200))
    assert len(sandbox.judged) == 199


async def test_what_cannot_be_judged_is_refused_as_in_process(pair: Any) -> None:
    for sandbox in pair:
        with pytest.raises(ConfigurationException, match="unknown language 'pyhton'"):
            await sandbox.judge(SOLUTION, TESTS, language="pyhton")
        with pytest.raises(ConfigurationException, match="unknown language 'pyhton'"):
            await sandbox.run("", language="pyhton")
        assert set((await sandbox.probe()).values()) >= {"ok"}


async def test_no_limit_of_a_request_is_above_the_hosts(serve: Any, connect: Any) -> None:
    low = Limits(wall_seconds=0.5, memory_bytes=2**27, output_bytes=2000)
    async with PortableSandbox(1, low) as sandbox, serve(sandbox) as running:
        async with connect(running.url, limits={"wall_seconds": 500, "output_bytes": 10**9}) as remote:
            assert remote.ceiling == low
            slept = await remote.run("import time\ntime.sleep(60)", limits=Limits(wall_seconds=600))
            assert (slept.outcome, slept.wall_seconds < 30) == ("timed_out", True)
            assert len((await remote.run("print('x' * 10**6)")).stdout) == 2000
        async with connect(running.url, limits={"wall_seconds": 0.2}) as remote:
            # What the recipe says holds over the language's own, what a call says over both.
            verdict = await remote.judge("import time\ntime.sleep(60)", TESTS)
            assert "0.2 s" in verdict.message


async def test_the_public_sandbox_goes_there_by_its_address(
    serve: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "a-token-of-thirty-two-characters"
    file = tmp_path / "token"
    file.write_text(token)
    file.chmod(0o600)
    monkeypatch.setenv("JUDGE_TOKEN", token)
    async with PortableSandbox(1) as sandbox, serve(sandbox, tokens=(token,)) as running:
        for place in ({"variable": "JUDGE_TOKEN"}, {"file": str(file)}):
            async with Sandbox(url=running.url, token=place) as opened:
                verdict = await opened.judge(SOLUTION, TESTS)
                assert (verdict.success, verdict.isolation, opened.isolation) == (True, "portable", "portable")
                assert [
                    each.success for each in await opened.judge_batch([JudgeCase(solution=WRONG, tests=TESTS)])
                ] == [False]
        with pytest.raises(SandboxException, match="full isolation is required, the service has portable"):
            async with Sandbox(url=running.url, token=place, require="full"):
                pass
        with pytest.raises(SandboxException, match="full isolation is asked for"):
            async with Sandbox(url=running.url, token=place, isolation="full"):
                pass
        with pytest.raises(ConfigurationException, match="does not offer numpy"):
            async with Sandbox(url=running.url, token=place, packages=["numpy"]):
                pass


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"url": "ftp://host"}, "no service's address"),
        ({"url": "http://me:secret@host"}, "the address given is no service's address"),
        ({"url": "http://host", "ceiling": Limits()}, "it is the host's alone"),
        ({"url": "http://host", "limits": {"wall_secs": 1}}, "sandbox limits: wall_secs"),
        ({"url": "http://host", "token": {"variable": "NO_SUCH_VARIABLE"}}, "NO_SUCH_VARIABLE is not set"),
        ({"token": {"variable": "HOME"}}, "it is for the service at sandbox.url"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_sent(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationException) as caught:
        Sandbox(**arguments)
    assert says in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_client_that_goes_away_ends_its_run(
    serve: Any, connect: Any, until: Callable[..., Any], tmp_path: Any
) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    slow = f"import time\nopen({str(mark)!r}, 'a').write('x')\ntime.sleep(600)"
    async with PortableSandbox(1) as sandbox, serve(sandbox, workers=1) as running, connect(running.url) as remote:
        async with anyio.create_task_group() as group:
            group.start_soon(remote.run, slow)
            await until(lambda: mark.stat().st_size == 1)
            assert running.desk.running == 1
            group.cancel_scope.cancel()
        await until(lambda: running.desk.running == 0)
        # The one place is free again.
        assert (await remote.judge(SOLUTION, TESTS)).success
