"""The Python guest: judges one solution against one suite inside a process that may be killed at any moment.

Theory of operation
    The parent starts a bare interpreter whose descriptor 0 is a socket, sends this harness and one payload over it, and
    reads frames from it. The harness moves the socket to a high close-on-exec descriptor, gives descriptor 0 to the
    null device, lowers its own limits, says `ready` (the parent's clock starts there), reads the suite's syntax tree,
    loads the solution, then the suite, runs the tests and reports each at its end. A frame is a 4-byte length, the
    run's nonce and a JSON array; the parent accepts them only in the order of the state machine.

    Everything stands in ONE process: this is the `shared` mode. Whatever the harness needs (write, clock, exit, the
    encoder) is kept in closures from before the solution is loaded, and what unittest and builtins hold is compared
    afterwards; so leaving early, printing results, patching assertions or removing tests gain nothing. A solution that
    walks frames or the collector to find the channel, or that returns objects which agree with everything, is NOT held
    off here: that takes two processes, and a verdict says which mode it was made in.

    Only the standard library, nothing of prismenv, and as little of it as possible: start-up is most of the cost.
"""

import gc
import posix
import time
from _warnings import filters as warning_filters
from collections.abc import Callable
from types import ModuleType
from typing import Any

from guest_process import limit_memory, limit_process, open_channel, reserve_memory
from python_output import Flush
from python_report import Reporter
from python_runner import Runner
from python_suite import Suite, SuiteError
from python_world import World


def read_suite(payload: dict[str, Any], reporter: Reporter, load: Callable[[str], ModuleType]) -> Suite:
    """The suite, counted and compiled; a SuiteError says in one line why there is none."""
    try:
        suite = parsed_suite(payload["tests"], (*payload["modules"], *payload["parts"]), load)
        if suite.uses_pytest and suite.examples is None:
            load("python_ids")
            load("python_marks").study(suite)
        if suite.asserts:
            suite.explainers = load("python_asserts").rewrite(suite.asserts)
        suite.compiled()
    except SuiteError:
        raise
    except BaseException as error:
        raise SuiteError(reporter.short(error)) from None
    return suite


def parsed_suite(text: str, modules: tuple[str, ...], load: Callable[[str], ModuleType]) -> Suite:
    """The suite as Python, or as doctest examples where it holds such and no other test."""
    suite = None
    try:
        suite = Suite(text, modules)
    except SyntaxError:
        if not any(line.lstrip().startswith(">>> ") for line in text.split("\n")):
            raise
    if suite is not None and (">>> " not in text or suite.has_tests):
        return suite
    load("python_ids")
    found = load("python_doctest").suite_of(text, modules, suite) or suite
    return Suite(text, modules) if found is None else found


def take_files(world: World, payload: dict[str, Any], load: Callable[[str], ModuleType]) -> None:
    """Let a world know of a solution of several files; nothing where it is one text."""
    world.parts = payload["parts"]
    if payload["files"]:
        world.files = load("python_files").Files(payload)
    if payload["audit"] and payload["parts"]:  # a file that is not there is for the solution to bring
        load("python_files").offer_stubs(world.solution, payload["reserved"])


def judge(
    payload: dict[str, Any],
    send: Callable[..., None],
    load: Callable[[str], ModuleType],
    make_world: Callable[[Suite, list[str]], World] = World,
) -> None:
    """Everything from the suite's syntax tree to the last test. Every way out has sent its reason."""
    gc.disable()  # the suite's tree is all that is made until the solution is loaded, and it is here to stay
    reporter = Reporter({**payload["files"], payload["entry"]: payload["solution"], "tests.py": payload["tests"]})
    try:
        suite = read_suite(payload, reporter, load)
    except SuiteError as error:
        send("invalid", str(error))
        return
    world = make_world(suite, payload["modules"])
    take_files(world, payload, load)
    world.prepare(load)
    send("parsed", suite.expected, hold=True)
    if not suite.expected and not suite.may_generate:
        return
    gc.freeze()
    gc.enable()
    if payload["audit"]:
        world.load_stub()
    else:
        limit_memory(payload["limits"]["memory_bytes"])
        send("loading")
        try:
            world.load_solution(payload["solution"])
        except BaseException as error:
            send("unloaded", reporter.short(error), reporter.detail(error), isinstance(error, MemoryError))
            return
        changed = world.changed()
        if changed:
            send("tampered", changed)
            return
    try:
        world.load_suite()
        runner = Runner(world, reporter, send, time.perf_counter)
    except BaseException as error:
        message = reporter.short(error)
        if payload["audit"] and not world.fails_by_itself(message):
            message = ""  # like no failure of the run that is looked into: a solution could have brought it about
        send("unimported", message, reporter.detail(error), isinstance(error, MemoryError))
        return
    send("collected", runner.names(), world.notes, hold=True)
    if not payload["audit"]:
        runner.run(frozenset(payload["skip"]))


def main(payload: dict[str, Any], load: Callable[[str], ModuleType]) -> None:
    """Serve one payload and leave without the interpreter's own end, which the solution could hook."""
    warning_filters.insert(0, ("ignore", None, SyntaxWarning, None, 0))  # a compiler's remark is no output
    leave, flush = posix._exit, Flush()  # noqa: SLF001 - its public name
    send = open_channel(payload["nonce"])
    limit_process(payload["limits"], payload["marker"])
    reserve_memory(payload["limits"]["memory_bytes"])
    send("ready")
    try:
        judge(payload, send, load)
        flush()
        send("done")
    finally:
        leave(0)
