"""Runs as files for other programs: one line for each attempt."""

import csv
from collections.abc import Iterator
from typing import Any, Literal, TextIO

from prismenv.contracts.archive import NodeRecord, RunRecord, Store
from prismenv.engine.outcomes import own_keys
from prismenv.engine.summaries import find_run
from prismenv.store.jsontext import dump, encodable
from prismenv.words.records import TrailRecord
from prismenv.words.verdict import Verdict
from prismenv.words.visible import visible

ExportFormat = Literal["jsonl", "csv"]

_NODE_FACTS = (
    "run_id",
    "run_name",
    "environment",
    "node_index",
    "node_id",
    "concepts",
    "difficulty",
    "node_seed",
    "node_success",
    "node_fault",
    "node_error",
    "node_wall_seconds",
    "result",
    "position",
)
_TRAIL_KEYS = tuple(TrailRecord.model_fields)
_VERDICT_KEYS = tuple(Verdict.model_fields)
_OWN = "own"  # CSV: what an environment added to its records, as JSON
COLUMNS = (
    *_NODE_FACTS,
    *(key for key in _TRAIL_KEYS if key != "verdict"),
    *(f"verdict_{key}" for key in _VERDICT_KEYS),
    _OWN,
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def export_run(store: Store, run_id: str, format: ExportFormat, out: TextIO) -> int:  # noqa: A002 - the option's name
    """Write a run to `out`, node by node, and give the number of lines (a CSV's heading is not counted).

    Each attempt is a line: the facts of run and node, then every key of the trail record. `result` is what
    the environment added to the node's result, null where there is no result. `position` counts the attempts of a
    node; a node without attempts is one line whose `position` is null, so that failures do not vanish.
    JSON Lines keep all values as they are (keys of an environment's own too; the facts win where names meet; NaN is
    null). CSV has the columns COLUMNS: the verdict is spread over `verdict_…`, lists and mappings are JSON, own keys
    are together in `own`, and text that a spreadsheet would take for a formula begins with an apostrophe.
    An unknown run is a StorageException.
    """
    run = find_run(store, run_id)
    lines = (line for node in store.nodes(run.run_id) for line in _lines_of(run, node))
    return _write_csv(lines, out) if format == "csv" else _write_jsonl(lines, out)


def _lines_of(run: RunRecord, node: NodeRecord) -> Iterator[dict[str, Any]]:
    outcome = node.outcome
    request = outcome.request
    facts = {
        "run_id": run.run_id,
        "run_name": run.name,
        "environment": run.environment,
        "node_index": request.index,
        "node_id": request.node_id,
        "concepts": list(request.concepts),
        "difficulty": request.difficulty,
        "node_seed": request.seed,
        "node_success": outcome.success,
        "node_fault": outcome.fault,
        "node_error": outcome.error,
        "node_wall_seconds": outcome.wall_seconds,
        "result": own_keys(outcome.result),
    }
    trail = outcome.result.data_trail if outcome.result else ()
    if not trail:
        yield {**facts, "position": None}
    for position, record in enumerate(trail):
        placed = {**facts, "position": position}
        yield {**placed, **dict(record.items()), **placed}  # facts come first, and win where names meet


def _write_jsonl(lines: Iterator[dict[str, Any]], out: TextIO) -> int:
    count = 0
    for line in lines:
        out.write(dump(line) + "\n")
        count += 1
    return count


def _write_csv(lines: Iterator[dict[str, Any]], out: TextIO) -> int:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for line in lines:
        flat = _flat(line)
        writer.writerow([csv_cell(flat.get(column)) for column in COLUMNS])
        count += 1
    return count


def _flat(line: dict[str, Any]) -> dict[str, Any]:
    verdict = line.pop("verdict", None)
    known = {key: line.pop(key) for key in (*_NODE_FACTS, *_TRAIL_KEYS) if key in line}
    own: dict[str, Any] = dict(line)
    if isinstance(verdict, Verdict):
        known |= {f"verdict_{key}": verdict[key] for key in _VERDICT_KEYS}
        own |= {f"verdict_{key}": value for key, value in verdict.items() if key not in _VERDICT_KEYS}
    return {**known, _OWN: own or None}


def csv_name(value: Any) -> str | int | float:
    r"""One cell of a report, whose texts are names: as csv_cell, and control characters are written out, as `\x1b`.

    Line ends too: a name is one line wherever the file is read.
    """
    if isinstance(value, str):
        value = visible(value).replace("\n", "\\n").replace("\t", "\\t")
    return csv_cell(value)


def csv_cell(value: Any) -> str | int | float:
    """One cell. Numbers stay numbers; None is empty; what is no plain value is JSON.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    text = encodable(value) if isinstance(value, str) else dump(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
