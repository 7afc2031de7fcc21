"""The entry point of the command line.

Only the command that was asked for is imported. For `--help` and for unknown words the others stand in as stubs that
know their summary, so that the answer comes at once; completion needs them all.
"""

import gc
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from typing import Annotated, NoReturn

import typer
from typer.core import TyperGroup

from prismenv import __version__
from prismenv.cli.terminal import (
    EXIT_BROKEN_PIPE,
    EXIT_INFRASTRUCTURE,
    EXIT_INTERRUPTED,
    complain,
    forgive_encodings,
    open_closed_streams,
)

# Command to module and summary, in the order of the help page.
COMMANDS = {
    "run": ("prismenv.cli.run", "Run a recipe: measure a model over concepts and difficulties."),
    "judge": ("prismenv.cli.judge", "Judge a solution against its tests, or a file of cases."),
    "list": ("prismenv.cli.catalog", "List environments, agents, providers, recipes and the rest."),
    "runs": ("prismenv.cli.runs", "List, show, watch, export and prune stored runs."),
    "report": ("prismenv.cli.report", "Report what a run found: map, weakest areas, gaps, failures, cost."),
    "compare": ("prismenv.cli.compare", "Compare runs of several models or versions, regressions first."),
    "rejudge": ("prismenv.cli.rejudge", "Judge the stored solutions of a run again and show what changed."),
    "agents": ("prismenv.cli.agents", "List, show and check agent files."),
    "serve": ("prismenv.cli.serve", "Serve environments over OpenEnv's protocol, PrismBench's and MCP."),
    "openenv": ("prismenv.cli.openenv", "An environment's folder as OpenEnv has it: write one, check one."),
    "conformance": (
        "prismenv.cli.conformance",
        "Check that a server does what a protocol says: OpenEnv, PrismBench, MCP.",
    ),
    "token": ("prismenv.cli.token", "Make a token for a server of environments."),
    "llm": ("prismenv.cli.llm", "The LLM interface by itself: try a role's model, serve all to others."),
    "sandbox": ("prismenv.cli.sandbox", "The sandbox by itself: serve it to other machines."),
    "init": ("prismenv.cli.scaffold", "Make a workspace with one small example of each kind."),
    "eject": ("prismenv.cli.scaffold", "Copy a built-in environment, agent or recipe into the workspace."),
    "doctor": ("prismenv.cli.doctor", "Check Python, workspaces, plugins, sandbox, store and disk."),
}
BOUNDARY = "prismenv.cli.boundary"
ENDING_SECONDS = 1.0
EPILOG = """Examples:

\b
  prismenv run quickstart
  prismenv judge solution.py tests.py
  prismenv run RECIPE --set models.default=simulated/weak
  prismenv COMMAND --help
"""


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"prismenv {__version__}")
        raise typer.Exit


def _root(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Evaluate and train language models on coding challenges, with verdicts that can be trusted."""


def _stub() -> NoReturn:
    raise AssertionError("a stub is replaced before its command runs")


def build_app(words: list[str], *, completing: bool = False) -> typer.Typer:
    """The application for these command-line words: whole for the command they ask for, stubs for the rest."""
    asked = next((word for word in words if not word.startswith("-")), None)
    whole = completing or asked in COMMANDS
    app = typer.Typer(
        cls=importlib.import_module(BOUNDARY).Commands if whole else TyperGroup,
        no_args_is_help=True,
        rich_markup_mode=None,  # plain help needs no renderer and answers in half the time
        pretty_exceptions_enable=False,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        callback=_root,
    )
    for name, (module, summary) in COMMANDS.items():
        if completing or name == asked:
            importlib.import_module(module).register(app, name)
        else:
            app.command(name, help=summary)(_stub)
    return app


def _end_in_order() -> None:
    """Have whoever asks this process to end get what Ctrl-C does: what was made for the time of a command is removed.

    Servers and runs hear these signals in ways of their own. One that is ignored (nohup) stays so.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


def _run(words: list[str]) -> int:
    try:
        _end_in_order()
        gc.disable()  # what is imported stays: looking through it for garbage takes a tenth of the start
        app = build_app(words, completing="_PRISMENV_COMPLETE" in os.environ)
        gc.freeze()
        gc.enable()
        app(prog_name="prismenv")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception:  # noqa: BLE001 - boundary: a fault of ours must not look like the exit code of a verdict
        traceback.print_exc()
        complain("this is a fault in prismenv or in a plugin; the lines above say where")
        return EXIT_INFRASTRUCTURE
    return 0


def _flush(code: int) -> int:
    """The exit code once everything is written: a reader that went away has no use for the rest."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        if isinstance(error, BrokenPipeError):
            return EXIT_BROKEN_PIPE
        if code != EXIT_INFRASTRUCTURE:  # else the command told of it
            complain(f"standard output: {error.strerror}")
        return EXIT_INFRASTRUCTURE
    return code


def main() -> NoReturn:
    """Run the command line: exit code 0 done, 1 not passed, 2 bad usage or configuration, 3 infrastructure."""
    open_closed_streams()
    forgive_encodings()
    code = _flush(_run(sys.argv[1:]))
    if _is_held():
        os._exit(code)  # one still waits for a line of standard input; everything else is closed by now
    sys.exit(code)


def _is_held() -> bool:
    """Whether a thread will not end by itself. Those that are on their way out are waited for: they hold nobody."""
    deadline = time.monotonic() + ENDING_SECONDS
    others = [each for each in threading.enumerate() if each is not threading.main_thread() and not each.daemon]
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    return any(thread.is_alive() for thread in others)


if __name__ == "__main__":
    main()
