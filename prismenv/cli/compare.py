"""`prismenv compare`: runs of several models or versions set against a first one."""

import csv
from typing import Annotated

import typer

from prismenv.cli.contestpage import contest_page
from prismenv.cli.drawing import console
from prismenv.cli.output import print_json
from prismenv.cli.page import show_page, write_markdown
from prismenv.cli.places import JsonOption, StoreOption, WorkspaceOption
from prismenv.cli.report import FormatOption
from prismenv.cli.sources import opened, survey_of
from prismenv.cli.terminal import data_output
from prismenv.engine.comparison import CONTRAST_COLUMNS, Contest, compare_surveys, contrast_rows
from prismenv.engine.exports import csv_name

TOGETHER = ","  # between runs that are repetitions of one another
EPILOG = """The first run is what the others are compared with. Problems that both measured are compared one by one;
where the runs measured different ones, rates are compared within the cells that both measured.
Runs joined by a comma are taken together, as repetitions of one measurement.

Exit code: 0, or with --fail-on-regression 1 where a run is worse than the first, over all or in an area; 2 where runs
cannot be compared.

Examples:

\b
  prismenv compare run-1a2b run-3c4d
  prismenv compare run-1a2b run-3c4d run-5e6f --format markdown > comparison.md
  prismenv compare run-1a2b run-3c4d --fail-on-regression
  prismenv compare run-1a2b,run-2b3c run-3c4d,run-4d5e
"""


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN", help="Runs' ids or their beginnings, or trees' FILE.json.")
    ],
    format: FormatOption = "text",  # noqa: A002 - the option's name
    top: Annotated[int, typer.Option(min=1, help="How many areas are shown where they show no difference.")] = 15,
    fail_on_regression: Annotated[
        bool, typer.Option("--fail-on-regression", help="Exit code 1 where a run is worse than the first.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare runs of another environment or another mode of verdicts too.")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """What became worse and what better between runs, with intervals; regressions first."""
    with opened([one for source in runs for one in source.split(TOGETHER)], store, workspace) as archive:
        contest = compare_surveys([survey_of(source.split(TOGETHER), archive) for source in runs], anyway=anyway)
    if format == "json" or as_json:
        print_json(contest.to_json())
    elif format == "csv":
        _write_csv(contest)
    elif format == "markdown":
        write_markdown(data_output(), "Comparison of runs", contest_page(contest, top))
    else:
        show_page(console(), contest_page(contest, top))
    raise typer.Exit(1 if fail_on_regression and contest.worse else 0)


def _write_csv(contest: Contest) -> None:
    writer = csv.writer(data_output(), lineterminator="\n")
    writer.writerow(CONTRAST_COLUMNS)
    for row in contrast_rows(contest):
        writer.writerow([csv_name(row[column]) for column in CONTRAST_COLUMNS])


def register(app: typer.Typer, name: str) -> None:
    """Add the command."""
    app.command(name, epilog=EPILOG)(compare)
