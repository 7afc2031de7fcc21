"""environment_dataset_challenge: problems and tests from a file, samples of the solver, and what they come to."""

import functools
import gzip
import json

import anyio
import pytest

from prismenv import AgentCommunicationException, BaseEnvironment, ConfigurationException
from prismenv.contracts.clock import SystemClock
from prismenv.contracts.services import Services
from prismenv.contracts.transport import ModelReference, ProviderContext
from prismenv.engine.campaign import run_campaign
from prismenv.engine.switch import StopSwitch
from prismenv.finding.recipes import load_recipe
from prismenv.finding.workspace import find_workspaces
from prismenv.isolation.portable import PortableSandbox
from prismenv.sessions.samples import open_samples

NAME = "environment_dataset_challenge"
PROMPT = 'from typing import List\n\n\ndef total(numbers: List[int]) -> int:\n    """ Their sum. """\n'
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": PROMPT,
    "entry_point": "total",
    "canonical_solution": "    return sum(numbers)\n",
    "test": "METADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1]) == 1\n    assert candidate([]) == 0\n",
}
OURS = {
    "id": "double",
    "concepts": ["functions", "loops"],
    "difficulty": "easy",
    "statement": "Return twice the number.",
    "entry_point": "double",
    "tests": "def test_double():\n    assert [double(n) for n in (0, 3)] == [0, 6]\n",
}
RIGHT = "def double(n):\n    return n + n\n"


@pytest.fixture
def write(tmp_path):
    def write(*rows, name="data.jsonl"):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        data = "".join(f"{line}\n" for line in lines).encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return name

    return write


@pytest.fixture
def run(stage):
    def run(data="data.jsonl", *, config=None, real=True, **options):
        options = {"problem_id": None, "concept": None, "difficulty_level": None, **options}
        given = {name: value for name, value in options.items() if value is not None}
        given.setdefault("concept", "humaneval")
        given.setdefault("difficulty_level", "unrated")
        return stage.run(NAME, config={"data": data, **(config or {})}, real=real, **given)

    return run


@pytest.fixture
def sampled(stage, write):
    """The solver answers from a file of samples."""

    def sampled(*samples, problem_id="HumanEval/0"):
        write(*({"id": problem_id, "solution": sample} for sample in samples), name="samples.jsonl")
        context = ProviderContext(clock=stage.clock, folder=stage.folder, seed=0)
        stage.transport = open_samples(ModelReference("samples", "samples.jsonl"), context)

    return sampled


def test_a_continuation_is_judged_behind_the_prompt(write, run, sampled):
    write(HUMANEVAL)
    sampled("    return sum(numbers)\n")
    result = run(problem_id="HumanEval/0")
    (record,) = result.data_trail
    assert (result.success, record.solution_code) == (True, PROMPT + "    return sum(numbers)\n")
    assert record.test_cases.endswith("def test_check():\n    check(total)\n")
    assert [case.name for case in record.verdict.cases] == ["test_check"]
    assert (result["problem_id"], result["samples"], result["passed"]) == ("HumanEval/0", 1, 1)
    assert (record["sample"], record["problem_id"]) == (0, "HumanEval/0")
    assert result.problems[0].title == "HumanEval/0"


@pytest.mark.parametrize(
    ("answer", "success"),
    [
        ("    pass\n", False),
        ("", False),
        ("    return (\n", False),
        ("def total(numbers: List[int]) -> int:\n    return sum(numbers)\n", True),
        (f"Sure!\n\n```python\n{PROMPT}    return sum(numbers)\n```\n", True),
        ("```python\nreturn sum(numbers)\n```", True),
    ],
)
def test_a_sample_counts_as_it_stands(write, run, sampled, answer, success):
    write(HUMANEVAL)
    sampled(answer)
    result = run(problem_id="HumanEval/0")
    (record,) = result.data_trail
    assert (result.success, result["samples"], result["passed"]) == (success, 1, int(success))
    assert record.fault == ("none" if success else "candidate")
    assert record.verdict is not None


def test_all_samples_of_a_file_are_judged_and_counted(write, run, sampled):
    write(HUMANEVAL)
    sampled("    return sum(numbers)\n", "    pass\n", "    return 3\n", "    return sum(numbers) + 0\n")
    result = run(problem_id="HumanEval/0", config={"batch_size": 3})
    assert [record["sample"] for record in result.data_trail] == [0, 1, 2, 3]
    assert [record.success for record in result.data_trail] == [True, False, False, True]
    assert (result["samples"], result["passed"], result.success, result.success_rate) == (4, 2, True, 1.0)
    assert (result.problems[0].attempts, len(result.problems)) == (4, 1)


def test_fewer_samples_may_be_asked_for_and_more_are_left_out(write, run, sampled):
    write(HUMANEVAL)
    sampled("    pass\n", "    return sum(numbers)\n")
    assert run(problem_id="HumanEval/0", config={"samples": 1})["samples"] == 1
    result = run(problem_id="HumanEval/0", samples=3)
    assert (result["samples"], result["passed"]) == (2, 1)
    assert [record.fault for record in result.data_trail] == ["candidate", "none", "infrastructure"]


def test_a_problem_without_a_sample_is_left_out_of_the_rate(write, run, sampled):
    write(HUMANEVAL, {**HUMANEVAL, "task_id": "HumanEval/1"})
    sampled("    return sum(numbers)\n")
    result = run(problem_id="HumanEval/1")
    assert (result["samples"], result["passed"], result.success_rate) == (0, 0, None)
    assert (result.data_trail[0].fault, result.problems[0].fault) == ("infrastructure", "infrastructure")
    assert "HumanEval/0" in result.data_trail[0].output, "the nearest id"


def test_a_model_is_told_the_prompt_and_asked_again_when_it_gives_no_program(stage, write, run):
    write(HUMANEVAL)
    answers = ["I would rather talk.", "```python\ndef total(numbers):\n    return sum(numbers)\n```"]
    stage.play({"problem_solver": answers})
    result = run(problem_id="HumanEval/0")
    assert all(PROMPT in inputs["problem_statement"] for inputs in stage.asked("problem_solver"))
    assert len(stage.calls) == 2
    assert (result.success, result["samples"]) == (True, 1)
    assert result.data_trail[0].usage["problem_solver"].calls == 2


def test_a_model_that_never_gives_a_program_fails(stage, write, run):
    write(HUMANEVAL)
    stage.play({"problem_solver": "I would rather talk."})
    result = run(problem_id="HumanEval/0")
    (record,) = result.data_trail
    assert (record.fault, record.verdict, result["samples"], result["passed"]) == ("candidate", None, 1, 0)
    assert len(stage.calls) == 3


def test_a_model_that_cannot_be_reached_says_nothing_about_the_candidate(stage, write, run):
    write(HUMANEVAL)
    stage.play({}).fail_when(lambda _: AgentCommunicationException("down", code="unauthorised"))
    result = run(problem_id="HumanEval/0")
    assert (result["samples"], result.success_rate, result.problems[0].fault) == (0, None, "infrastructure")


def test_several_samples_of_a_model_have_sessions_and_seeds_of_their_own(stage, write, run):
    write(HUMANEVAL)
    stage.play({"problem_solver": "```python\ndef total(numbers):\n    return sum(numbers)\n```"})
    assert run(problem_id="HumanEval/0", config={"samples": 5, "batch_size": 2})["passed"] == 5
    asked = list(stage.transport.requests)
    assert sorted(request.labels["sample"] for request in asked) == [0, 1, 2, 3, 4]
    assert len({request.seed for request in asked}) == 5
    assert {len(request.messages) for request in asked} == {2}


def test_our_own_format_states_the_name_and_judges_by_its_suite(stage, write, run):
    write(OURS)
    stage.play({"problem_solver": f"```python\n{RIGHT}```"})
    result = run(problem_id="double")
    (record,) = result.data_trail
    assert result.success
    assert "`double`" in record.problem_statement
    assert record.test_cases == OURS["tests"]
    labels = stage.transport.requests[0].labels
    assert (labels["concepts"], labels["difficulty"]) == (("functions", "loops"), "easy")


@pytest.mark.parametrize(
    "tests",
    [
        "def check(candidate):\n    assert candidate(2) == 4\n",
        "def test_it():\n    assert function_to_test(2) == 4\n",
        "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        assert double(2) == 4\n",
    ],
)
def test_suites_of_any_form_are_judged(stage, write, run, tests):
    write({**OURS, "tests": tests})
    stage.play({"problem_solver": f"```python\n{RIGHT}```"})
    result = run(problem_id="double")
    assert result.success
    assert "function_to_test" not in result.data_trail[0].test_cases


def plan(stage, data, **config):
    async def main():
        services = Services(interface=stage.interface(), sandbox=None, clock=stage.clock, folder=stage.folder)
        async with BaseEnvironment(NAME, config={"data": data, **config}, services=services) as environment:
            return environment.planned_nodes()

    return anyio.run(main)


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_each_problem_is_a_planned_node_in_the_order_of_the_file(stage, write, name):
    write(HUMANEVAL, "", OURS, {**HUMANEVAL, "task_id": 7, "concepts": "sums", "difficulty": "hard"}, name=name)
    nodes = plan(stage, name)
    assert [(node.node_id, node.concepts, node.difficulty) for node in nodes] == [
        ("HumanEval/0", ("humaneval",), "unrated"),
        ("double", ("functions", "loops"), "easy"),
        ("7", ("sums",), "hard"),
    ]
    assert nodes[0].options == {"problem_id": "HumanEval/0"}
    assert plan(stage, name, default_concepts=["mine"], default_difficulty="medium")[0].concepts == ("mine",)


def test_a_file_that_changed_is_read_again(stage, write):
    write(HUMANEVAL)
    assert len(plan(stage, "data.jsonl")) == 1
    write(HUMANEVAL, OURS)
    assert len(plan(stage, "data.jsonl")) == 2


def without(row, key):
    return {name: value for name, value in row.items() if name != key}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{", "no JSON"),
        ("[1]", "found a list"),
        ({}, "'id' is missing"),
        (without(HUMANEVAL, "test"), "'test' is missing"),
        ({**without(OURS, "statement"), "statment": "x"}, "is 'statment' meant"),
        ({**OURS, "tests": 7}, "'tests' must be text"),
        ({**OURS, "statement": "  "}, "'statement' must be text"),
        ({**OURS, "concepts": []}, "'concepts' must be a list of names"),
        ({**OURS, "concepts": [1]}, "'concepts' must be a list of names"),
        ({**OURS, "difficulty": None}, "'difficulty' must be text"),
        ({**OURS, "entry_point": "os.system('x')"}, "'entry_point' must be the name of a function"),
        ({**HUMANEVAL, "entry_point": "class"}, "'entry_point' must be the name of a function"),
        ({**without(OURS, "entry_point"), "tests": "def check(candidate):\n    pass\n"}, "needs an 'entry_point'"),
        ({**OURS, "id": None}, "the id must be text or a number"),
        ({**OURS, "id": True}, "the id must be text or a number"),
        ({**OURS, "id": "first"}, "is that of line 1 already"),
    ],
)
def test_a_bad_line_is_an_error_with_its_file_and_number(stage, write, row, says):
    write({**OURS, "id": "first"}, row)
    with pytest.raises(ConfigurationException) as caught:
        plan(stage, "data.jsonl")
    assert f"{stage.folder / 'data.jsonl'}:2:" in str(caught.value)
    assert says in str(caught.value)


def test_a_file_that_cannot_be_used_says_why(stage, write):
    write(OURS, name="problems.jsonl")
    write("", name="empty.jsonl")
    for data, says in {
        None: "needs a data file",
        "problem.jsonl": "Did you mean problems.jsonl",
        "empty.jsonl": "no problems",
    }.items():
        with pytest.raises(ConfigurationException, match=says):
            plan(stage, data)


def test_an_unknown_problem_is_an_error_with_the_nearest_id(write, run):
    write(HUMANEVAL)
    with pytest.raises(ConfigurationException, match="did you mean 'HumanEval/0'"):
        run(problem_id="HumanEval/O")


def test_a_tree_search_draws_among_the_problems_that_fit(stage, write, run):
    rows = [{**OURS, "id": f"p{number}", "difficulty": "easy" if number % 2 else "hard"} for number in range(8)]
    write(*rows)
    stage.play({"problem_solver": f"```python\n{RIGHT}```"})
    fitting = {"concept": ["loops", "functions"], "difficulty_level": "easy", "num_problems": 3}
    results = [run(**fitting) for _ in range(2)]
    drawn = [[problem["problem_id"] for problem in result.problems] for result in results]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3
    assert set(drawn[0]) <= {"p1", "p3", "p5", "p7"}
    assert "samples" not in results[0], "several problems are no samples of one"
    with pytest.raises(ConfigurationException, match=r"5 problems .* it has 4"):
        run(**{**fitting, "num_problems": 5})
    with pytest.raises(ConfigurationException, match="it has 0"):
        run(concept="magic", difficulty_level="easy")


def test_health_says_whether_the_data_can_be_read(stage, write):
    write(OURS)

    async def main(data):
        async with PortableSandbox(1) as sandbox:
            services = Services(interface=stage.interface(), sandbox=sandbox, clock=SystemClock(), folder=stage.folder)
            async with BaseEnvironment(NAME, config={"data": data}, services=services) as environment:
                health = await environment.health_check()
                return health["status"], health["checks"]["data"]

    assert anyio.run(main, "data.jsonl") == ("healthy", "healthy")
    status, said = anyio.run(main, "none.jsonl")
    assert (status, said.partition(":")[0]) == ("degraded", "unhealthy")
    status, said = anyio.run(main, None)  # nothing is wrong: nobody asked for it
    assert (status, said.partition(":")[0]) == ("not configured", "not configured")


@pytest.mark.slow
@pytest.mark.parametrize(("completion", "solved"), [("canonical_solution", 164), ("    pass\n", 0)])
def test_humaneval_gives_164_for_its_references_and_0_for_pass(tmp_path, shared, completion, solved):
    data = shared / "data" / "HumanEval.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(data.read_bytes()).splitlines()]
    samples = [{"task_id": row["task_id"], "completion": row.get(completion, completion)} for row in rows]
    (tmp_path / "samples.jsonl").write_text("".join(f"{json.dumps(sample)}\n" for sample in samples))
    (tmp_path / "prismenv.yaml").write_text("name: humaneval\n")
    workspaces = find_workspaces(tmp_path)
    sets = [f"data={data}", "models.problem_solver=samples/samples.jsonl"]
    loaded = load_recipe("humaneval", workspaces, {}, sets)
    report = anyio.run(
        functools.partial(
            run_campaign,
            loaded.recipe,
            workspaces=workspaces,
            folder=tmp_path,
            sink=lambda _event: None,
            stop=StopSwitch(),
        )
    )
    assert (report.surface.total.solved, report.surface.total.measured) == (solved, 164)
    (estimate,) = report.pass_at_k
    assert (estimate.k, estimate.value, estimate.samples) == (1, solved / 164, 164)


BANK = {
    "id": "pay",
    "statement": "Write pay(amount, currency).",
    "entry": "bank/main.py",
    "files": {"bank/rates.py": "RATES = {'eur': 1, 'usd': 2}\n", "rates.txt": "two\n"},
    "tests": "from bank.main import pay\n\n\ndef test_pay():\n    assert pay(3, 'usd') == 6\n",
}
PAY = "from .rates import RATES\n\n\ndef pay(amount, currency):\n    return amount * RATES[currency]\n"


@pytest.mark.parametrize(
    "answer",
    [
        PAY,
        f"Here:\n\n```python\n{PAY}```\n",
        f"**bank/main.py**\n```python\n{PAY}```\n\n`bank/more.py`:\n```python\nx = 1\n```\n",
    ],
)
def test_an_answer_is_a_file_beside_those_of_the_problem(stage, write, run, answer):
    write(BANK)
    stage.play({"problem_solver": answer})
    result = run(problem_id="pay")
    (record,) = result.data_trail
    assert result.success, record.output
    assert record.solution_files.main == "bank/main.py"
    assert record.solution_files.files["bank/main.py"].strip() == PAY.strip()
    assert BANK["files"].items() <= dict(record.solution_files.files).items()
    (told,) = stage.prompts("problem_solver")
    assert "`bank/main.py`" in told
    assert "RATES = {'eur': 1, 'usd': 2}" in told


def test_an_answer_may_bring_all_files_itself(stage, write, run):
    write({key: value for key, value in OURS.items() if key != "entry_point"})
    answer = (
        "`main.py`:\n```python\nfrom steps import double\n```\n`steps.py`:\n```python\ndef double(n): return 2 * n\n```"
    )
    stage.play({"problem_solver": answer})
    result = run(problem_id="double")
    (record,) = result.data_trail
    assert result.success, record.output
    assert dict(record.solution_files.files) == {
        "main.py": "from steps import double\n",
        "steps.py": "def double(n): return 2 * n\n",
    }
    assert record.solution_code == record.solution_files.listing()


def test_samples_may_be_of_several_files(stage, write, run):
    write(BANK)
    files = {"bank/main.py": PAY, "bank/rates.py": "RATES = {'usd': 3}\n"}
    write({"id": "pay", "solution": PAY}, {"id": "pay", "files": files, "entry": "bank/main.py"}, name="samples.jsonl")
    context = ProviderContext(clock=stage.clock, folder=stage.folder, seed=0)
    stage.transport = open_samples(ModelReference("samples", "samples.jsonl"), context)
    result = run(problem_id="pay")
    assert [record.success for record in result.data_trail] == [True, False], "the second brings rates of its own"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"files": ["a.py"]}, "'files' must be an object"),
        ({"files": {"a.py": 1}}, "'files' must be an object"),
        ({"entry": None}, "'entry' must name the file"),
        ({"entry": "../a.py"}, "cannot be a file of a solution"),
        ({"files": {"/etc/passwd": ""}}, "it is absolute"),
        ({"entry": "data.json"}, "is no program"),
    ],
)
def test_files_that_cannot_be_are_told_with_their_line(write, run, change, said):
    write(OURS, {**BANK, **change})
    with pytest.raises(ConfigurationException, match=said) as caught:
        run(problem_id="double")
    assert "data.jsonl:2:" in str(caught.value)


def test_a_prompt_has_no_files(write, run):
    write({**HUMANEVAL, "entry": "main.py"})
    with pytest.raises(ConfigurationException, match="a prompt is one text"):
        run(problem_id="HumanEval/0")
