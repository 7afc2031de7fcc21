"""Several servers behind one address, by the configuration that docs/deploy has, where HAProxy is installed."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from prismenv import EnvironmentClient

CONFIG = Path(__file__).resolve().parents[2] / "docs" / "deploy" / "haproxy.cfg"
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
ECHO, SECONDS = "environment_echo", 120
TOKENS = {"ONE": "token-of-the-first-0123456789", "TWO": "token-of-the-second-0123456789"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def served(shell: Any) -> Iterator[str]:
    process = shell.start(
        "serve",
        "--environment",
        ECHO,
        "--port",
        0,
        "--json",
        "--token-variable",
        "ONE",
        "--token-variable",
        "TWO",
        **TOKENS,
    )
    try:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield str(json.loads(line)["url"]).removeprefix("http://")
    finally:
        process.kill()
        process.communicate()


@contextmanager
def balanced(addresses: list[str]) -> Iterator[str]:
    at = f"127.0.0.1:{free_port()}"
    environment = {"PRISMENV_ADDRESS": at, "PRISMENV_ONE": addresses[0], "PRISMENV_TWO": addresses[1]}
    with subprocess.Popen(
        [str(HAPROXY), "-f", str(CONFIG)], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            end = time.monotonic() + SECONDS
            while True:
                try:
                    socket.create_connection(tuple(at.split(":")), timeout=SECONDS).close()
                    break
                except OSError:
                    assert process.poll() is None, process.stderr and process.stderr.read()
                    assert time.monotonic() < end
                    time.sleep(0.05)
            yield f"http://{at}"
        finally:
            process.kill()


def counted(address: str, call: str) -> float:
    """How often that server was called so."""
    page = httpx.get(f"http://{address}/metrics", headers=headers("ONE"), timeout=SECONDS, trust_env=False).text
    name = f'prismenv_environment_calls_total{{call="{call}",environment="{ECHO}",outcome="ok"}}'
    return sum(float(line.split()[1]) for line in page.splitlines() if line.startswith(name))


def headers(token: str, session: str = "") -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[token]}", **({"X-Session-ID": session} if session else {})}


@pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")
def test_episodes_go_to_the_server_that_keeps_them_and_sessions_to_the_one_with_the_fewest(shell: Any) -> None:
    with ExitStack() as stack:
        addresses = [stack.enter_context(served(shell)) for _ in range(2)]
        url = stack.enter_context(balanced(addresses))
        with httpx.Client(base_url=url, timeout=SECONDS, trust_env=False) as client:
            sessions = [(token, f"session-{number}") for number in range(8) for token in TOKENS]
            for token, session in sessions:
                assert client.post("/reset", json={}, headers=headers(token, session)).status_code == 200
            for step in (1, 2, 3):
                for token, session in sessions:
                    answer = client.post("/step", json={"action": {"message": "a"}}, headers=headers(token, session))
                    assert answer.status_code == 200, answer.text
                    state = client.get("/state", headers=headers(token, session)).json()
                    assert state["step_count"] == step
        kept = [counted(address, "reset") for address in addresses]
        assert sum(kept) == len(sessions)
        assert all(kept), "one server has all episodes"
        with ExitStack() as opened:
            for _ in range(6):
                env = opened.enter_context(EnvironmentClient(url, token=TOKENS["ONE"]).sync())
                env.reset(seed=1)
                assert env.step({"message": "a"}).reward == pytest.approx(0.1)
            after = [counted(address, "reset") for address in addresses]
        assert [one - before for one, before in zip(after, kept, strict=True)] == [3, 3]
