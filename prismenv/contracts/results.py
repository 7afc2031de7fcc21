"""What an author may return, made into the one shape that everybody reads."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from prismenv.contracts.execution import success_rate, summarise_problems
from prismenv.words.errors import EnvironmentExecutionException
from prismenv.words.nearness import did_you_mean
from prismenv.words.records import ChallengeResults, TrailRecord


def as_results(returned: object, environment_name: str) -> ChallengeResults:
    """The result of a node: a ChallengeResults as it is, or a mapping with `success`, other keys kept.

    Trail records may hold any subset of the known keys; an `attempt_num` that is missing is counted within its problem.
    Problems and their rate are made from the trail where the author gave none. Anything else is an
    EnvironmentExecutionException.
    """
    if isinstance(returned, ChallengeResults):
        return _completed(returned)
    if not isinstance(returned, Mapping):
        raise _bad(environment_name, f"expected a mapping with 'success' or ChallengeResults, found {_shown(returned)}")
    if not isinstance(returned.get("success"), bool):
        slip = "" if "success" in returned else did_you_mean("success", map(str, returned))
        found = _shown(returned["success"]) if "success" in returned else f"none{slip}"
        raise _bad(environment_name, f"'success' must be true or false, found {found}")
    fields = {str(key): value for key, value in returned.items()}
    trail = fields.pop("data_trail", None)
    if trail is None:
        trail = ()
    if isinstance(trail, str | bytes | Mapping) or not isinstance(trail, Iterable):
        raise _bad(environment_name, f"'data_trail' must be a list of records, found {_shown(trail)}")
    try:
        return _completed(ChallengeResults(**fields, data_trail=_records(trail)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        found = _shown(first["input"])
        raise _bad(environment_name, f"{where}: {first['msg'].lower()}, found {found}") from error


def _records(trail: Iterable[Any]) -> list[TrailRecord]:
    made: Counter[int] = Counter()
    records = []
    for item in trail:
        record = item
        if not isinstance(item, TrailRecord):
            fields = dict(item) if isinstance(item, Mapping) else item
            record = TrailRecord.model_validate(fields)
            if isinstance(fields, dict) and "attempt_num" not in fields:
                record = record.model_copy(update={"attempt_num": made[record.problem_index]})
        made[record.problem_index] += 1
        records.append(record)
    return records


def _completed(result: ChallengeResults) -> ChallengeResults:
    if result.problems or not result.data_trail:
        return result
    problems = summarise_problems(result.data_trail)
    return result.model_copy(update={"problems": problems, "success_rate": success_rate(problems)})


def _shown(value: object) -> str:
    return f"{type(value).__name__} {value!r:.80}"


def _bad(environment_name: str, what: str) -> EnvironmentExecutionException:
    return EnvironmentExecutionException(
        f"execute_node of {environment_name!r} returned a bad result: {what}",
        code="bad_result",
        subject=environment_name,
    )
