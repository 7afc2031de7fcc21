"""`prismenv run`: a recipe, shown while it runs."""

import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import anyio
import typer

from prismenv.cli.changes import located_changes, option_changes
from prismenv.cli.drawing import console
from prismenv.cli.interrupts import stopped_by_signals
from prismenv.cli.live import Watcher, open_watcher
from prismenv.cli.output import print_json
from prismenv.cli.places import JsonOption, StoreOption, WorkspaceOption, workspaces_of
from prismenv.cli.reporting import show_report
from prismenv.cli.terminal import EXIT_INFRASTRUCTURE, EXIT_INTERRUPTED, data_output
from prismenv.engine.campaign import load_stored_recipe, plan_campaign, run_campaign
from prismenv.engine.composition import usual_models
from prismenv.engine.location import store_location
from prismenv.engine.report import RunReport
from prismenv.engine.switch import StopSwitch
from prismenv.finding.plugins import providers
from prismenv.finding.recipes import LoadedRecipe, dump_recipe, load_recipe, recipe_names
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.words.errors import ConfigurationException, EnvironmentException
from prismenv.words.events import Event
from prismenv.words.masking import mask_secrets

EPILOG = """Ctrl-C once finishes what runs, twice stops now; both leave a run that `--resume` goes on with.

Examples:

\b
  prismenv run quickstart
  prismenv run quickstart --set models.default=simulated/weak --set search.repeats=3
  prismenv run humaneval --set data=HumanEval.jsonl.gz --set models.problem_solver=samples/SAMPLES.jsonl
  prismenv run quickstart --show-config > configs/runs/mine.yaml
  prismenv run quickstart --dry-run
  prismenv run --resume run-1a2b
  prismenv run --resume run-1a2b --set budget.nodes=500
"""


def _complete_recipe(incomplete: str) -> list[str]:
    try:
        names = recipe_names(find_workspaces())
    except EnvironmentException:  # a shell that completes has no use for a message
        return []
    return [name for name in names if name.startswith(incomplete)]


def run(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A recipe's name or file, or an environment's name.", autocompletion=_complete_recipe),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a key of the recipe; paths are within the current folder; repeatable.",
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="Hand an option to execute_node untouched; repeatable."),
    ] = None,
    show_config: Annotated[bool, typer.Option("--show-config", help="Print the resolved recipe and stop.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be run, and run nothing.")] = False,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a stored run.")] = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Run a recipe: measure a model over concepts and difficulties, and keep every attempt."""
    workspaces = workspaces_of(workspace)
    stored = [] if store is None else [f"output.store={store}"]
    changes = located_changes([*(sets or ()), *stored], Path.cwd(), providers()) + option_changes(options or ())
    with redirect_stdout(sys.stderr):  # what a plugin prints when it is loaded is no part of the answer
        loaded = _load(recipe, changes, resume, workspaces)
    if show_config:
        data_output().write(dump_recipe(loaded.recipe))
        return
    if dry_run:
        _show_plan(loaded, workspaces, as_json=as_json)
        return
    with open_watcher(as_json=as_json, quiet=quiet) as watcher:
        report = anyio.run(_campaign, loaded, workspaces, watcher, resume)
    if as_json:
        print_json({"event": "report", **report.to_json()})
    else:
        show_report(console(), report, usual_store=mask_secrets(store_location(None, workspaces)))
    raise typer.Exit(_exit_code(report))


def _load(recipe: str | None, changes: list[str], resume: str | None, workspaces: WorkspaceSet) -> LoadedRecipe:
    if resume is not None:
        return load_stored_recipe(resume, workspaces, recipe, changes)
    if recipe is None:
        names = ", ".join(recipe_names(workspaces))
        raise ConfigurationException(f"name a recipe, or a run with --resume. Recipes: {names}")
    loaded = load_recipe(recipe, workspaces, os.environ, changes)
    if recipe == loaded.recipe.environment and not loaded.recipe.models:  # an environment's name, and no model
        models = usual_models(loaded.recipe, workspaces)
        return replace(loaded, recipe=loaded.recipe.model_copy(update={"models": models}))
    return loaded


def _show_plan(loaded: LoadedRecipe, workspaces: WorkspaceSet, *, as_json: bool) -> None:
    with redirect_stdout(sys.stderr), loaded.placing():
        plan = plan_campaign(loaded.recipe, workspaces=workspaces, folder=loaded.folder)
    if as_json:
        print_json(plan)
        return
    if plan["interface"] != "local":  # the roles' models are its own affair
        plan["models"] = f"those of the service at {plan['interface']}"
    for key, value in plan.items():
        console().say(f"{key}: {_plainly(value)}")


def _plainly(value: object) -> str:
    """A value of the plan as a person writes it."""
    if isinstance(value, Mapping):
        value = [f"{key}={inner}" for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)


async def _campaign(loaded: LoadedRecipe, workspaces: WorkspaceSet, watcher: Watcher, resume: str | None) -> RunReport:
    """Run it. A third interrupt ends even what cannot be stopped in order, with KeyboardInterrupt."""
    stop = StopSwitch()

    def sink(event: Event) -> None:
        try:
            watcher(event)
        except BrokenPipeError:  # nobody reads any more: stop in order, so that the run can be resumed
            stop.abort()

    async with stopped_by_signals(stop):
        with loaded.placing():
            return await run_campaign(
                loaded.recipe, workspaces=workspaces, folder=loaded.folder, sink=sink, resume=resume, stop=stop
            )
    raise KeyboardInterrupt


def _exit_code(report: RunReport) -> int:
    if report.status == "failed":
        return EXIT_INFRASTRUCTURE
    return EXIT_INTERRUPTED if report.status == "interrupted" else 0


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(run)
