"""`prismenv run`: recipes and environments by name, changes from the command line, what is shown and written."""

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prismenv.store.database import open_store

# An environment that asks no model, so that a call costs little: it tells which options reached it.
ECHO = """
from prismenv import environment_registry

@environment_registry.register_environment_method("environment_parrot", "execute_node")
async def execute_node(self, concept, difficulty_level, **options):
    print("printed by a plugin")
    return {"success": difficulty_level == "easy", "data": options}
"""
RECIPE = """
environment: environment_parrot
search: {concepts: [loops, sorting], difficulties: [easy, hard]}
options: {greeting: hello}
"""
SEARCH = ("--set", "search.concepts=loops,sorting", "--set", "search.difficulties=[easy, hard]")


@pytest.fixture
def echo(workspace: Any) -> Any:
    """A workspace with the environment `environment_parrot` and the recipe `echo`."""
    workspace.write("environments/environment_parrot.py", ECHO)
    workspace.write("configs/runs/echo.yaml", RECIPE)
    return workspace


def test_a_recipe_runs_and_ends_with_a_table_and_where_the_results_are(echo: Any) -> None:
    answer = echo("run", "echo")
    assert answer.code == 0, answer.err
    assert re.search(r"loops +1/1 100% \[21-100\] +0/1 0% \[0-79\] +1/2 50% \[9-91\]", answer.out)
    assert "solved 2 of 4: 50.0%, 95 % interval" in answer.out
    run = re.search(r"see `prismenv report (run-\w+)`", answer.out)
    assert run
    assert f"is in {echo.folder / '.prismenv' / 'prismenv.db'}" in answer.out
    assert "4/4 nodes; pass rate 50%" in answer.err
    assert "solved 2 of 4" in echo("report", run[1]).out


def test_an_environment_runs_by_its_name_alone(echo: Any) -> None:
    answer = echo("run", "environment_parrot", *SEARCH, "--quiet")
    assert answer.code == 0, answer.err
    assert "solved 2 of 4" in answer.out
    assert "simulated" not in answer.out


def test_options_reach_execute_node_untouched(echo: Any) -> None:
    words = ("--option", "greeting=bonjour", "--option", "number=3", "--option", "text=[a, {b: null}]")
    answer = echo("run", "echo", *words, "--json")
    assert answer.code == 0, answer.err
    with closing(open_store(answer.lines[-1]["store"], create=False)) as store:
        reached = [
            node.outcome.result["data"] for node in store.nodes(answer.lines[-1]["run_id"]) if node.outcome.result
        ]
    assert reached == [{"greeting": "bonjour", "number": 3, "text": ["a", {"b": None}]}] * 4


def test_json_is_one_line_for_each_event_and_a_report_at_the_end(echo: Any) -> None:
    answer = echo("run", "echo", "--json")
    assert answer.code == 0
    kinds = [line["event"] for line in answer.lines]
    assert kinds[0] == "run_started"
    assert kinds[-2:] == ["run_finished", "report"]
    assert kinds.count("node_finished") == 4
    finished = [line for line in answer.lines if line["event"] == "node_finished"]
    assert finished[-1]["progress"]["done"] == 4
    report = answer.lines[-1]
    assert (report["status"], report["progress"]["solved"], report["surface"]["nodes"]) == ("finished", 2, 4)
    assert "printed by a plugin" in answer.err


def test_show_config_prints_a_recipe_that_runs_the_same_again(echo: Any) -> None:
    shown = echo("run", "echo", "--set", "seed=7", "--set", "search.repeats=2", "--option", "x=1", "--show-config")
    assert shown.code == 0
    echo.write("again.yaml", shown.out)
    again = echo("run", "again.yaml", "--show-config")
    assert again.out == shown.out
    report = echo("run", "again.yaml", "--json").lines[-1]
    assert (report["seed"], report["progress"]["done"], report["name"]) == (7, 8, "echo")


def test_a_dry_run_says_what_would_run_and_stores_nothing(echo: Any) -> None:
    answer = echo("run", "echo", "--dry-run", "--json", PRISMENV_LOG="debug")  # a variable that is no key of a recipe
    assert answer.code == 0, answer.err
    assert answer.json["nodes"] == 4
    assert answer.json["first_nodes"][0] == "loops|easy"
    assert not (echo.folder / ".prismenv").exists()
    lines = echo("run", "echo", "--dry-run", "--set", "models.default=simulated/weak").out.splitlines()
    assert "nodes: 4" in lines
    assert "models: default=simulated/weak" in lines
    assert "first_nodes: loops|easy, loops|hard, sorting|easy, sorting|hard" in lines
    assert "budget: none" in lines
    assert not [line for line in lines if {"[", "{"} & set(line)], "it is written for people"


def test_a_dry_run_over_a_service_does_not_claim_to_know_its_models(echo: Any) -> None:
    service = 'interface={type: http, url: "http://127.0.0.1:9", dialect: message}'
    told = echo("run", "echo", "--dry-run", "--set", service, "--set", "models.default=simulated/weak")
    assert told.code == 0, told.err
    assert "interface: http://127.0.0.1:9" in told.out.splitlines()
    assert "models: those of the service at http://127.0.0.1:9" in told.out.splitlines()
    plan = echo("run", "echo", "--dry-run", "--json", "--set", service).json
    assert (plan["interface"], plan["models"]) == ("http://127.0.0.1:9", {})


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "models: {default: simulated/perfect,\n problem_sovler: simulated/weak}",
            "3: models.problem_sovler: there is no role",
        ),
        ("models:\n  default: simulatd/perfect", "3: models.default: unknown provider 'simulatd'"),
        ("models:\n  default: perfect", "3: models.default: 'perfect' names no model"),
        ("config:\n  max_atempts: 3", "3: config.max_atempts: environment_coding_challenge: unknown key"),
        ("config:\n  max_attempts: none", "3: config.max_attempts: environment_coding_challenge: max_attempts: "),
        ("sandbox:\n  limits:\n    wall_secondz: 3", "4: sandbox.limits.wall_secondz: sandbox limits: unknown limit"),
        (
            "sandbox:\n  limits: {wall_seconds: -3}",
            "3: sandbox.limits.wall_seconds: sandbox limits: wall_seconds: found -3",
        ),
    ],
)
def test_what_shows_once_all_is_put_together_is_named_with_file_and_line(echo: Any, lines: str, said: str) -> None:
    file = echo.write("wrong.yaml", f"extends: quickstart\n{lines}\n")
    told = [echo("run", "wrong.yaml", "--dry-run")]
    if "config" in lines:  # the other way to it
        told.append(echo("run", "wrong.yaml"))
    for answer in told:
        assert answer.code == 2
        assert f"{file.resolve()}:{said}" in answer.err, answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["echo", "--set", "sead=3"], "did you mean 'seed'?"),
        (["echo", "--set", "search.repeats=none"], "search.repeats"),
        (["echo", "--set", "seed"], "expected key.path=value"),
        (["echo", "--option", "greeting"], "--option 'greeting': expected key=value"),
        (["echo", "--set", "search.tree=example_tree", "--set", "search.concepts=lops"], "lops"),
        (["echo", "--set", "environment=environment_parot"], "environment_parrot"),
        (["example", "--set", "models.default=simulatd/weak"], "simulated"),
        ([], "name a recipe"),
        (["no/such/recipe.yaml"], "there is no such recipe file"),
        (["--resume", "run-none"], "no store"),
    ],
)
def test_what_is_wrong_is_told_with_code_2_before_anything_runs(echo: Any, words: list[str], said: str) -> None:
    answer = echo("run", *words)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_a_concept_that_the_simulated_model_does_not_know_ends_the_run_with_its_reason(echo: Any) -> None:
    words = ("--set", "search.concepts=[zzz]", "--set", "search.difficulties=[easy]", "--quiet")
    answer = echo("run", "environment_coding_challenge", *words)
    assert answer.code not in (0, 1)
    assert "the simulated model has no challenges on 'zzz'" in answer.out + answer.err
    assert "solved 1" not in answer.out
    assert "Traceback" not in answer.err


def test_a_broken_recipe_names_file_line_key_and_what_is_allowed(echo: Any) -> None:
    path = echo.write("configs/runs/wrong.yaml", "environment: environment_parrot\nsearch:\n  polciy: grid\n")
    answer = echo("run", "wrong")
    assert answer.code == 2
    assert f"{path}:3" in answer.err
    assert "search.polciy" in answer.err
    assert "policy" in answer.err


def test_an_environment_that_raises_is_data_and_its_message_is_shown(echo: Any) -> None:
    echo.write(
        "environments/environment_raiser.py",
        ECHO.replace("environment_parrot", "environment_raiser").replace(
            "    return", "    raise RuntimeError('out of \\x1b[5m cheese')\n    return"
        ),
    )
    answer = echo("run", "environment_raiser", *SEARCH)
    assert answer.code == 3
    assert r"out of \x1b[5m cheese" in answer.out
    assert "\x1b" not in answer.out + answer.err


def test_paths_on_the_command_line_are_within_the_current_folder_even_when_resumed(echo: Any) -> None:
    inner = echo.folder / "inner"
    inner.mkdir()
    answers = (echo.folder / "answers.yaml").read_text()
    (inner / "mine.yaml").write_text(answers)
    first = echo(
        "run", "example", "--set", "models.default=scripted/mine.yaml", "--set", "budget.nodes=1", "--store", "here.db",
        "--json", cwd=inner,
    )  # fmt: skip
    assert first.code == 0, first.err
    report = first.lines[-1]
    assert report["status"] == "budget_reached"
    assert Path(report["store"]) == inner / "here.db"
    rest = echo("run", "--resume", report["run_id"], "--set", "budget.nodes=null", "--store", "inner/here.db", "--json")
    assert rest.code == 0, rest.err
    assert (rest.lines[-1]["status"], rest.lines[-1]["progress"]["done"]) == ("finished", 4)


def test_a_run_that_reached_its_budget_says_how_to_go_on(echo: Any) -> None:
    answer = echo("run", "echo", "--set", "budget.nodes=2", "--quiet")
    assert answer.code == 0
    assert "budget reached after 2 of 4 nodes: budget.nodes: 2 of 2" in answer.out
    assert re.search(r"go on with `prismenv run --resume run-\w+ --set budget.nodes=MORE`", answer.out)


def test_a_terminal_sees_a_bar_that_fits_and_then_the_table(echo: Any) -> None:
    for columns in (50, 80):
        shown = echo.on_terminal("run", "echo", columns=columns).out
        assert "━" in shown
        assert "4/4" in shown
        assert "pass rate 50%" in shown
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
        table = plain[plain.index("success by concept") : plain.index("solved 2")]
        assert max(len(line.rstrip()) for line in table.splitlines()) <= columns


def test_the_bar_has_room_for_failures_by_kind_on_a_usual_terminal(shell: Any) -> None:
    words = ("run", "quickstart", "--set", "search.concepts=[loops]", "--set", "models.default=simulated/weak")
    shown = shell.on_terminal(*words, columns=80).out
    kinds = re.findall(r"failures: ((?:[a-z ]+ \d+(?:, )?)+)", shown)
    assert kinds, shown
    assert "…" not in shown


AGENT = """\
role: ROLE
system_prompt: You help.
interaction_templates:
  default:
    inputs: [{name: question, type: str}]
    outputs: [{name: response, type: str}]
"""


@pytest.mark.parametrize(
    ("recipe", "role", "asked"),
    [
        ("quickstart", "challenge_designer", "concepts, difficulty_level"),
        ("quickstart", "problem_fixer", "problem_statement, test_cases, current_solution, error_output"),
        ("enhanced", "test_error_analyzer", "test_output, code_under_test"),
    ],
)
@pytest.mark.parametrize("words", [(), ("--dry-run",)], ids=["run", "dry run"])
def test_an_agent_file_without_the_right_template_is_told_before_the_run_with_file_and_line(
    workspace: Any, recipe: str, role: str, asked: str, words: tuple[str, ...]
) -> None:
    path = workspace.write(f"agents/{role}.yaml", AGENT.replace("ROLE", role))
    answer = workspace("run", recipe, "--set", "search.concepts=[loops]", *words)
    assert answer.code == 2
    assert f"{path}:4: {role}: no template takes the inputs {asked}; nearest: default(question)" in answer.err
    assert workspace("runs", "list", "--json").json == []


@pytest.mark.parametrize("policy", ["grid", "adaptive", "mcts", "prismbench", "random"])
def test_a_difficulty_that_nobody_knows_is_told_and_counts_for_nothing(workspace: Any, policy: str) -> None:
    places = ("--set", "search.concepts=[loops]", "--set", "search.difficulties=[impossible]")
    answer = workspace(
        "run", "environment_coding_challenge", *places, "--set", f"search.policy={policy}", "--set", "search.nodes=6",
        "--set", "models.default=simulated/perfect", "--quiet",
    )  # fmt: skip
    assert answer.code == 3, answer.out
    assert "has no difficulty 'impossible'; it knows: very easy, easy, medium" in answer.out + answer.err
