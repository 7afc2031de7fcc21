"""A key is in nothing that a run writes or says, also where services repeat it in answers and in errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prismenv.testing.openai_faults import Fault
from prismenv.testing.openai_server import OpenAIServer

KEY = "sk-very-secret-0123456789"


def run(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("PRISMENV_")}
    return subprocess.run(
        [sys.executable, "-m", "prismenv", *words],
        cwd=folder,
        env={**surroundings, "PRISMENV_LOG": "debug", "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize("source", ["variable", "file"])
def test_a_key_is_in_nothing_that_a_run_writes_or_says(tmp_path: Path, source: str) -> None:
    secrets, folder = tmp_path / "secrets", tmp_path / "work"
    secrets.mkdir()
    folder.mkdir()
    (secrets / "key").write_text(KEY)
    (secrets / "key").chmod(0o600)
    named = "keys.openai.variable=SOME_KEY" if source == "variable" else f"keys.openai.file={secrets / 'key'}"
    variables = {"SOME_KEY": KEY} if source == "variable" else {}
    answer = f"```python\nimport unittest  # {KEY}\n\n\ndef add(a, b):\n    return '{KEY}'\n```"
    said = ""
    with OpenAIServer(lambda _: answer, key=KEY) as server:
        server.script.extend([None, Fault.error(500, f"your key is {KEY}"), Fault.answering({"odd": KEY})])
        words = ["run", "quickstart", "--json", "--set", f"models.default=openai@{server.url}/test-model"]
        words += ["--set", named, "--set", "output.stream=true", "--set", "search.nodes=2"]
        for key in (KEY, "another"):  # with the second all calls are refused, and the refusals repeat the key
            server.key = key
            done = run(folder, *words, **variables)
            said += done.stdout + done.stderr
        assert all(call.headers["authorization"] == f"Bearer {KEY}" for call in server.calls)
        assert len(server.calls) > 5
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert any(event["event"] == "model_tokens" and "***" in event["text"] for event in events)
    run_ids = {event["run_id"] for event in events if "run_id" in event}
    for run_id in sorted(run_ids):
        shown = run(folder, "runs", "show", run_id, "--json")
        exported = run(folder, "runs", "export", run_id)
        said += shown.stdout + shown.stderr + exported.stdout + exported.stderr
    assert KEY not in said
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in written)
    for path in written:
        assert KEY.encode() not in path.read_bytes(), path
