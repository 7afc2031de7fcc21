"""The engine's part around what an author wrote.

Theory of operation. When a class derives from BaseEnvironment, the methods that the engine calls by name are replaced
by entries: an entry does the engine's part and calls the author's method inside it. Whoever calls `execute_node` gets
the same, be it a runner, a server or a script. A call that comes from within (an author's `super().reset()`, or
`initialize` called by `execute_node`) finds its own mark in a context variable and goes straight to the method, so the
engine's part is done once.
"""

import asyncio
import functools
import inspect
import math
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import anyio

from prismenv.contracts.execution import NodeExecution, current_execution, timed_out_result
from prismenv.contracts.methodthreads import method_threads
from prismenv.contracts.results import as_results
from prismenv.contracts.settings import EnvironmentConfig
from prismenv.words.codestopped import code_stopped
from prismenv.words.errors import ConfigurationException, EnvironmentException, EnvironmentExecutionException
from prismenv.words.nearness import SLIP_CUTOFF, did_you_mean, nearest
from prismenv.words.records import ChallengeResults

Method = Callable[..., Awaitable[Any]]
ENTRY_METHODS = ("close", "execute_node", "health_check", "initialize", "reset")
# What the engine reads from a call; handed on only to authors whose signature names it.
ENGINE_OPTIONS = ("max_attempts", "num_problems", "previous_problems", "seed", "task_timeout", "timeout")
RESET_KEYS = ("seed", "episode_id")  # what the engine gives every reset
_inside: ContextVar[frozenset[tuple[int, str]]] = ContextVar("prismenv_entries", default=frozenset())


def make_entry(name: str, method: Method) -> Method:
    """`method` with the engine's part around it. Marked, so that it is made once."""

    @functools.wraps(method)
    async def entry(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        mark = (id(self), name)
        marks = _inside.get()
        if mark in marks:
            return await run_method(functools.partial(method, self), *args, **kwargs)
        token = _inside.set(marks | {mark})
        try:
            return await getattr(self, f"_enter_{name}")(functools.partial(method, self), *args, **kwargs)
        finally:
            _inside.reset(token)

    entry.__prismenv_entry__ = True  # type: ignore[attr-defined]
    return entry


def is_entry(method: object) -> bool:
    """True for what `make_entry` made."""
    return getattr(method, "__prismenv_entry__", False) is True


async def run_node(
    environment_name: str,
    execution: NodeExecution,
    method: Method,
    options: Mapping[str, Any],
    now: Callable[[], float],
) -> ChallengeResults:
    """Call an author's `execute_node` under its deadline and bring what it returns into shape.

    What it raises is classified once: prismenv's own exceptions pass, anything else becomes an
    EnvironmentExecutionException that says where it came from.
    """
    started = now()
    method_name = "execute_node"
    token = current_execution.set(execution)
    try:
        with anyio.move_on_after(execution.timeout_seconds) as scope:
            returned = await call_author(environment_name, method_name, method, **options)
        if scope.cancelled_caught:
            return timed_out_result(execution, now() - started)
    finally:
        current_execution.reset(token)
        if execution.crew is not None:
            await execution.crew.close()
    return as_results(returned, environment_name)


async def call_author(
    environment_name: str, method_name: str, method: Callable[..., Any], /, *args: Any, **options: Any
) -> Any:
    """What an author's method returns. What it raises is classified, and keeps the original as its cause."""
    try:
        return await run_method(method, *args, **options)
    except EnvironmentException:
        raise
    except anyio.get_cancelled_exc_class() as error:
        if _given_up():
            raise
        raise classified(error, environment_name, method_name) from error
    except KeyboardInterrupt:  # the operator's
        raise
    except BaseException as error:  # boundary: an author's code
        if code_stopped(error) is not None:
            raise
        raise classified(error, environment_name, method_name) from error


def _given_up() -> bool:
    """Whether the call was cancelled. Else the author's code waited for something that was: a task of its own, say.

    That must not pass for a cancellation of whoever called, which nobody would end by an answer.
    """
    task = asyncio.current_task()
    return anyio.current_effective_deadline() == -math.inf or (task is not None and task.cancelling() > 0)


async def run_method(method: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    """What a method returns that may be plain: then it runs in a thread, so that it may take its time.

    What is cancelled meanwhile goes on in it, unseen: see methodthreads.py.
    """
    if inspect.iscoroutinefunction(method) or inspect.iscoroutinefunction(inspect.unwrap(method)):
        return await method(*args, **options)
    call = functools.partial(method, *args, **options)
    returned = await method_threads().run(call)
    return await returned if inspect.isawaitable(returned) else returned


async def ask_validation(environment_name: str, hook: Callable[..., Any], config: EnvironmentConfig) -> None:
    """An author's `validate_config`: plain or awaited, with or without the config as its argument."""
    try:
        returned = hook(**own_options(hook, {"config": config}))
        if hasattr(returned, "__await__"):
            returned = await returned
    except EnvironmentException:
        raise
    except ValueError as error:
        raise ConfigurationException(f"{environment_name}: {error}", subject=environment_name) from error
    if returned is False:
        raise ConfigurationException(
            f"validate_config of {environment_name!r} refused its configuration",
            code="config_refused",
            subject=environment_name,
        )


def classified(error: BaseException, environment_name: str, method_name: str) -> EnvironmentException:
    """The exception of ours that an author's exception comes to; of a group, the first of ours, else the first."""
    leaves = _leaves(error)
    leaf = next((leaf for leaf in leaves if isinstance(leaf, EnvironmentException)), leaves[0])
    if isinstance(leaf, EnvironmentException):
        return leaf
    return EnvironmentExecutionException(
        f"{method_name} of {environment_name!r} failed{_place(leaf)}: {said_by(leaf)}",
        code="environment_raised",
        subject=environment_name,
    )


def said_by(error: BaseException) -> str:
    """An author's exception in one line: its type, and its message where it has one that can be had."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - boundary: the message is an author's code too
        return type(error).__name__


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]


def _place(error: BaseException) -> str:
    """Where it happened: the last line of a plugin's file, else the last line of all."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).name.startswith("environment_")]
    return f" at {(own or frames)[-1].filename}:{(own or frames)[-1].lineno}" if frames else ""


def accepted_options(method: Method, options: Mapping[str, Any], environment_name: str) -> dict[str, Any]:
    """The options that `method` can be called with: all, or those that it names where it has no `**kwargs`.

    The engine's own are left out where they are not named; any other unknown one, and one that is missing, is a
    ConfigurationException.
    """
    parameters = _parameters(method)
    if (own := _receiver(method)) is not None and own in options:
        raise _unknown_option(environment_name, own, parameters)
    for name, item in parameters.items():
        needed = item.default is item.empty and item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)
        if needed and name not in options:
            raise ConfigurationException(
                f"{environment_name!r} needs the option {name!r}{did_you_mean(name, options)}",
                code="missing_option",
                subject=name,
            )
    if any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        return dict(options)
    for name in options:
        if name not in parameters and name not in ENGINE_OPTIONS:
            raise _unknown_option(environment_name, name, parameters)
    return {name: value for name, value in options.items() if name in parameters}


def _unknown_option(environment_name: str, name: str, parameters: Mapping[str, Any]) -> ConfigurationException:
    return ConfigurationException(
        f"{environment_name!r} takes no option {name!r}{did_you_mean(name, parameters)}; "
        f"it takes {', '.join(parameters)}",
        code="unknown_option",
        subject=name,
    )


def _parameters(method: Method) -> Mapping[str, inspect.Parameter]:
    if isinstance(method, functools.partial):
        return _named(method.func)
    if inspect.ismethod(method):
        return _named(method.__func__)
    return inspect.signature(method).parameters


def _receiver(method: Method) -> str | None:
    """What the method calls its environment, which no caller may give; None: it takes none."""
    function = method.func if isinstance(method, functools.partial) else getattr(method, "__func__", None)
    return None if function is None else _first(function)


@functools.cache
def _first(function: Method) -> str | None:
    return next(iter(inspect.signature(function).parameters), None)


@functools.cache
def _named(function: Method) -> Mapping[str, inspect.Parameter]:
    """Parameters of an unbound method without `self`; read once for each function."""
    parameters = dict(inspect.signature(function).parameters)
    parameters.pop(next(iter(parameters)), None)
    return parameters


def refuse_option_slips(method: Method, options: Mapping[str, Any], environment_name: str) -> None:
    """ConfigurationException for an option that the method's signature does not name, but nearly.

    Others are only left out: a client may send what an environment has no use for.
    """
    parameters = _parameters(method)
    if any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        return
    free = [name for name in parameters if name not in options]
    for name in options:
        if name not in (*parameters, *RESET_KEYS) and nearest(name, free, cutoff=SLIP_CUTOFF):
            raise _unknown_option(environment_name, name, parameters)


def own_options(method: Method, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `options` that the method's signature takes."""
    parameters = _parameters(method)
    if any(item.kind is item.VAR_KEYWORD for item in parameters.values()):
        own = _receiver(method)
        return {name: value for name, value in options.items() if name != own}
    return {name: value for name, value in options.items() if name in parameters}
