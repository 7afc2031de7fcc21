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
        async with EnvironmentClient(url, "environment_drawer") as env:
            assert await env.call_tool("put", thing="pen") == 1
        process.terminate()
        assert process.wait(120) == 0
