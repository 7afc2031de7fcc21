"""`prismenv report`, `compare` and `runs watch` over stored runs: what they say, in every format, and of odd runs."""

import csv
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from prismenv.cli.main import build_app
from prismenv.contracts.archive import CallRecord, NodeRecord, RunRecord, Store
from prismenv.engine.progress import Progress
from prismenv.store.database import open_store
from prismenv.store.migrations import STEPS, migrate
from prismenv.store.sqlite import open_engine, transaction
from prismenv.words.events import Event
from prismenv.words.nodes import NodeOutcome, NodeRequest
from prismenv.words.records import ChallengeResults, ProblemSummary, TrailRecord
from prismenv.words.usage import Usage
from prismenv.words.verdict import CaseResult, Fault, Verdict

CONCEPTS, DIFFICULTIES = ("loops", "sorting", "trees"), ("easy", "hard")
CELLS = [(concept, difficulty) for concept in CONCEPTS for difficulty in DIFFICULTIES]
MODEL = "simulated/weak"


@dataclass
class Desk:
    """The command in a folder whose store is at hand."""

    folder: Path
    store: Store

    def __call__(self, *words: object) -> Any:
        """One call, in this process."""
        said = [*map(str, words), "--store", str(self.folder / "runs.db")]
        return CliRunner().invoke(build_app(said), said)

    def run(self, run_id: str, solved: Callable[[int], bool], nodes: int = 60, **facts: Any) -> str:
        """A stored run over all cells by turns; `solved` says which of its nodes were."""
        told = {key: facts.pop(key) for key in ("fault", "statement", "phase", "concepts", "mode") if key in facts}
        models = {"default": facts.pop("model", MODEL)}
        known: dict[str, Any] = {
            "name": "small",
            "environment": "environment_coding_challenge",
            "status": "finished",
            "seed": 1,
            "recipe": {"name": "small", "models": models, **facts.pop("recipe", {})},
            "started_at": 1000.0,
            "ended_at": 1010.0,
        }
        plan = [list(cell) for cell in CELLS]
        began = Event("run_started", run_id, 1000.0, {"plan": plan, "progress": Progress(nodes).snapshot(0.0)})
        ended = Event("run_finished", run_id, 1010.0, {"status": "finished", "note": ""})
        self.store.save_run(RunRecord(run_id=run_id, **{**known, **facts}), [began, ended])
        self.store.save_nodes(run_id, [node(run_id, index, solved=solved(index), **told) for index in range(nodes)])
        return run_id


def node(run_id: str, index: int, *, solved: bool, fault: Fault = "candidate", **facts: Any) -> NodeRecord:
    concept, difficulty = CELLS[index % len(CELLS)]
    concepts = facts.get("concepts", (concept,))
    fault = "none" if solved else fault
    verdict = Verdict(
        outcome="passed" if solved else "failed",
        fault=fault,
        cases=(CaseResult(name="test_a", outcome="passed" if solved else "failed"),),
        verdict_mode=facts.get("mode", "split"),
        harness_hash="h",
    )
    record = TrailRecord(
        problem_statement=facts.get("statement", "Problem {}").format(index),
        test_cases="...",
        solution_code=f"def f():\n    return {index}\n",
        success=solved,
        verdict=verdict,
        fault=fault,
        fixed_by_problem_fixer=solved and index % 10 == 0,
    )
    problem = ProblemSummary(
        problem_index=0, success=solved, attempts=1, fault=fault, fixed_by_problem_fixer=record.fixed_by_problem_fixer
    )
    result = ChallengeResults(success=solved, data_trail=[record], problems=[problem])
    phase = facts["phase"](index) if "phase" in facts else None
    request = NodeRequest(index, f"{'+'.join(concepts)}|{difficulty}", concepts, difficulty, index, phase=phase)
    usage = Usage(model=MODEL, calls=1, prompt_tokens=100, completion_tokens=50, cost_usd=0.01)
    events = (Event("node_started", run_id, 1000.0 + index / 10), Event("node_finished", run_id, 1000.1 + index / 10))
    calls = (CallRecord("problem_solver", MODEL, "", "", usage, 0.2),)
    return NodeRecord(NodeOutcome(request, result, fault, wall_seconds=0.5), calls, events)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    with closing(open_store(tmp_path / "runs.db")) as store:
        yield Desk(tmp_path, store)


def every_third(index: int) -> bool:
    return index % 3 == 0


def rows_of(answer: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.stdout)))


def test_a_report_has_the_map_the_weakest_areas_effort_and_cost(desk: Desk) -> None:
    desk.run("run-a", every_third)
    answer = desk("report", "run-a")
    assert answer.exit_code == 0
    text = " ".join(answer.stdout.split())
    assert "solved 20 of 60 (33.3%, 95 % interval 22.7% to 45.9%, Wilson)" in text
    assert "trees, hard 0/10 0-28 % yes failed 10" in text
    assert "6 of 6 planned cells were measured" in text
    assert "by the fixer: 2 of 20 solved (10% of the solved)" in text
    assert "problem_solver 60 0 6,000 3,000 $0.6" in text
    assert "The model was simulated" in text


def test_the_same_figures_are_in_every_format(desk: Desk) -> None:
    desk.run("run-a", every_third)
    form = json.loads(desk("report", "run-a", "--format", "json").stdout)
    rows = rows_of(desk("report", "run-a", "--format", "csv"))
    markdown = desk("report", "run-a", "--format", "markdown").stdout
    assert form["total"]["solved"] == 20
    assert [row["solved"] for row in rows if row["kind"] == "total"] == ["20"]
    assert len(form["areas"]) == len(rows) == 1 + 3 + 2 + 6
    assert all("measured" in area and area["low"] <= (area["rate"] or 0) <= area["high"] for area in form["areas"])
    assert "| all |" in markdown
    assert "solved 20 of 60" in markdown
    assert markdown.startswith("# Report of small\n")
    assert form["coverage"] == {"planned": 6, "measured": 6, "beyond": 0, "gaps": []}
    assert form["weakest"][0]["measured"] == 10 or form["weakest"][0]["measured"] == 20


@pytest.mark.parametrize("columns", ["80", "60"])
def test_a_narrow_terminal_breaks_between_words_and_drops_columns_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    desk.run("run-a", every_third)
    lines = desk("report", "run-a").stdout.splitlines()
    assert max(map(len, lines)) <= int(columns)


def test_what_was_not_measured_is_told_with_its_reason(desk: Desk) -> None:
    desk.run("run-a", every_third, nodes=3, status="budget_reached", note="budget.nodes: 3 of 3")
    text = " ".join(desk("report", "run-a").stdout.split())
    assert "3 of 6 planned cells were measured" in text
    assert "the budget was spent: budget.nodes: 3 of 3 3 sorting, hard; trees, easy; trees, hard" in text


def test_a_run_with_only_infrastructure_faults_has_no_rate_and_says_what_was_left_out(desk: Desk) -> None:
    desk.run("run-a", lambda _: False, fault="infrastructure", nodes=12)
    answer = desk("report", "run-a")
    assert answer.exit_code == 0
    assert "solved nothing was measured" not in answer.stdout
    assert "nothing was measured" in answer.stdout
    assert "infrastructure 12" in answer.stdout
    form = json.loads(desk("report", "run-a", "--format", "json").stdout)
    assert (form["total"]["rate"], form["total"]["left_out"]) == (None, 12)
    assert [gap["code"] for gap in form["coverage"]["gaps"]] == ["infrastructure"]
    assert "run-a measured nothing" in desk("compare", "run-a", desk.run("run-b", every_third)).stderr


def test_a_run_without_nodes_or_with_an_older_record_of_its_plan_is_reported(desk: Desk) -> None:
    desk.run("run-a", every_third, nodes=0, status="interrupted")
    assert "no node was finished" in desk("report", "run-a").stdout
    for style in ("markdown", "json", "csv"):
        assert desk("report", "run-a", "--format", style).exit_code == 0
    older = RunRecord("run-old", "old", "environment_coding_challenge", "running", 1, {}, 1000.0)
    desk.store.save_run(older)
    desk.store.save_nodes("run-old", [node("run-old", 0, solved=False)])
    text = desk("report", "run-old").stdout
    assert "solved 0 of 1" in text
    assert "is not stored" in text


def test_a_run_of_an_older_store_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store as the first version made it: no column for cached calls, no events of the plan."""
    monkeypatch.chdir(tmp_path)
    engine = open_engine(tmp_path / "old.db")
    with transaction(engine, writing=True) as connection:
        migrate(connection, "old.db", STEPS[:1])
        connection.exec_driver_sql(
            "INSERT INTO runs (run_id, name, environment, status, seed, recipe, started_at, note) "
            "VALUES ('run-old', 'old', 'environment_coding_challenge', 'finished', '1', '{}', 1.0, '')"
        )
        connection.exec_driver_sql(
            "INSERT INTO nodes (run_id, node_index, node_id, concepts, difficulty, seed, options, success, fault, "
            "attempts, result) VALUES ('run-old', 0, 'loops|easy', '[\"loops\"]', 'easy', '1', '{}', 1, 'none', 0, "
            """'{"success": true}')"""
        )
    engine.dispose()
    said = ["report", "run-old", "--store", "old.db"]
    answer = CliRunner().invoke(build_app(said), said)
    assert answer.exit_code == 0
    assert "solved 1 of 1" in answer.stdout


def test_an_unknown_run_is_answered_with_the_nearest(desk: Desk) -> None:
    desk.run("run-abcdef", every_third, nodes=6)
    for command in ("report", "compare", "watch"):
        words = ["runs", "watch"] if command == "watch" else [command]
        answer = desk(*words, "run-abcdxx", *(["run-abcdef"] if command == "compare" else []))
        assert answer.exit_code == 2
        assert "Did you mean run-abcdef?" in answer.stderr


def test_phases_are_reported_one_by_one(desk: Desk) -> None:
    desk.run("run-a", every_third, phase=lambda index: "phase_1" if index < 24 else "phase_2")
    form = json.loads(desk("report", "run-a", "--format", "json").stdout)
    assert [(item["phase"], item["nodes"], item["total"]["measured"]) for item in form["phases"]] == [
        ("phase_1", 24, 24),
        ("phase_2", 36, 36),
    ]
    assert "phase_2     36  12/36 33%" in desk("report", "run-a").stdout
    assert {row["phase"] for row in rows_of(desk("report", "run-a", "-f", "csv"))} == {"", "phase_1", "phase_2"}


def test_runs_taken_together_have_a_mean_and_a_spread(desk: Desk) -> None:
    desk.run("run-a", every_third)
    desk.run("run-b", lambda index: index % 2 == 0)
    form = json.loads(desk("report", "run-a", "run-b", "--format", "json").stdout)
    assert form["repetitions"]["rates"] == pytest.approx([1 / 3, 1 / 2])
    assert form["total"]["measured"] == 120
    assert form["total"]["method"] == "clustered"  # the same problems twice
    desk.run("run-c", every_third, model="simulated/perfect")
    assert "different models" in desk("report", "run-a", "run-c").stderr
    desk.run("run-d", every_third, environment="environment_other")
    assert desk("report", "run-a", "run-d").exit_code == 2


ODD = ('=HYPERLINK("http://x")', "a|b <script>alert(1)</script>", "*bold* [x](y)\n# no heading", "@sum\x1b[31m")


def test_odd_names_are_no_formulas_no_markup_and_no_control_characters(desk: Desk) -> None:
    desk.run("run-a", every_third, nodes=8, concepts=ODD, name="=cmd|' /C calc'!A0\n## x", note="<b>\x07")
    rows = rows_of(desk("report", "run-a", "-f", "csv"))
    names = {row["name"] for row in rows}
    assert '\'=HYPERLINK("http://x")' in names
    assert not any(name.startswith(("=", "@", "+", "-", "\t")) for name in names)
    markdown = desk("report", "run-a", "-f", "markdown").stdout
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert "\n## x" not in markdown
    assert "\n# no" not in markdown
    assert all(line.count("|") - line.count("\\|") in (0, *range(3, 12)) for line in markdown.splitlines())
    for style in ("text", "markdown"):
        shown = desk("report", "run-a", "-f", style).stdout
        assert "\x1b" not in shown
        assert "\x07" not in shown


def test_a_comparison_pairs_problems_and_shows_regressions_first(desk: Desk) -> None:
    desk.run("run-a", lambda index: index % 4 != 0)
    desk.run("run-b", lambda index: index % 4 != 0 and CELLS[index % 6][0] != "trees", model="simulated/llama-3.1-8b")
    answer = desk("compare", "run-a", "run-b", "--format", "json")
    form = json.loads(answer.stdout)
    other = form["others"][0]
    assert (answer.exit_code, other["mode"], other["common_problems"], form["regression"]) == (0, "paired", 60, True)
    assert other["total"]["status"] == "regression"
    assert other["areas"][0]["status"] == "regression"
    assert other["areas"][0]["name"] == "trees"
    assert other["differs"] == {"models.default": [MODEL, "simulated/llama-3.1-8b"]}
    text = " ".join(desk("compare", "run-a", "run-b").stdout.split())
    assert "WORSE: 75.0% before, 50.0% now, -25.0 points" in text
    assert "exact McNemar test; 60 problems measured by both" in text
    assert text.index("trees 75%") < text.index("loops 75%")
    assert desk("compare", "run-a", "run-b", "--fail-on-regression").exit_code == 1
    assert desk("compare", "run-b", "run-a", "--fail-on-regression").exit_code == 0
    rows = rows_of(desk("compare", "run-a", "run-b", "-f", "csv"))
    assert [rows[0]["kind"], rows[0]["status"]] == ["total", "regression"]
    assert "WORSE" in desk("compare", "run-a", "run-b", "-f", "markdown").stdout


def test_runs_of_different_problems_are_compared_within_their_cells(desk: Desk) -> None:
    desk.run("run-a", every_third)
    desk.run("run-b", every_third, statement="Another {}")
    form = json.loads(desk("compare", "run-a", "run-b", "-f", "json").stdout)["others"][0]
    assert (form["mode"], form["total"]["difference"], form["regression"]) == ("by_cell", pytest.approx(0), False)
    assert "within cells that both measured" in desk("compare", "run-a", "run-b").stdout


def test_a_run_compared_with_itself_and_more_than_two_runs(desk: Desk) -> None:
    desk.run("run-a", every_third)
    desk.run("run-b", lambda index: True)
    itself = desk("compare", "run-a", "run-a", "--fail-on-regression")
    assert itself.exit_code == 0
    assert "compared with itself" in itself.stdout
    form = json.loads(desk("compare", "run-a", "run-a", "run-b", "-f", "json").stdout)
    assert [other["total"]["status"] for other in form["others"]] == ["no_difference_shown", "improvement"]
    alone = desk("compare", "run-a")
    assert alone.exit_code == 2
    assert "two runs or more" in alone.stderr


def test_repetitions_are_compared_together(desk: Desk) -> None:
    """Four runs of two models: each problem is the mean of its two measurements."""
    for name, rule in (
        ("a1", every_third),
        ("a2", lambda index: index % 3 < 2),
        ("b1", every_third),
        ("b2", every_third),
    ):
        desk.run(f"run-{name}", rule)
    form = json.loads(desk("compare", "run-a1,run-a2", "run-b1,run-b2", "--json").stdout)
    assert form["first"]["run_ids"] == ["run-a1", "run-a2"]
    total = form["others"][0]["total"]
    assert (total["first_problems"], total["method"], total["status"]) == (60, "paired_bootstrap", "regression")
    assert total["difference"] == pytest.approx(-1 / 6)


def test_runs_that_measured_different_things_are_refused_in_words(desk: Desk) -> None:
    desk.run("run-a", every_third)
    desk.run("run-b", every_third, environment="environment_other")
    desk.run("run-c", every_third, mode="shared")
    desk.run("run-d", every_third, concepts=("graphs",))
    refused = desk("compare", "run-a", "run-b")
    assert refused.exit_code == 2
    assert "environment_coding_challenge and environment_other" in refused.stderr
    assert "different modes, split and shared" in desk("compare", "run-a", "run-c").stderr
    assert "no problem and no cell" in desk("compare", "run-a", "run-d").stderr
    assert desk("compare", "run-a", "run-d", "--anyway").exit_code == 2
    anyway = desk("compare", "run-a", "run-b", "--anyway")
    assert anyway.exit_code == 0
    assert "note: their environments are" in anyway.stdout


def test_a_changed_configuration_and_an_unfinished_run_are_noted(desk: Desk) -> None:
    desk.run("run-a", every_third, recipe={"config": {"max_attempts": 3}})
    desk.run("run-b", every_third, recipe={"config": {"max_attempts": 1}}, status="interrupted")
    text = " ".join(desk("compare", "run-a", "run-b").stdout.split())
    assert "differs: config.max_attempts: 3 -> 1" in text
    assert "run-b is interrupted: not all of it was measured" in text
    assert "differ in config, which may explain a difference" in text


def test_a_finished_run_is_watched_to_its_end_at_once(desk: Desk) -> None:
    desk.run("run-a", every_third, nodes=6, phase=lambda index: "phase_1" if index < 3 else "phase_2")
    answer = desk("runs", "watch", "run-a", "--json")
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    kinds = [line["event"] for line in lines]
    assert answer.exit_code == 0
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")
    assert [kinds.count(kind) for kind in ("node_started", "attempt_judged", "node_finished")] == [6, 6, 6]
    assert [line["phase"] for line in lines if line["event"] == "phase_ended"] == ["phase_1", "phase_2"]
    assert lines[kinds.index("node_finished")]["progress"]["total"] == 6
    plain = desk("runs", "watch", "run-a")
    assert "run-a finished: 6 nodes; pass rate 33%" in plain.stdout


@pytest.mark.parametrize(("status", "code"), [("budget_reached", 0), ("interrupted", 1), ("failed", 3)])
def test_the_end_of_a_watched_run_is_the_exit_code(desk: Desk, status: str, code: int) -> None:
    desk.run("run-a", every_third, nodes=2, status=status)
    assert desk("runs", "watch", "run-a").exit_code == code


def test_a_killed_run_is_not_watched_for_ever(desk: Desk) -> None:
    desk.run("run-a", every_third, nodes=2, status="running", ended_at=None)
    answer = desk("runs", "watch", "run-a", "--every", "0.05")
    assert answer.exit_code == 1
    assert "nobody works on it any more" in answer.stderr
    report = " ".join(desk("report", "run-a").stdout.split())
    assert "the run was stopped: its process was killed" in report
    with desk.store.lock_run("run-a"):
        assert "not asked for yet" in desk("report", "run-a").stdout


def test_a_run_is_watched_while_another_writes_it(desk: Desk) -> None:
    """Nodes are told once each although they arrive out of order, and the watching ends with the run."""
    desk.run("run-a", every_third, nodes=0, status="running", ended_at=None)
    order = [1, 0, 4, 2, 3, 5]

    def work() -> None:
        with closing(open_store(desk.folder / "runs.db")) as store, store.lock_run("run-a"):
            locked.set()
            for index in order:
                store.save_nodes("run-a", [node("run-a", index, solved=True)])
                threading.Event().wait(0.1)
            run = next(run for run in store.runs() if run.run_id == "run-a")
            store.save_run(replace(run, status="finished", ended_at=1020.0), [Event("run_finished", "run-a", 1020.0)])

    locked = threading.Event()
    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert locked.wait(60)
        answer = desk("runs", "watch", "run-a", "--json", "--every", "0.05")
    finally:
        worker.join()
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert answer.exit_code == 0
    assert sorted(line["index"] for line in lines if line["event"] == "node_finished") == [0, 1, 2, 3, 4, 5]
    assert lines[-1]["event"] == "run_finished"


WEAK = "import unittest\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertIsNone(f(1))\n"
SOUND = WEAK.replace("self.assertIsNone(f(1))", "self.assertEqual([f(1), f(7)], [2, 8])")


def test_suites_are_tried_with_stubs_when_asked_to(desk: Desk) -> None:
    """One of the real sandbox's verdicts: a suite that a stub passes is told, a sound one is not."""
    run = desk.run("run-a", every_third, nodes=0, recipe={"environment": "environment_coding_challenge"})
    for index, suite in enumerate((WEAK, SOUND)):
        made = node(run, index, solved=True)
        result = made.outcome.result
        assert result is not None
        trail = [record.model_copy(update={"test_cases": suite}) for record in result.data_trail]
        outcome = replace(made.outcome, result=result.model_copy(update={"data_trail": trail}))
        desk.store.save_nodes(run, [replace(made, outcome=outcome)])
    plain = json.loads(desk("report", run, "-f", "json").stdout)
    answer = desk("report", run, "-f", "json", "--check-suites")
    assert plain["suspects"] == []
    assert answer.exit_code == 0
    assert [(item["sign"], item["why"]) for item in json.loads(answer.stdout)["suspects"]] == [
        ("stub_passes", "a stub that returns None passes it")
    ]
    assert "2 suites were tried with stubs; 1 are passed by one" in answer.stderr


def test_names_in_csv_have_no_control_characters_and_are_no_formulas(desk: Desk) -> None:
    for run in ("run-a", "run-b"):
        desk.run(run, every_third, concepts=("=cmd|' /C calc'!A0",))
        desk.run(f"{run}2", every_third, concepts=("\x1b[2Jloops\nnext\x9b",))
    for words in (("report", "{}"), ("compare", "run-a{}", "run-b{}")):
        for end in ("", "2"):
            sources = [word.format("run-a" + end if word == "{}" else end) for word in words]
            text = desk(*sources, "--format", "csv").stdout
            names = {row["name"] for row in csv.DictReader(io.StringIO(text)) if row["kind"] == "concept"}
            assert names == ({r"\x1b[2Jloops\nnext\x9b"} if end else {"'=cmd|' /C calc'!A0"}), sources
            assert not any(ord(letter) < 32 for letter in text.replace("\n", ""))


def test_runs_whose_names_have_no_room_in_a_table_are_listed_with_whole_names(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run("run-abcdef123456", every_third, name="a-name-that-is-long-enough-to-need-most-of-a-line")
    for columns in ("80", "120", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = desk("runs", "list").stdout
        for part in (
            "run-abcdef123456",
            "a-name-that-is-long-enough-to-need-most-of-a-line",
            "environment_coding_challenge",
        ):
            assert part in shown, columns
