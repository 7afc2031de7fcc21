"""An environment's folder as OpenEnv has it: written, read, started, and played in a recipe."""

from pathlib import Path
from typing import Any

import pytest
import yaml

PASSED, USAGE, INFRASTRUCTURE = 0, 2, 3
ECHO = "environment_echo"
ANSWERS = {"episode_player": ['{"message": "hello world"}', "Here:\n```\na word\n```\n"]}
NODE = ("--set", "search.concepts=[loops]", "--set", "search.difficulties=[easy]", "--quiet", "--json")
MANIFEST = "spec_version: 1\nname: counting\ntype: space\nruntime: fastapi\napp: server.app:app\nport: 8000\n"
STOCK = """
from pydantic import Field
try:
    from openenv.core.env_server import create_fastapi_app
    from openenv.core.env_server.interfaces import Environment
    from openenv.core.env_server.types import Action, Observation, State
except ImportError:
    from openenv.core import create_fastapi_app
    from openenv.core import Action, Environment, Observation, State


class Count(Action):
    number: int


class Total(Observation):
    total: int = Field(default=0)


class Counting(Environment):
    def __init__(self):
        super().__init__()
        self._state = State(episode_id="", step_count=0)
        self._total = 0

    def reset(self, seed=None, episode_id=None, **kwargs):
        self._state = State(episode_id=episode_id or "one", step_count=0)
        self._total = 0
        return Total(total=0, done=False, reward=0.0)

    def step(self, action, timeout_s=None, **kwargs):
        self._state.step_count += 1
        self._total += action.number
        return Total(total=self._total, done=self._total >= 5, reward=float(action.number))

    @property
    def state(self):
        return self._state


app = create_fastapi_app(Counting, Count, Total)
"""


def run_of(shell: Any) -> str:
    """The only run's id."""
    (run,) = shell("runs", "list", "--json").json
    return str(run["run_id"])


def running(folder: Path) -> list[str]:
    """Processes that have this folder as their own, by their command lines."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if each.readlink() == folder.resolve():
                found.append((each.parent / "cmdline").read_text())
        except OSError:  # it ended meanwhile, or is not ours to look at
            continue
    return found


def test_what_is_written_is_read_started_and_played(shell: Any) -> None:
    folder = shell.folder / "echo"
    shown = shell("openenv", "export", ECHO, folder, "--dry-run")
    assert (shown.code, folder.exists(), "app: server.app:app" in shown.out) == (PASSED, False, True)
    written = shell("openenv", "export", ECHO, folder, "--port", 9001, "--json").json
    assert written["written"] == ["openenv.yaml", "server/__init__.py", "server/app.py"]
    told = yaml.safe_load((folder / "openenv.yaml").read_text())
    assert told == {**yaml.safe_load(MANIFEST), "name": ECHO, "port": 9001}
    again = shell("openenv", "export", ECHO, folder)
    assert (again.code, "openenv.yaml" in again.err) == (USAGE, True)

    checked = shell("openenv", "check", folder, "--json").json
    assert checked["first_observation"]["echoed_message"] == "Echo environment ready!"
    assert checked["schemas"]["action"]["required"] == ["message"]

    shell.write("answers.yaml", yaml.safe_dump(ANSWERS))
    words = ("--set", "config.manifest=./echo", "--set", "models.default=scripted/answers.yaml")
    rules = ("--set", "config.max_steps=2", "--set", "config.success_reward=1.7")
    run = shell("run", "environment_openenv", *words, *rules, *NODE)
    assert run.code == PASSED, run.err
    assert "reward 1.7 in 2 steps" in shell("runs", "export", run_of(shell)).out
    assert running(folder) == []


def test_what_has_no_episodes_is_not_written(shell: Any) -> None:
    refused = shell("openenv", "export", "environment_dataset_challenge", "there")
    assert (refused.code, "has no episodes" in refused.err) == (USAGE, True)
    unknown = shell("openenv", "export", "environment_ecko", "there")
    assert (unknown.code, ECHO in unknown.err) == (USAGE, True)
    assert not (shell.folder / "there").exists()


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (None, "openenv.yaml"),
        ("spec_version: 1\nname: [}", "openenv.yaml:2"),
        ("spec_version: 2\nname: a\napp: a:b\n", "openenv.yaml:1: spec_version"),
        ("spec_version: 1\nname: a\n", "app"),
        ("spec_version: 1\nname: a\napp: 'os; import os:app'\n", "openenv.yaml:3: app"),
        ("spec_version: 1\nname: a\napp: ../x:app\n", "openenv.yaml:3: app"),
        ("spec_version: 1\nname: a\napp: a:b\nport: 70000\n", "openenv.yaml:4: port"),
        ("spec_version: 1\nname: a\nruntime: docker\napp: a:b\n", "openenv.yaml:3"),
        ("spec_version: 1\nname: !!python/object/apply:os.system [exit]\napp: a:b\n", "openenv.yaml:2"),
    ],
)
def test_a_manifest_that_is_wrong_is_told_by_its_line(shell: Any, manifest: str | None, says: str) -> None:
    if manifest is not None:
        shell.write("env/openenv.yaml", manifest)
    (shell.folder / "env").mkdir(exist_ok=True)
    answer = shell("openenv", "check", "env")
    assert (answer.code, answer.out) == (USAGE, "")
    assert says in answer.err


@pytest.mark.parametrize(
    ("application", "says"),
    [
        ("raise RuntimeError('no device')", "no device"),
        ("import time\ntime.sleep(1000)", "did not answer within"),
        ("import os\nos._exit(7)", "ended with code 7"),
        ("async def app(scope, receive, send): pass", "did not answer within"),
    ],
    ids=["raises", "hangs", "exits", "answers nothing"],
)
def test_a_server_that_does_not_start_is_told_with_what_it_said_and_leaves_nothing(
    shell: Any, application: str, says: str
) -> None:
    shell.write("env/openenv.yaml", MANIFEST)
    shell.write("env/server/app.py", application)
    seconds = 4 if "within" in says else 100
    answer = shell("openenv", "check", "env", "--start-seconds", seconds, SECRET_KEY="sk-not-for-others")
    assert answer.code == INFRASTRUCTURE
    assert says in answer.err
    assert running(shell.folder / "env") == []


def test_a_started_server_is_given_no_keys_but_those_that_are_named(shell: Any) -> None:
    shell.write("env/openenv.yaml", MANIFEST)
    shell.write("env/server/app.py", "import os\nraise RuntimeError(sorted(os.environ))")
    shell.write("answers.yaml", yaml.safe_dump(ANSWERS))
    answer = shell("openenv", "check", "env", OPENAI_API_KEY="sk-1", PLAIN="x")
    assert "PATH" in answer.err
    assert "OPENAI_API_KEY" not in answer.err
    words = ("--set", "config.manifest=env", "--set", "config.variables=[PLAIN]")
    run = shell(
        "run", "environment_openenv", *words, "--set", "models.default=scripted/answers.yaml", *NODE,
        OPENAI_API_KEY="sk-1", PLAIN="x",
    )  # fmt: skip
    assert run.code == INFRASTRUCTURE
    assert "PLAIN" in run.out + run.err
    assert "OPENAI_API_KEY" not in run.out + run.err


@pytest.mark.parametrize("variable", ["OPENENV_CORE_PYTHON", "OPENENV_PYTHON"])
def test_a_stock_server_of_openenv_is_played_in_a_recipe(shell: Any, peer: Any, variable: str) -> None:
    python = peer(variable)
    shell.write("env/openenv.yaml", MANIFEST)
    shell.write("env/server/app.py", STOCK)
    checked = shell("openenv", "check", "env", "--python", python, "--json")
    assert checked.code == PASSED, checked.err
    assert checked.json["first_observation"]["total"] == 0
    answers = {"episode_player": ['{"number": "much"}', '```json\n{"number": 2}\n```', '{"number": 3}']}
    shell.write("answers.yaml", yaml.safe_dump(answers))
    words = ("--set", "config.manifest=env", "--set", f"config.python={python}", "--set", "config.success_reward=5")
    run = shell("run", "environment_openenv", *words, "--set", "models.default=scripted/answers.yaml", *NODE)
    assert run.code == PASSED, run.err
    assert "reward 5 in 3 steps" in shell("runs", "export", run_of(shell)).out
    assert running(shell.folder / "env") == []
