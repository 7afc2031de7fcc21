"""Trees as PrismBench's `/tree` gives them and its authors publish them, as surveys: reported and compared like runs.

The tree is what `prismenv.search.treejson` reads, so a file whose nodes or edges are wrong is told and not reported.
What is read here are the nodes' `run_results`, a list of `{"success", "data_trail"}`. Trees that were published were
worked over by hand: outputs may be null, and a result may say that it succeeded although none of its attempts does. The
result's word counts, and the survey says how often that was.

A trail tells problems apart by their attempts, which count up from 0 for each.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from prismenv.contracts.archive import NodeRecord, RunRecord
from prismenv.engine.outcomes import fault_of_result
from prismenv.engine.survey import Survey
from prismenv.finding.complaints import complaints, dotted
from prismenv.search.cells import node_name
from prismenv.search.treejson import tree_from_json, uncollected
from prismenv.words.errors import ConfigurationException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.verdict import Fault, Outcome, Verdict

SUFFIX = ".json"
MOST_LEFT_OUT = 10_000  # so many results of a node that say nothing are counted: a number in a file costs nothing
_PLAIN = ("attempt_num", "problem_statement", "test_cases", "solution_code", "output", "success")
_COUNTS = ("tests_passed_num", "tests_failed_num", "tests_errored_num")


def is_tree(source: str) -> bool:
    """Whether a source of results is named as a tree's file and not as a run."""
    return source.lower().endswith((SUFFIX, ".pkl", ".pickle"))


def read_tree(path: Path) -> Survey:
    """The survey of a tree's file. ConfigurationException where it is none, with the key path or the node.

    Pickles are refused, whatever is in them.
    """
    if path.suffix.lower() != SUFFIX:
        raise _bad(
            path, "a pickled tree is a program and is never read", "Save it as JSON: the service's /tree gives it."
        )
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise _bad(path, "it is no regular file")
        with uncollected():
            document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _bad(path, "there is no such file") from error
    except OSError as error:
        raise _bad(path, f"it cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"it is no JSON: {error}") from error
    tree = tree_from_json(document, str(path))
    survey = Survey(title=f"tree {path.name}: {len(tree)} nodes")
    survey.begin(_run(path))
    cells: list[tuple[str, str]] = []
    index = 0
    for place, node in enumerate(tree):
        cells.append((" + ".join(sorted(node.concepts)), node.difficulty))
        name = node_name(node.concepts, node.difficulty)  # without the number of a variant, which each tree counts anew
        for number, result in enumerate(node.results):
            where = f"nodes.{place}.run_results.{number}"
            request = NodeRequest(index, name, node.concepts, node.difficulty, 0, phase=f"phase_{node.phase}")
            survey.add(_record(path, where, request, result, survey))
            index += 1
        for fault in _left_out(path, f"nodes.{place}.left_out", node.left_out):
            request = NodeRequest(index, name, node.concepts, node.difficulty, 0, phase=f"phase_{node.phase}")
            survey.add(NodeRecord(NodeOutcome(request, None, fault, error="left out, as the tree's file says")))
            index += 1
    survey.plan = list(dict.fromkeys([*cells, *product(tree.concepts, tree.difficulties)]))
    survey.phases = dict(sorted(survey.phases.items()))
    return survey


def _run(path: Path) -> RunRecord:
    return RunRecord(
        run_id=path.name, name=path.stem, environment="tree", status="finished", seed=0, recipe={}, started_at=0.0
    )


def _list(path: Path, where: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _bad(path, f"{where}: expected a list, found {type(value).__name__}")
    return value


def _record(path: Path, where: str, request: NodeRequest, result: Any, survey: Survey) -> NodeRecord:
    if not isinstance(result, dict) or not isinstance(result.get("success"), bool):
        raise _bad(path, f"{where}: expected a mapping with `success` true or false, found {result!r:.60}")
    success: bool = result["success"]
    if "problems" in result:  # one of ours, with everything that a run has of it
        return _own_record(path, where, request, result)
    try:
        trail = [_attempt(item) for item in _list(path, f"{where}.data_trail", result.get("data_trail"))]
    except (ValidationError, TypeError, AttributeError) as error:
        raise _bad(path, f"{where}.data_trail: {str(error).splitlines()[0]}") from error
    problems = _problems(trail)
    placed = [record.model_copy(update={"problem_index": at}) for at, group in enumerate(problems) for record in group]
    if success and trail and not any(record.success for record in trail):
        survey.contradictions += 1
    listed = [_summary(at, group, success=success) for at, group in enumerate(problems)]
    made = ChallengeResults(success=success, data_trail=placed, problems=listed)
    return NodeRecord(NodeOutcome(request, made, "none" if success else "candidate"))


def _own_record(path: Path, where: str, request: NodeRequest, result: Any) -> NodeRecord:
    try:
        made = ChallengeResults.model_validate(result)
    except ValidationError as error:
        key, what = complaints(error, ChallengeResults, result)[0]
        raise _bad(path, f"{where}.{dotted(key)}: {what}") from error
    return NodeRecord(NodeOutcome(request, made, fault_of_result(made)))


def _left_out(path: Path, where: str, counts: Mapping[str, int]) -> Iterator[Fault]:
    for name, count in counts.items():
        fault = next((fault for fault in get_args(Fault) if fault == name and fault not in ("none", "candidate")), None)
        if fault is None:
            raise _bad(path, f"{where}: found {name!r:.60}; expected infrastructure, environment or tests")
        yield from [fault] * min(count, MOST_LEFT_OUT)


def _problems(trail: Sequence[TrailRecord]) -> list[list[TrailRecord]]:
    groups: list[list[TrailRecord]] = []
    for record in trail:
        if not groups or record.attempt_num <= groups[-1][-1].attempt_num:
            groups.append([])
        groups[-1].append(record)
    return groups


def _summary(at: int, group: Sequence[TrailRecord], *, success: bool) -> ProblemSummary:
    """One problem; a result that succeeded has solved all of them, whatever its attempts say."""
    solved = success or any(record.success for record in group)
    fixed = any(record.success and record.fixed_by_problem_fixer for record in group)
    return ProblemSummary(
        problem_index=at,
        success=solved,
        attempts=len(group),
        fixed_by_problem_fixer=fixed,
        fault="none" if solved else "candidate",
    )


def _attempt(item: Mapping[str, Any]) -> TrailRecord:
    known = {key: item[key] for key in _PLAIN if item.get(key) is not None}
    counts = {key: max(int(item.get(key) or 0), 0) for key in _COUNTS}  # PrismBench once counted below 0
    success = known.get("success") is True
    outcome = _outcome(counts, success=success)
    fault = "none" if success else "candidate"
    verdict = None if outcome is None else Verdict.model_validate({"outcome": outcome, "fault": fault, **counts})
    own = {"fixed_by_problem_fixer": bool(item.get("fixed_by_problem_fixer")), "verdict": verdict, "fault": fault}
    return TrailRecord.model_validate({**known, **counts, **own})


def _outcome(counts: Mapping[str, int], *, success: bool) -> Outcome | None:
    if success:
        return "passed"
    if counts["tests_failed_num"]:
        return "failed"
    return "errored" if counts["tests_errored_num"] else None


def _bad(path: Path, why: str, hint: str | None = None) -> ConfigurationException:
    return ConfigurationException(f"{path}: {why}", code="wrong_tree", subject=str(path), hint=hint)
