"""CPU and memory that a node costs by itself: no model latency, no execution, three model calls each.

    python benchmarks/orchestration.py [NODES]

Runs `environment_coding_challenge` over a random search with a transport that answers at once and a sandbox that passes
everything, once without and once with the store. Prints one JSON document; CPU is of the whole process, threads
included. `rss_*_bytes` is resident memory when so many nodes were done. `interpreter_cpu_ms` is the machine's own
baseline: what a Python that does nothing takes.
"""

import argparse
import json
import os
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
from baseline import interpreter_cpu_ms

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.recipe import ConcurrencySettings, Recipe, SearchSettings
from prismenv.contracts.services import Services
from prismenv.engine.campaign import run_recipe
from prismenv.finding.workspace import WorkspaceSet, find_workspaces
from prismenv.sessions.agentfile import load_agents
from prismenv.sessions.calls.retrying import guarded
from prismenv.sessions.local import InProcessInterface
from prismenv.store.database import open_store
from prismenv.testing.jail import ScriptedSandbox
from prismenv.testing.transport import ScriptedTransport
from prismenv.words.events import Event

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TREE = {"concepts": ("loops", "sorting", "recursion"), "difficulties": ("easy", "medium", "hard")}
ANSWERS = {
    "challenge_designer": "# Add\n\nWrite `add(a, b)` that returns the sum of two integers.",
    "test_generator": "```python\nimport unittest\n\n\nclass TestAdd(unittest.TestCase):\n"
    "    def test_sum(self):\n        self.assertEqual(add(1, 2), 3)\n```",
    "problem_solver": "```python\ndef add(a, b):\n    return a + b\n```",
}


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


class Meter:
    """Notes resident memory at certain counts of nodes."""

    def __init__(self, marks: tuple[int, ...], sandbox: ScriptedSandbox) -> None:
        self.marks = marks
        self.sandbox = sandbox
        self.resident: dict[int, int] = {}
        self.calls = 0

    def __call__(self, event: Event) -> None:
        if event.type == "model_called":
            self.calls += 1
        elif event.type == "node_finished":
            self.sandbox.judged.clear()  # the fake keeps what it was asked, which is no memory of ours
            if (done := event.data["progress"]["done"]) in self.marks:
                self.resident[done] = resident_bytes()


async def measure(nodes: int, workspaces: WorkspaceSet, place: str | None) -> dict[str, float]:
    """One run; figures of it."""
    recipe = Recipe(
        name="orchestration",
        search=SearchSettings(policy="random", nodes=nodes, **TREE),
        concurrency=ConcurrencySettings(nodes=16),
    )
    clock = SystemClock()
    transport = guarded(ScriptedTransport(ANSWERS, keep=1), clock)  # what stands around every provider
    sandbox = ScriptedSandbox()
    meter = Meter((min(1000, nodes), nodes), sandbox)
    async with AsyncExitStack() as stack:
        interface = InProcessInterface(load_agents(workspaces), lambda _: transport, clock, models=lambda _: "scripted")
        await stack.enter_async_context(sandbox)
        store = open_store(place) if place else None
        if store is not None:
            stack.callback(store.close)
        services = Services(interface=interface, sandbox=sandbox, store=store, clock=clock)
        cpu, wall = time.process_time(), time.perf_counter()
        report = await run_recipe(recipe, services, workspaces=workspaces, sink=meter)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if report.status != "finished" or report.progress["solved"] != nodes:
        raise SystemExit(f"the run is no measurement: {report.to_json()}")
    return {
        "cpu_ms_per_node": round(1000 * cpu / nodes, 3),
        "wall_seconds": round(wall, 2),
        "model_calls_per_node": meter.calls / nodes,
        **{f"rss_{count}_bytes": resident for count, resident in meter.resident.items()},
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nodes", type=int, nargs="?", default=10000, help="nodes to run (%(default)s)")
    parser.add_argument("--store", help="a URL such as postgresql://USER@HOST/DATABASE in place of a file of SQLite")
    arguments = parser.parse_args()
    nodes = arguments.nodes
    workspaces = find_workspaces()
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(measure, 200, workspaces, None)  # warm: imports, compiled templates, the registry
        figures = {
            "nodes": nodes,
            "interpreter_cpu_ms": interpreter_cpu_ms(),
            "without_store": anyio.run(measure, nodes, workspaces, None),
            "with_store": anyio.run(measure, nodes, workspaces, arguments.store or f"{folder}/runs.db"),
            "targets": {"without_store_cpu_ms": 1.0, "with_store_cpu_ms": 2.0},
        }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
