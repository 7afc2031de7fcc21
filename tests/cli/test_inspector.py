"""MCP's inspector, the npm package, on `prismenv serve`."""

import json
import subprocess
from pathlib import Path
from typing import Any

SECONDS = 180


def test_the_inspector_lists_calls_and_reads(shell: Any, peer: Any) -> None:
    inspector: Path = peer("MCP_INSPECTOR")
    process = shell.start("serve", "--port", 0, "--json", "--environment", "environment_echo")

    def ask(method: str, *words: str) -> Any:
        command = [str(inspector), "--cli", f"{url}/mcp", "--transport", "http", "--method", method, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        assert "Schema portability" not in done.stderr, done.stderr  # what some model's API would not take
        return json.loads(done.stdout)

    try:
        url = json.loads(process.stdout.readline())["url"]
        tools = {each["name"]: each["inputSchema"] for each in ask("tools/list")["tools"]}
        assert list(tools) == ["reset", "step", "state", "close"]
        assert tools["step"]["required"] == ["message"]
        first = ask("tools/call", "--tool-name", "reset", "--tool-arg", "seed=1")
        assert first["structuredContent"]["observation"]["echoed_message"] == "Echo environment ready!"
        uris = [each["uri"] for each in ask("resources/list")["resources"]]
        assert "episode://state" in uris
        state = json.loads(ask("resources/read", "--uri", "episode://state")["contents"][0]["text"])
        assert state == {"episode_id": None, "step_count": 0}  # each call of the inspector is a session of its own
    finally:
        process.kill()
        process.communicate()


def test_the_inspector_shows_what_goes_wrong(shell: Any, peer: Any) -> None:
    inspector: Path = peer("MCP_INSPECTOR")
    process = shell.start("serve", "--port", 0, "--json", "--environment", "environment_echo")
    try:
        url = json.loads(process.stdout.readline())["url"]
        command = [str(inspector), "--cli", f"{url}/mcp", "--transport", "http", "--method", "tools/call"]
        command += ["--tool-name", "step", "--tool-arg", "message=hi"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode != 0
        assert json.loads(done.stdout)["structuredContent"]["error"]["code"] == "no_episode"
        told = json.loads(done.stderr.splitlines()[-1])["error"]
        assert told["code"] == "tool_is_error"  # the inspector has taken it for a tool's error, not for a broken server
    finally:
        process.kill()
        process.communicate()
