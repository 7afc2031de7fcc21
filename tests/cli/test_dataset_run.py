"""`prismenv run humaneval`: problems and completions from files, named relative to where the user stands."""

import json
from pathlib import Path
from typing import Any

PROBLEMS = {"double": "return number + number", "negate": "return -number", "square": "return number * number"}


def write_files(shell: Any, folder: str) -> None:
    """Three problems in HumanEval's format; two completions of each, of `square` one is wrong."""
    problems, samples = [], []
    for name, body in PROBLEMS.items():
        prompt = f'def {name}(number):\n    """{name} the number"""\n'
        wanted = f"(lambda number: {body.removeprefix('return ')})(n)"
        test = f"def check(candidate):\n    for n in range(5):\n        assert candidate(n) == {wanted}\n"
        problems.append(
            {"task_id": f"Own/{name}", "prompt": prompt, "entry_point": name, "canonical_solution": "", "test": test}
        )
        wrong = "return 0" if name == "square" else body
        samples += [{"task_id": f"Own/{name}", "completion": f"    {code}\n"} for code in (body, wrong)]
    shell.write(f"{folder}/problems.jsonl", "".join(json.dumps(line) + "\n" for line in problems))
    shell.write(f"{folder}/samples.jsonl", "".join(json.dumps(line) + "\n" for line in samples))


FILES = ("--set", "data=problems.jsonl", "--set", "models.problem_solver=samples/samples.jsonl")


def test_completions_made_elsewhere_are_judged_and_pass_at_k_is_printed(workspace: Any) -> None:
    write_files(workspace, "data")
    answer = workspace("run", "humaneval", *FILES, "--quiet", cwd=workspace.folder / "data")
    assert answer.code == 0, answer.err
    assert "pass@1 0.833, 95 % interval" in answer.out
    assert "pass@2 1.000, 95 % interval" in answer.out
    assert "3 problems, 6 samples" in answer.out


def test_a_run_over_files_is_resumed_from_another_folder(workspace: Any, tmp_path: Path) -> None:
    write_files(workspace, "data")
    first = workspace(
        "run", "humaneval", *FILES, "--set", "budget.nodes=1", "--json", cwd=workspace.folder / "data"
    )  # fmt: skip
    assert first.code == 0, first.err
    run = first.lines[-1]["run_id"]
    rest = workspace(
        "run", "--resume", run, "-w", workspace.folder, "--set", "budget.nodes=null", "--json", cwd=tmp_path
    )
    assert rest.code == 0, rest.err
    report = rest.lines[-1]
    assert (report["status"], report["progress"]["done"], report["progress"]["replayed"]) == ("finished", 3, 1)
    assert [(estimate["k"], estimate["samples"]) for estimate in report["pass_at_k"]] == [(1, 6), (2, 6)]


def test_a_data_file_that_is_not_there_is_bad_usage(workspace: Any) -> None:
    answer = workspace("run", "humaneval", "--set", "data=problems.jsonl")
    assert answer.code == 2
    assert "problems.jsonl" in answer.err
    assert "Traceback" not in answer.err
