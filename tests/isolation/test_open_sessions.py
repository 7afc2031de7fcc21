"""Sessions: what an interpreter that is kept promises, in every form of isolation."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from prismenv.contracts.jail import Sandbox
from prismenv.contracts.recipe import SessionSettings
from prismenv.isolation.blocking import BlockingSandbox, BlockingSession
from prismenv.isolation.kinds import FORMS
from prismenv.isolation.sessionkeeper import SessionKeeper
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.limits import Limits

ALL = ["portable", *FORMS, "service"]
SMALL = Limits(wall_seconds=60, cpu_seconds=30, memory_bytes=128 * 2**20, output_bytes=100_000)
IGNORES = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"


@pytest.fixture(params=ALL)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def box(form: str, warm_sandbox: Callable[[str], BlockingSandbox]) -> BlockingSandbox:
    return warm_sandbox(form)


@pytest.fixture
def session(box: BlockingSandbox) -> Iterator[BlockingSession]:
    with box.open(limits=SMALL) as opened:
        yield opened


def why_ended(session: BlockingSession) -> str | None:
    """Through a service that is known with the next call."""
    with contextlib.suppress(SandboxException):
        session.execute("1")
    return session.ended


def test_names_stay_and_the_last_expression_is_the_result(session: BlockingSession) -> None:
    first = session.execute("import math\ndef area(r):\n    return math.floor(r * r)\nprint('made')")
    assert (first.outcome, first.stdout, first.result, first.error) == ("finished", "made\n", None, None)
    second = session.execute("area(3)")
    assert (second.outcome, second.stdout, second.result) == ("finished", "", "9")
    assert second.duration > 0
    assert session.ended is None


def test_an_error_shows_the_lines_of_the_code_and_loses_no_names(session: BlockingSession) -> None:
    session.execute("kept = 1\ndef divide(n):\n    return 1 / n")
    done = session.execute("print('before')\ndivide(0)")
    assert (done.outcome, done.stdout) == ("raised", "before\n")
    assert done.error is not None
    assert (done.error.name, done.error.message) == ("ZeroDivisionError", "division by zero")
    assert "return 1 / n" in done.error.traceback
    assert "prismenv" not in done.error.traceback
    assert session.execute("kept").result == "1"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("this is no code", "SyntaxError"),
        ("x = 1\0", "SyntaxError"),
        ("x = '\ud800'", "UnicodeEncodeError"),
        ("(" * 100_000, "SyntaxError"),
        ("input()", "EOFError"),
        ("raise BaseException('deep')", "BaseException"),
        ("class E(Exception):\n    def __str__(self): raise self\nraise E", "E"),
        ("class R:\n    def __repr__(self): return 1\nR()", "TypeError"),
    ],
)
def test_what_cannot_run_is_an_error_of_the_call(
    code: str, name: str, warm_sandbox: Callable[..., BlockingSandbox]
) -> None:
    with warm_sandbox("portable").open() as session:
        done = session.execute(code)
        assert done.error is not None
        assert (done.outcome in ("raised", "out_of_memory"), done.error.name) == (True, name)
        assert session.execute("1").result == "1"


def test_streams_are_kept_apart_also_below_the_interpreter(session: BlockingSession) -> None:
    done = session.execute(
        "import os, sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.stdout.flush(); os.write(1, b'raw')"
    )
    assert (done.stdout, done.stderr, done.result) == ("out\nraw", "err\n", "3")


def test_leaving_by_sys_exit_is_told_and_the_session_stays(session: BlockingSession) -> None:
    done = session.execute("import sys\nx = 4\nsys.exit(3)")
    assert (done.outcome, done.exit_code, done.session_ended) == ("exited", 3, False)
    assert session.execute("x").result == "4"


def test_ending_the_process_ends_the_session_which_says_so(session: BlockingSession) -> None:
    done = session.execute("print('last words', flush=True)\nimport os\nos._exit(7)")
    assert (done.outcome, done.exit_code, done.stdout, done.session_ended) == ("exited", 7, "last words\n", True)
    assert session.ended is not None
    assert "exit code 7" in session.ended
    with pytest.raises(SandboxException, match="has ended") as raised:
        session.execute("1")
    assert raised.value.code == "session_ended"


@pytest.mark.parametrize(
    ("code", "limits", "outcome", "hit"),
    [
        ("import time\ntime.sleep(600)", {"wall_seconds": 0.2}, "timed_out", "wall_seconds"),
        ("while True: pass", {"cpu_seconds": 0.1}, "timed_out", "cpu_seconds"),
        ("while True: print('x' * 1000)", {"output_bytes": 5000}, "output_limit", "output_bytes"),
    ],
)
def test_code_over_a_limit_of_its_call_is_interrupted_and_the_session_goes_on(
    session: BlockingSession, code: str, limits: dict[str, float], outcome: str, hit: str
) -> None:
    session.execute("kept = 'yes'")
    done = session.execute(code, **limits)  # type: ignore[arg-type]  # as the case names them
    assert (done.outcome, done.limits_hit, done.session_ended) == (outcome, (hit,), False)
    assert len(done.stdout) <= 5000
    assert done.output_cut == (hit == "output_bytes")
    assert session.execute("kept").result == "'yes'"


def test_output_over_the_limit_counts_also_where_the_code_was_done_before_it_was_seen(session: BlockingSession) -> None:
    done = session.execute("print('x' * 9000)\n1", output_bytes=2000)
    assert (done.outcome, done.stdout, done.output_cut, done.result) == ("output_limit", "x" * 2000, True, None)
    assert session.execute("1").result == "1"


def test_code_that_ignores_the_interrupt_ends_with_its_session(session: BlockingSession) -> None:
    done = session.execute(IGNORES, wall_seconds=0.2)
    assert (done.outcome, done.limits_hit, done.session_ended) == ("timed_out", ("wall_seconds",), True)
    assert done.error is not None
    assert "did not heed the interrupt" in done.error.message
    assert session.ended == done.error.message


def test_memory_that_is_asked_for_at_once_is_refused_and_the_session_goes_on(session: BlockingSession) -> None:
    done = session.execute("block = bytearray(10**9)")
    assert (done.outcome, done.limits_hit, done.session_ended) == ("out_of_memory", ("memory_bytes",), False)
    assert session.execute("1").result == "1"


def test_another_thread_can_interrupt_a_call(session: BlockingSession) -> None:
    over = threading.Event()

    def interrupt() -> None:
        while not over.wait(0.05):  # before the call has begun it does nothing
            session.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    done = session.execute("import time\nwhile True: time.sleep(0.01)")
    over.set()
    thread.join()
    assert (done.outcome, done.limits_hit, done.session_ended) == ("interrupted", (), False)
    session.interrupt()  # no call runs: nothing happens
    assert session.execute("1").result == "1"


def test_two_sessions_know_nothing_of_each_other(box: BlockingSandbox) -> None:
    with box.open() as one, box.open() as other:
        one.execute("secret = 1\nopen('mine', 'w').close()")
        assert other.execute("'secret' in globals()").result == "False"
        assert other.execute("import os; os.listdir()").result == "[]"


def test_nothing_runs_between_calls(session: BlockingSession) -> None:
    counting = """
import threading
count = 0
def work():
    global count
    while True:
        count += 1
threading.Thread(target=work, daemon=True).start()
"""
    session.execute(counting)
    session.execute("import time")
    shares = []
    for _ in range(20):  # a call that a busy machine draws out lets the thread run meanwhile
        before, begun = session.execute("time.process_time()"), time.monotonic()
        time.sleep(0.3)
        after = session.execute("time.process_time()")
        shares.append((float(after.result or "inf") - float(before.result or 0)) / (time.monotonic() - begun))
        if shares[-1] < 0.2:
            break
    assert min(shares) < 0.2, shares


def test_limits_of_a_call_are_numbers_within_the_ceiling(session: BlockingSession) -> None:
    for wrong in ({"wall_seconds": -1}, {"cpu_seconds": float("nan")}, {"output_bytes": 1}):
        with pytest.raises(ConfigurationException, match=next(iter(wrong))):
            session.execute("1", **wrong)  # type: ignore[arg-type]
    assert session.execute("1").result == "1"


def test_code_that_is_too_long_is_refused(session: BlockingSession) -> None:
    with pytest.raises(ConfigurationException, match="characters"):
        session.execute("#" * (5 * 2**20))
    assert session.execute("#" * (3 * 2**20) + "\n1").result == "1"


def test_a_closed_session_and_a_sandbox_without_sessions_refuse(box: BlockingSandbox) -> None:
    session = box.open()
    session.close()
    session.close()
    for call in (lambda: session.execute("1"), session.get_files, lambda: session.put_files({"a": "b"})):
        with pytest.raises(SandboxException, match="it was closed"):
            call()
    with pytest.raises(ConfigurationException, match="unknown language"):
        box.open("klingon")


def test_a_scripted_sandbox_says_that_it_keeps_none() -> None:
    with BlockingSandbox(ScriptedSandbox()) as box, pytest.raises(ConfigurationException, match="keeps no sessions"):
        box.open()


# ---- how many, how long


def keeper(clock: ManualClock | None = None, **settings: float) -> SessionKeeper:
    return SessionKeeper(SessionSettings(**settings), clock or ManualClock())  # type: ignore[arg-type]


def test_there_are_no_more_sessions_than_allowed(form: str, new_sandbox: Callable[..., Sandbox]) -> None:
    with BlockingSandbox(new_sandbox(form, sessions=keeper(most=2))) as box:
        first, _second = box.open(), box.open()
        with pytest.raises(SandboxException, match="2 sessions are open, and there may be 2") as raised:
            box.open()
        assert raised.value.code == "sessions_full"
        first.close()
        assert box.open().execute("1").result == "1"


def test_idle_sessions_end_by_the_clock(form: str, new_sandbox: Callable[..., Sandbox]) -> None:
    clock = ManualClock()
    with BlockingSandbox(new_sandbox(form, sessions=keeper(clock, most=2, idle_seconds=100))) as box:
        idle, used = box.open(), box.open()
        clock.advance(60)
        used.execute("1")
        clock.advance(60)
        third = box.open()  # there is room: the idle one was ended for it
        assert why_ended(idle) == "nobody used it for 100 s"
        assert used.execute("2").result == "2"
        assert third.ended is None


def test_idle_sessions_end_though_nobody_asks(new_sandbox: Callable[..., Sandbox]) -> None:
    clock = ManualClock()
    with BlockingSandbox(new_sandbox("portable", sessions=keeper(clock, idle_seconds=100))) as box:
        idle = box.open()
        clock.advance(101)
        ends = time.monotonic() + 60
        while idle.ended is None:
            assert time.monotonic() < ends
            time.sleep(0.02)
        assert idle.ended == "nobody used it for 100 s"


def test_all_sessions_together_hold_no_more_than_allowed(form: str, new_sandbox: Callable[..., Sandbox]) -> None:
    held = keeper(memory_bytes=100 * 2**20)
    with BlockingSandbox(new_sandbox(form, sessions=held)) as box:
        one, other = box.open(), box.open()
        assert one.execute("kept = bytearray(60 * 2**20); len(kept)").outcome == "finished"
        done = other.execute("kept = bytearray(60 * 2**20)\nimport time\ntime.sleep(60)")
        assert (done.outcome, done.limits_hit, done.session_ended) == ("out_of_memory", ("all_memory",), True)
        assert one.execute("len(kept)").result == str(60 * 2**20)


@pytest.mark.anyio
async def test_cancelling_a_call_interrupts_it_and_cancelling_an_ignorant_one_ends_it(
    form: str, new_sandbox: Callable[..., Sandbox]
) -> None:
    async with new_sandbox(form) as box, await box.open() as session:
        await session.execute("kept = 1\nimport time")
        with anyio.move_on_after(0.3):
            await session.execute("while True: time.sleep(0.01)")
        assert (await session.execute("kept")).result == "1"
        for _ in range(50):  # one that is cancelled before it ignores anything heeds it
            if session.ended is None:
                with anyio.move_on_after(0.3):
                    await session.execute(IGNORES)
        assert session.ended is not None


@pytest.mark.anyio
async def test_calls_of_one_session_take_turns_and_those_of_several_do_not(
    new_sandbox: Callable[..., Sandbox],
) -> None:
    async with new_sandbox("portable") as box, await box.open() as one, await box.open() as other:
        results: list[str | None] = []

        async def call(code: str) -> None:
            results.append((await one.execute(code)).result)

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(call, f"{number}")
            waiting = await other.execute("2 + 2")
        assert sorted(map(str, results)) == ["0", "1", "2", "3", "4"]
        assert waiting.result == "4"


@pytest.mark.anyio
async def test_closing_ends_a_call_that_runs(form: str, new_sandbox: Callable[..., Sandbox]) -> None:
    async with new_sandbox(form) as box:
        session = await box.open()
        outcomes: list[str] = []

        async def call() -> None:
            try:
                outcomes.append((await session.execute("while True: pass")).outcome)
            except SandboxException as error:  # it was closed before the call began
                outcomes.append(error.code)

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.sleep(0.3)
            await session.close()
        assert outcomes in (["crashed"], ["session_ended"])
        assert session.ended is not None


def test_closing_the_sandbox_leaves_no_process_and_no_descriptor(
    form: str, new_sandbox: Callable[..., Sandbox]
) -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("it counts descriptors by /proc")
    with BlockingSandbox(new_sandbox(form)) as box:
        box.open().execute("1")
    before = len(list(descriptors.iterdir()))
    with BlockingSandbox(new_sandbox(form)) as box:
        with box.open() as one:
            assert one.execute("1").outcome == "finished"
        left = box.open()
        left.execute("import time")
    assert left.ended == "the sandbox was closed"
    assert len(list(descriptors.iterdir())) == before
