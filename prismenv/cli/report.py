"""`prismenv report`: what a stored run found out about a model."""

import csv
from pathlib import Path
from typing import Annotated

import anyio
import typer

from prismenv.cli.drawing import console
from prismenv.cli.output import print_error, print_json
from prismenv.cli.page import ReportFormat, show_page, write_markdown
from prismenv.cli.places import JsonOption, StoreOption, WorkspaceOption, workspaces_of
from prismenv.cli.sources import opened, survey_of
from prismenv.cli.surveypage import PageOptions, survey_page
from prismenv.cli.terminal import data_output
from prismenv.contracts.archive import Store
from prismenv.contracts.recipe import Recipe
from prismenv.engine.exports import csv_name
from prismenv.engine.suitecheck import SuiteCheck, try_stubs
from prismenv.engine.survey import AREA_COLUMNS, Survey, area_rows
from prismenv.isolation.choice import open_sandbox, usual_workers

REPORT_EVERY = 50  # suites between two lines of progress
EPILOG = """Several runs are taken together, as repetitions of one measurement; `prismenv compare` tells them apart.

Examples:

\b
  prismenv report run-1a2b
  prismenv report run-1a2b --format markdown > report.md
  prismenv report run-1a2b --format csv > map.csv
  prismenv report run-1a2b --check-suites
  prismenv report tree_1.json
  prismenv report run-1a2b run-3c4d run-5e6f --format json
"""
FormatOption = Annotated[
    ReportFormat, typer.Option("--format", "-f", help="How it is written: for people, or for programs.")
]


def report(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Runs' ids or their beginnings, or a tree's FILE.json.")
    ],
    format: FormatOption = "text",  # noqa: A002 - the option's name
    top: Annotated[int, typer.Option(min=1, help="How many of the weakest areas are shown.")] = 10,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="An area whose success rate is under it is weak.")
    ] = 0.5,
    check_suites: Annotated[
        bool, typer.Option("--check-suites", help="Try every suite with solutions that solve nothing, in the sandbox.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """The map of a run: success by concept and difficulty with intervals, weakest areas, gaps, cost."""
    with opened(runs, store, workspace) as archive:
        survey = survey_of(runs, archive)
        if check_suites and archive is not None:
            anyio.run(_check_suites, archive, survey, workspaces_of(workspace).project_folder)
    if format == "json" or as_json:
        print_json(survey.to_json(threshold))
    elif format == "csv":
        _write_csv(survey)
    elif format == "markdown":
        title = " and ".join(dict.fromkeys(run.name for run in survey.runs))
        write_markdown(data_output(), f"Report of {title}", survey_page(survey, PageOptions(threshold, top)))
    else:
        show_page(console(), survey_page(survey, PageOptions(threshold, top)))


async def _check_suites(archive: Store, survey: Survey, folder: Path) -> None:
    settings = Recipe.model_validate(dict(survey.runs[0].recipe)).sandbox
    workers = usual_workers()
    async with open_sandbox(settings, workers, folder) as sandbox:
        check = await try_stubs(archive, survey, sandbox, on_progress=_progress, concurrency=workers)
    unjudged = f", {check.unjudged} of them not by every stub: the sandbox failed" if check.unjudged else ""
    print_error(f"{check.tried} suites were tried with stubs{unjudged}; {check.passed} are passed by one")


def _progress(check: SuiteCheck) -> None:
    if check.tried % REPORT_EVERY == 0:
        print_error(f"{check.tried} suites tried")


def _write_csv(survey: Survey) -> None:
    writer = csv.writer(data_output(), lineterminator="\n")
    writer.writerow(AREA_COLUMNS)
    for row in area_rows(survey):
        writer.writerow([csv_name(row[column]) for column in AREA_COLUMNS])


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(report)
