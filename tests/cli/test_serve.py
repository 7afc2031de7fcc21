"""`prismenv serve` as a process: it says where it listens, serves who speaks its protocols, and ends in good order."""

import json
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from prismenv import EnvironmentClient

USAGE = 2
SECONDS = 120
FILES = 64  # how many a server that is short of them may have open
TOKEN = "token-of-the-server-0123456789"
CODING, ECHO = "environment_coding_challenge", "environment_echo"
NODE = {"concept": "loops", "difficulty_level": "easy"}
# The stock client of both packages; what it sees is printed as JSON.
STOCK = """
import asyncio, json, sys
from openenv.core.generic_client import GenericEnvClient

async def main(url, action, wrong):
    seen = []
    async with GenericEnvClient(base_url=url) as env:
        first = await env.reset(seed=1, episode_id="mine")
        step = await env.step(json.loads(action))
        seen += [[each.observation, each.reward, each.done] for each in (first, step)]
        seen.append(await env.state())
        try:
            await env.step(json.loads(wrong))
        except RuntimeError as error:
            seen.append(str(error))
        again = await env.reset(seed=1)
        seen.append(again.observation == first.observation)
    print(json.dumps(seen))

asyncio.run(main(*sys.argv[1:]))
"""

# The stock client of tools, over its WebSocket and over its JSON-RPC.
STOCK_TOOLS = """
import asyncio, json, sys
from openenv.core.mcp_client import MCPToolClient

async def main(url):
    seen = []
    for production in (False, True):
        async with MCPToolClient(base_url=url) as env:
            env.use_production_mode = production
            seen.append([each.name for each in await env.list_tools()])
            seen.append([await env.call_tool("add", one=1, other=number) for number in (2, 3)])
            try:
                await env.call_tool("add", one="1", other=2)
            except RuntimeError as error:
                seen.append(str(error))
    print(json.dumps(seen))

asyncio.run(main(*sys.argv[1:]))
"""
ADDER = """
from prismenv import BaseEnvironment, environment_registry, tool


@environment_registry.register("environment_adder")
class Adder(BaseEnvironment):
    @tool
    def add(self, one: int, other: int) -> int:
        return one + other
"""


@contextmanager
def serving(shell: Any, *words: object, **environment: str) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """The server on a free port: its address and its process, which is ended."""
    process = shell.start("serve", "--port", 0, "--json", *words, **environment)
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield json.loads(line)["url"], process
    finally:
        process.kill()
        process.communicate()


def test_all_environments_are_served_and_the_server_ends_when_told(shell: Any) -> None:
    with serving(shell, "--token-variable", "TOKEN", TOKEN=TOKEN) as (url, process):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=url, headers=headers, timeout=SECONDS, trust_env=False) as client:
            assert {ECHO, CODING} <= client.get("/").json()["environments"].keys()
            challenge = client.post("/run-challenge", json=NODE).json()
            assert challenge["success"] is True
            health = client.get(f"/environments/{CODING}/health").json()
            assert health["status"] == "healthy"
        with EnvironmentClient(url, CODING, token=TOKEN).sync() as env:
            first = env.reset(seed=1, concept="loops", difficulty_level="easy")
            assert "Write a function" in first.observation["problem_statement"]
            wrong = env.step({"code": "def nothing():\n    return None\n"})
            assert (wrong.reward, wrong.done, wrong.observation["attempts_left"]) == (0.0, False, 2)
        taken = shell("serve", "--port", url.rpartition(":")[2])
        assert (taken.code, "another server listens there" in taken.err) == (USAGE, True)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert "finishing what runs" in err
    assert TOKEN not in out + err + taken.out + taken.err


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="another process's limits are Linux' to change")
def test_whoever_takes_all_descriptors_does_not_fill_the_log(shell: Any) -> None:
    with serving(shell, "--environment", ECHO) as (url, process):
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        with ExitStack() as connections:
            for _ in range(2 * FILES):
                connections.enter_context(socket.create_connection(address, timeout=SECONDS))
            said = []  # until it has tried to take more than it can, and says so, or ended
            for line in process.stderr or ():
                said.append(line)
                if "no more connections" in line:
                    break
        assert httpx.get(f"{url}/state", timeout=SECONDS, trust_env=False).status_code == 200
        process.send_signal(signal.SIGTERM)
        err = "".join(said) + process.communicate(timeout=SECONDS)[1]
    assert err.count("no more connections are taken") == 1
    assert "Traceback" not in err


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="another process's limits are Linux' to see")
@pytest.mark.parametrize(("hard", "noted"), [(20_000, False), (400, True)])
def test_it_may_open_as_many_files_as_it_takes_connections_or_says_so(tmp_path: Path, hard: int, noted: bool) -> None:
    limited = f'ulimit -Sn 256 && ulimit -Hn {hard} && exec "$@"'
    command = [sys.executable, "-m", "prismenv", "serve", "--port", "0", "--json", "--environment", ECHO]
    with subprocess.Popen(
        ["bash", "-c", limited, "-", *command], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "serving"
        soft, _ = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=SECONDS)[1]
    assert soft == (hard if noted else 8192 + 512)
    assert (f"{hard} files may be open here" in err) == noted, err


def test_a_token_is_made_and_shown_once_and_lets_in_by_its_digest(shell: Any, tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    made = shell("token", "trainer", "--file", file, "--scope", "read", "--json").json
    assert made["token"] not in file.read_text()
    assert shell("token", "trainer", "--file", file).code == USAGE
    wrong = shell("token", "other", "--file", file, "--scope", "all")
    assert (wrong.code, "read, run, admin" in wrong.err) == (USAGE, True)
    headers = {"Authorization": f"Bearer {made['token']}"}
    with serving(shell, "--environment", ECHO, "--tokens", file) as (url, process):
        with httpx.Client(base_url=url, timeout=SECONDS, trust_env=False) as client:
            assert client.get("/schema").status_code == 401
            assert client.get("/schema", headers=headers).status_code == 200
            refused = client.post("/reset", json={}, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "wrong_scope")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
    assert made["token"] not in out + err


def test_one_environment_is_served_at_the_root_with_its_own_configuration(shell: Any) -> None:
    words = ("--environment", CODING, "--set", "config.max_attempts=1", "--set", "config.reward=share")
    with serving(shell, *words) as (url, _), EnvironmentClient(url).sync() as env:
        assert env.reset(seed=1).observation["attempts_left"] == 1
        assert env.step({"code": "x"}).truncated


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--host", "0.0.0.0"), "--token-file"),
        (("--token-variable", "NOT_SET"), "NOT_SET is not set"),
        (("--environment", "environment_ecko"), "environment_echo"),
        (("--lease", "soon"), '"30m"'),
        (("--allow-origin", "*"), "--allow-origin"),
        (("--tokens", "nowhere.yaml"), "nowhere.yaml"),
        (("--set", "config.max_attempts=1"), "one environment"),
        (("--environment", CODING, "--set", "config.reward=much"), "reward"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_listens(shell: Any, words: tuple[str, ...], says: str) -> None:
    answer = shell("serve", "--port", 0, *words)
    assert (answer.code, answer.out) == (USAGE, "")
    assert says in answer.err


@pytest.mark.parametrize("variable", ["OPENENV_CORE_PYTHON", "OPENENV_PYTHON"])
def test_the_stock_client_of_openenv_plays(shell: Any, peer: Any, variable: str) -> None:
    python = peer(variable)
    wrong = "def nothing():\n    return None\n"
    plays = {
        ECHO: ({"message": "hello"}, {"massage": "hello"}),
        CODING: ({"code": wrong}, {"program": wrong}),
    }
    seen = {}
    with serving(shell) as (url, _):
        for name, (action, slip) in plays.items():
            words = [python, "-c", STOCK, f"{url}/environments/{name}", json.dumps(action), json.dumps(slip)]
            done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
            assert done.returncode == 0, done.stderr
            seen[name] = json.loads(done.stdout.splitlines()[-1])
    first, step, state, error, same = seen[ECHO]
    assert first == [{"echoed_message": "Echo environment ready!", "message_length": 0}, None, False]
    assert step == [{"echoed_message": "hello", "message_length": 5}, 0.5, False]
    assert (state, "VALIDATION_ERROR" in error, same) == ({"episode_id": "mine", "step_count": 1}, True, True)
    first, step, state, error, same = seen[CODING]
    assert (step[0]["success"], step[0]["attempts_left"], step[1:]) == (False, 2, [0.0, False])
    assert (state["step_count"], "VALIDATION_ERROR" in error, same) == (1, True, True)


@pytest.mark.parametrize("variable", ["OPENENV_CORE_PYTHON", "OPENENV_PYTHON"])
def test_the_stock_client_of_tools_calls_them(shell: Any, peer: Any, variable: str) -> None:
    python = peer(variable)
    shell.write("own/prismenv.yaml", "")
    shell.write("own/environments/environment_adder.py", ADDER)
    with serving(shell, "--workspace", shell.folder / "own") as (url, _):
        words = [python, "-c", STOCK_TOOLS, f"{url}/environments/environment_adder"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stderr
    over_socket, over_http = (json.loads(done.stdout.splitlines()[-1])[part] for part in (slice(3), slice(3, 6)))
    for names, sums, error in (over_socket, over_http):
        assert (names, sums) == (["add"], [3, 4])
        assert "one: input should be a valid integer" in error
