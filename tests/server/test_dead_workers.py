"""A worker that is killed in the middle: what it ran has failed, and can be asked anew of the others."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from prismenv.testing.transport import ScriptedTransport

pytestmark = pytest.mark.anyio
SOLVER = "problem_solver"
PROBLEM = {"problem_statement": "P"}
FENCED = "```python\ndef solution():\n    return 1\n```"

# Another worker: says its address, and each time that its model is asked, which never answers.
PROCESS = """
import json, sys
import anyio
from prismenv.contracts.clock import SystemClock
from prismenv.contracts.transport import ChatTransport
from prismenv.server.limits import ServiceLimits
from prismenv.server.serving import Served, ServeSettings, running_service
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.keeping import SessionKeeper
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.store.servicestore import open_service_book
from prismenv.store.sessionstore import open_sessions

store, agent, lease = json.loads(sys.argv[1])

class Silent(ChatTransport):
    async def complete(self, request):
        print("asked", flush=True)
        await anyio.sleep_forever()
    async def ping(self):
        pass

async def main():
    clock, model, file = SystemClock(), Silent(), AgentFile.model_validate(agent)
    tuning = LocalTuning(keeper=SessionKeeper(open_sessions(store), clock))
    interface = InProcessInterface({file.role: file}, lambda _: model, clock, tuning=tuning)
    served = Served(interface, (file.role,), lambda role: "silent", open_service_book(store))
    settings = ServeSettings(port=0, limits=ServiceLimits(lease_seconds=lease))
    async with running_service(served, settings) as running:
        print(running.url, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@contextmanager
def victim(store: Path, agents: Any, lease_seconds: float) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    agent = agents[SOLVER].model_dump(mode="json", by_alias=True)
    words = [sys.executable, "-c", PROCESS, json.dumps([str(store), agent, lease_seconds])]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


async def until_asked(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert await anyio.to_thread.run_sync(process.stdout.readline) == "asked\n"


async def test_what_a_killed_worker_ran_fails_after_its_lease_and_is_asked_anew_elsewhere(
    serve: Any, http: Any, agents: Any, tmp_path: Path
) -> None:
    store, key = tmp_path / "service.db", {"Idempotency-Key": "k"}
    model = ScriptedTransport({SOLVER: FENCED})
    lost: list[type[Exception]] = []
    async with serve(model, store=store) as running, http(running) as other:
        with victim(store, agents, 2.0) as (url, process):
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                session = (await client.post("/initialize", json={"role": SOLVER})).json()["session_id"]
                body = {"session_id": session, "input_data": PROBLEM}
                task = (await client.post("/interact", json=body, headers=key)).json()["task_id"]
                await until_asked(process)
                plain = {"session_id": "plain", "input_data": PROBLEM, "role": SOLVER}

                async def ask() -> None:
                    try:
                        await client.post("/interact", json=plain, headers=key)
                    except httpx.TransportError as error:
                        lost.append(type(error))

                async with anyio.create_task_group() as group:
                    group.start_soon(ask)
                    await until_asked(process)
                    assert (await other.get(f"/task_status/{task}")).json()["status"] == "processing"
                    process.kill()
        assert len(lost) == 1
        ended = (await other.get(f"/task_status/{task}", params={"wait": "50"})).json()
        assert (ended["status"], ended["code"]) == ("failed", "worker_lost")
        again = (await other.post("/interact", json=body, headers=key)).json()["task_id"]
        assert again != task
        done = (await other.get(f"/task_status/{again}", params={"wait": "50"})).json()
        assert done["status"] == "completed"
        assert (await other.post("/interact", json=plain, headers=key)).status_code == 200
        for name in (session, "plain"):
            history = (await other.get(f"/session_history/{name}")).json()["history"][SOLVER]["history"]
            assert len(history) == 1
        assert len((await other.get("/health")).json()["workers"]) == 1
