"""`prismenv report`: what a stored run found out about a model."""

import csv
from contextlib import closing
from typing import Annotated

import typer

from prismenv.cli.archive import store_of
from prismenv.cli.drawing import console
from prismenv.cli.output import print_error, print_json
from prismenv.cli.page import ReportFormat, show_page, write_markdown
from prismenv.cli.places import StoreOption, WorkspaceOption
from prismenv.cli.surveypage import PageOptions, survey_page
from prismenv.cli.terminal import data_output
from prismenv.engine.exports import csv_cell
from prismenv.engine.survey import AREA_COLUMNS, Survey, area_rows, survey_runs
from prismenv.words.errors import ConfigurationException

EPILOG = """Several runs are taken together, as repetitions of one measurement; `prismenv compare` tells them apart.

Examples:

\b
  prismenv report run-1a2b
  prismenv report run-1a2b --format markdown > report.md
  prismenv report run-1a2b --format csv > map.csv
  prismenv report run-1a2b run-3c4d run-5e6f --format json
"""
FormatOption = Annotated[
    ReportFormat, typer.Option("--format", "-f", help="How it is written: for people, or for programs.")
]


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs' ids, or the beginnings of them.")],
    format: FormatOption = "text",  # noqa: A002 - the option's name
    top: Annotated[int, typer.Option(min=1, help="How many of the weakest areas are shown.")] = 10,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="An area whose success rate is under it is weak.")
    ] = 0.5,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """The map of a run: success by concept and difficulty with intervals, weakest areas, gaps, cost."""
    with closing(store_of(store, workspace)) as archive:
        survey = survey_runs(archive, runs)
    for remark in mixed(survey):
        print_error(f"warning: {remark}")
    if format == "json":
        print_json(survey.to_json(threshold))
    elif format == "csv":
        _write_csv(survey)
    elif format == "markdown":
        title = " and ".join(dict.fromkeys(run.name for run in survey.runs))
        write_markdown(data_output(), f"Report of {title}", survey_page(survey, PageOptions(threshold, top)))
    else:
        show_page(console(), survey_page(survey, PageOptions(threshold, top)))


def mixed(survey: Survey) -> list[str]:
    """What makes runs that are taken together no repetitions of one another; another environment is an error."""
    environments = sorted({run.environment for run in survey.runs})
    if len(environments) > 1:
        raise ConfigurationException(
            f"runs of different environments cannot be taken together: {', '.join(environments)}",
            code="runs_differ",
            hint="Report them one by one.",
        )
    models = {repr(run.recipe.get("models")) for run in survey.runs}
    return ["these runs are of different models; `prismenv compare` is for that"] if len(models) > 1 else []


def _write_csv(survey: Survey) -> None:
    writer = csv.writer(data_output(), lineterminator="\n")
    writer.writerow(AREA_COLUMNS)
    for row in area_rows(survey):
        writer.writerow([csv_cell(row[column]) for column in AREA_COLUMNS])


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(report)
