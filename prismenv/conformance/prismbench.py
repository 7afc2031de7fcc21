"""What a server of PrismBench's environments has to do."""

from typing import Any

from prismenv.conformance.check import Suite, require
from prismenv.conformance.wire import Answer, Wire

PRISMBENCH = Suite("prismbench")
TRAIL_KEYS = (
    "attempt_num",
    "error_feedback",
    "fixed_by_problem_fixer",
    "output",
    "problem_statement",
    "solution_code",
    "success",
    "test_cases",
    "test_error_analysis",
    "test_validation",
    "tests_errored_num",
    "tests_failed_num",
    "tests_passed_num",
)
_COUNTS = ("tests_passed_num", "tests_failed_num", "tests_errored_num", "attempt_num")
_OK, _INVALID, _NOT_FOUND = 200, 422, 404


async def _run(wire: Wire, body: dict[str, Any], environment: str | None = None) -> Answer:
    name = environment or wire.subject.environment
    query = None if name is None else {"environment_name": name}
    return await wire.ask("POST", "/run-challenge", body, query=query)


def _trail(answer: Answer) -> list[dict[str, Any]]:
    require(answer.status == _OK, "status 200")
    found = answer.document if isinstance(answer.document, dict) else {}
    require(isinstance(found.get("success"), bool), "success true or false")
    trail = found.get("data_trail")
    require(isinstance(trail, list) and all(isinstance(each, dict) for each in trail), "a data_trail of objects")
    return trail if isinstance(trail, list) else []


@PRISMBENCH.check("health", "GET /health says status and service")
async def _health(wire: Wire) -> None:
    answer = await wire.ask("GET", "/health")
    found = answer.document if isinstance(answer.document, dict) else {}
    require(answer.status == _OK and isinstance(found.get("status"), str), "status 200 and a status")
    require(found.get("service") == "environment", '"service": "environment"')


@PRISMBENCH.check("challenge", "a challenge is run, and its records have all keys")
async def _challenge(wire: Wire) -> None:
    trail = _trail(await _run(wire, {"concept": "loops", "difficulty_level": "easy", "max_attempts": 1}))
    require(trail, "a data_trail with a record")
    for record in trail:
        missing = [key for key in TRAIL_KEYS if key not in record]
        require(not missing, f"{', '.join(missing)} in the record")
        counts = [record[key] for key in _COUNTS]
        whole = all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in counts)
        require(whole, f"{', '.join(_COUNTS)} that are numbers of 0 or more")
        require(isinstance(record["success"], bool), "success true or false")


@PRISMBENCH.check("concepts", "a list of concepts is taken as one is")
async def _concepts(wire: Wire) -> None:
    _trail(await _run(wire, {"concept": ["loops", "recursion"], "difficulty_level": "easy", "max_attempts": 1}))


@PRISMBENCH.check("missing", "a challenge without concept or difficulty is refused with 422")
async def _missing(wire: Wire) -> None:
    for body in ({"difficulty_level": "easy"}, {"concept": "loops"}, {}):
        require((await _run(wire, body)).status == _INVALID, "status 422")


@PRISMBENCH.check("unknown_environment", "an environment that there is not is refused, and not with a 500")
async def _unknown(wire: Wire) -> None:
    answer = await _run(wire, {"concept": "loops", "difficulty_level": "easy"}, "environment_that_is_not")
    require(answer.status in range(400, 500), "a status of 400 to 499")


@PRISMBENCH.check("bad_json", "a body that is no JSON is refused, and not with a 500")
async def _bad_json(wire: Wire) -> None:
    answer = await wire.ask("POST", "/run-challenge", b"{")
    require(answer.status in range(400, 500), "a status of 400 to 499")
