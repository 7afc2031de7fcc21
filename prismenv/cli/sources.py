"""What reports and comparisons are made of: runs of the store, and files of published trees."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from prismenv.cli.archive import store_of
from prismenv.cli.output import print_error
from prismenv.contracts.archive import Store
from prismenv.engine.publishedtree import is_tree, read_tree
from prismenv.engine.survey import Survey, survey_runs
from prismenv.words.errors import ConfigurationException


@contextmanager
def opened(sources: Sequence[str], store: str | None, workspace: Path | None) -> Iterator[Store | None]:
    """The store, where any source is a run; None where all are trees, which need none."""
    if all(map(is_tree, sources)):
        yield None
        return
    with closing(store_of(store, workspace)) as archive:
        yield archive


def survey_of(sources: Sequence[str], archive: Store | None) -> Survey:
    """Runs taken together, or one tree. Both together is a ConfigurationException: they say different things."""
    if len(sources) == 1 and is_tree(sources[0]):
        return read_tree(Path(sources[0]))
    if archive is None or any(map(is_tree, sources)):
        raise ConfigurationException(
            "a tree's file is reported by itself", code="sources_differ", hint="`prismenv compare` takes several."
        )
    survey = survey_runs(archive, sources)
    _refuse_mixed(survey)
    return survey


def _refuse_mixed(survey: Survey) -> None:
    """Runs that are taken together must be of one environment; those of several models are told."""
    environments = sorted({run.environment for run in survey.runs})
    if len(environments) > 1:
        raise ConfigurationException(
            f"runs of different environments cannot be taken together: {', '.join(environments)}",
            code="runs_differ",
            hint="Report them one by one.",
        )
    if len({repr(run.recipe.get("models")) for run in survey.runs}) > 1:
        print_error(f"warning: {survey.label} are of different models; `prismenv compare` is for that")
