"""The simulated role that acts in an environment: a challenge of the bank is solved, anything else is tried out."""

import json
from dataclasses import replace
from typing import Any

from prismenv.simulated.question import Question
from prismenv.simulated.solver import UNKNOWN, solve
from prismenv.simulated.stage import Stage

_LEAST: dict[str, Any] = {"string": "hello", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}


def act(question: Question, stage: Stage) -> str:
    """A program where what is seen is a challenge; else the least action of the schema, and from then on the same."""
    seen = _texts(question.text("observation"))
    about = {"error_feedback" if "report" in question.request.inputs else "problem_statement": seen}
    program = solve(replace(question, request=replace(question.request, inputs=about)), stage)
    if program != UNKNOWN:
        return program
    said = [message.content for message in question.request.messages if message.role == "assistant"]
    return said[-1] if said else json.dumps(_least(question.text("action_schema")))


def _texts(observation: str) -> str:
    """All texts of an observation, those in objects as they are."""
    try:
        read = json.loads(observation)
    except (ValueError, RecursionError):
        return observation
    values = read.values() if isinstance(read, dict) else [read]
    return "\n\n".join(value for value in values if isinstance(value, str)) or observation


def _least(schema: str) -> dict[str, Any]:
    try:
        read = json.loads(schema)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(read, dict):
        return {}
    fields = read.get("properties", {})
    return {name: _LEAST.get(str(fields.get(name, {}).get("type"))) for name in read.get("required", [])}
