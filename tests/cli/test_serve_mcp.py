"""`prismenv serve` as a process, and the official SDK's client on it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from mcp import Client

from prismenv import EnvironmentClient

pytestmark = pytest.mark.anyio
DRAWER = '''
from prismenv import BaseEnvironment, environment_registry, tool


@environment_registry.register("environment_drawer")
class Drawer(BaseEnvironment):
    """A drawer."""

    async def initialize(self):
        self._things = []

    @tool
    async def put(self, thing: str) -> int:
        """Put a thing into the drawer."""
        self._things.append(thing)
        return len(self._things)
'''
CODING = "environment_coding_challenge"


@contextmanager
def serving(shell: Any, *words: object) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    process = shell.start("serve", "--port", 0, "--json", *words)
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield json.loads(line)["url"], process
    finally:
        process.kill()
        process.communicate()


async def test_the_official_client_calls_tools_and_plays_a_challenge(shell: Any) -> None:
    shell.write("own/prismenv.yaml", "")
    shell.write("own/environments/environment_drawer.py", DRAWER)
    with serving(shell, "--workspace", shell.folder / "own") as (url, process):
        async with Client(f"{url}/environments/environment_drawer/mcp") as one:
            assert [each.name for each in (await one.list_tools()).tools] == ["put"]
            async with Client(f"{url}/environments/environment_drawer/mcp") as other:
                assert (await one.call_tool("put", {"thing": "pen"})).structured_content == {"result": 1}
                assert (await other.call_tool("put", {"thing": "cup"})).structured_content == {"result": 1}
            assert (await one.call_tool("put", {"thing": "cup"})).structured_content == {"result": 2}
        async with Client(f"{url}/environments/{CODING}/mcp") as client:
            seed = {"seed": 1, "concept": "loops", "difficulty_level": "easy"}
            first = (await client.call_tool("reset", seed)).structured_content
            assert "Write a function" in first["observation"]["problem_statement"]
            step = (await client.call_tool("step", {"code": "def nothing():\n    return None\n"})).structured_content
            assert (step["reward"], step["done"], step["observation"]["attempts_left"]) == (0.0, False, 2)
        for protocol, address in (
            ("openenv", f"/environments/{CODING}"),
            ("mcp", "/environments/environment_echo/mcp"),
        ):
            answer = shell("conformance", f"{url}{address}", "--protocol", protocol, "--json")
            assert answer.code == 0, answer.out + answer.err
            assert (answer.json["failed"], answer.json["skipped"], answer.json["passed"] > 10) == (0, 0, True)
        async with EnvironmentClient(url, "environment_drawer") as env:
            assert await env.call_tool("put", thing="pen") == 1
        process.terminate()
        assert process.wait(120) == 0


def test_conformance_of_a_server_that_fails_is_told_with_what_was_sent_expected_and_got(shell: Any) -> None:
    with serving(shell) as (url, _):
        failed = shell("conformance", f"{url}/environments", "--protocol", "openenv", "--check", "schema")
        assert failed.code == 1
        lines = failed.out.splitlines()
        assert lines[:2] == [
            "FAILED   schema: GET /schema has JSON Schemas of action, observation and state",
            "         sent      GET /schema",
        ]
        assert [line.split()[0] for line in lines[2:]] == ["expected", "got", "openenv:"]
        challenges = shell("conformance", url, "--protocol", "prismbench")
        assert (challenges.code, challenges.out.splitlines()[-1]) == (0, "prismbench: 6 passed, 0 failed, 0 skipped")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("http://127.0.0.1:9", "--protocol", "mcp"), 3, "cannot be reached"),
        (("127.0.0.1:9", "--protocol", "mcp"), 2, "http://127.0.0.1:8000"),
        (("http://127.0.0.1:9", "--protocol", "mcp", "--check", "pong"), 2, "ping"),
        (("http://127.0.0.1:9", "--protocol", "openenv", "--action", "[]"), 2, "a JSON object"),
        (("http://127.0.0.1:9", "--protocol", "dance"), 2, "openenv"),
    ],
)
def test_what_cannot_be_checked_is_told(shell: Any, words: tuple[str, ...], code: int, says: str) -> None:
    answer = shell("conformance", *words)
    assert (answer.code, answer.out) == (code, "")
    assert says in answer.err
