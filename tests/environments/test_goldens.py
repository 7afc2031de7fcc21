"""Golden transcripts: with the same seeds, the same simulated model and the same code a trail is the same.

Left out is what may differ on another machine or another version of Python: times, tokens, the words of tracebacks.
After a change that is meant to change them: PRISMENV_WRITE_GOLDENS=1 pytest tests/environments/test_goldens.py
"""

import json
import os
from pathlib import Path

import anyio
import pytest

from prismenv import BaseEnvironment
from prismenv.contracts.recipe import Recipe
from prismenv.engine.composition import open_services
from prismenv.finding.workspace import find_workspaces

GOLDENS = Path(__file__).parent / "goldens"
KEPT = (
    "problem_index",
    "attempt_num",
    "problem_statement",
    "test_cases",
    "solution_code",
    "success",
    "tests_passed_num",
    "tests_failed_num",
    "tests_errored_num",
    "fixed_by_problem_fixer",
    "fault",
    "seed",
    "test_validation",
)
PLAYS = {
    "environment_coding_challenge": (
        "simulated/weak",
        {},
        [
            {"concept": "loops", "difficulty_level": "very easy", "seed": 1, "num_problems": 2},
            {"concept": ["recursion", "sorting"], "difficulty_level": "medium", "seed": 2},
        ],
    ),
    "environment_enhanced_coding_challenge": (
        "simulated/gpt-4o",
        {"batch_size": 2},
        [{"concept": "sorting", "difficulty_level": "hard", "seed": 3, "num_problems": 3}],
    ),
    "environment_dataset_challenge": (
        f"samples/{GOLDENS / 'samples.jsonl'}",
        {"data": str(GOLDENS / "problems.jsonl"), "batch_size": 2},
        [{"problem_id": name, "seed": 4} for name in ("add", "Greeting/0", "absent")],
    ),
}


def projected(record):
    """What of a record is the same everywhere."""
    verdict = record.verdict
    return {
        **{key: record[key] for key in KEPT},
        "outcome": verdict.outcome if verdict else None,
        "cases": {case.name: case.outcome for case in verdict.cases} if verdict else {},
        "calls": {role: usage.calls for role, usage in sorted(record.usage.items())},
        "notes": [*record.notes, *(verdict.notes if verdict else ())],
        "has_error_feedback": record.error_feedback is not None,
        "has_test_error_analysis": record.test_error_analysis is not None,
    }


async def play(name, folder):
    model, config, nodes = PLAYS[name]
    recipe = Recipe(name="golden", environment=name, models={"default": model})
    transcript = []
    async with open_services(recipe, find_workspaces(folder), folder, stored=False) as services:
        for number, node in enumerate(nodes):
            async with BaseEnvironment(name, config=config, services=services) as environment:
                result = await environment.execute_node(**{"concept": "any", "difficulty_level": "any", **node})
            problems = [[problem.title, problem.success, problem.fault] for problem in result.problems]
            trail = [projected(record) for record in result.data_trail]
            transcript.append({"node": number, "success": result.success, "problems": problems, "data_trail": trail})
    return transcript


@pytest.mark.parametrize("name", PLAYS)
def test_a_trail_is_what_it_was(name, tmp_path):
    transcript = json.loads(json.dumps(anyio.run(play, name, tmp_path)))
    file = GOLDENS / f"{name}.json"
    if os.environ.get("PRISMENV_WRITE_GOLDENS"):
        file.write_text(json.dumps(transcript, indent=1) + "\n", encoding="utf-8")
    assert transcript == json.loads(file.read_text(encoding="utf-8"))
