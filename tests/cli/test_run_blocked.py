"""Code that loops for ever or blocks: an interrupt ends the run all the same, and what was measured stays."""

import json
import signal
import subprocess
from typing import Any

import pytest

# Measures four nodes in an instant, then keeps the event loop in the way that `{stuck}` does; `{first}` is run before.
POLICY = """
import sys, threading, time
from prismenv import NodeRequest, SearchPolicy, policy_registry

@policy_registry.register_policy("stuck")
class Stuck(SearchPolicy):
    asked, told, finished, total = 0, 0, False, None

    def __init__(self, context):
        self.nodes = context.nodes

    def ask(self, most):
        if self.asked == 4:
            return []
        node, index = self.nodes[self.asked], self.asked
        self.asked += 1
        return [NodeRequest(index, node.node_id, node.concepts, node.difficulty, 1)]

    def tell(self, outcome):
        self.told += 1
        if self.told == 4:
            print("stuck now", file=sys.stderr, flush=True)
            self.stick()

    def stick(self):
        {stuck}
"""
PHASE = """
import sys
from prismenv import Phase, phase_registry

@phase_registry.register_phase_method("stuck_phase", "initialize_phase")
def initialize_phase(self):
    return self.tree.plant()[:1]

@phase_registry.register_phase_method("stuck_phase", "select_node")
def select_node(self):
    print("stuck now", file=sys.stderr, flush=True)
    while True:
        pass
"""
QUICK = """
import time, sys
from prismenv import environment_registry

@environment_registry.register_environment_method("environment_quick", "execute_node")
async def execute_node(self, concept, difficulty_level, **options):
    if concept == options.get("stuck"):
        print("stuck now", file=sys.stderr, flush=True)
        time.sleep(10_000)
    return {"success": True}
"""
RECIPE = """
environment: environment_quick
search: {policy: POLICY, concepts: [loops, sorting], difficulties: [easy, hard], window: 1}
"""
SECONDS = 120


@pytest.fixture
def quick(workspace: Any) -> Any:
    """A workspace with an environment that asks no model."""
    workspace.write("environments/environment_quick.py", QUICK)
    return workspace


def stuck(shell: Any, policy: str, *words: str) -> "subprocess.Popen[str]":
    """A run that has come to where it is stuck."""
    shell.write("configs/runs/quick.yaml", RECIPE.replace("POLICY", policy))
    process: subprocess.Popen[str] = shell.start("run", "quick", "--json", *words)
    assert process.stderr is not None
    line = process.stderr.readline()
    while "stuck now" not in line:
        assert line, process.communicate()
        line = process.stderr.readline()
    return process


def ended(process: "subprocess.Popen[str]") -> tuple[int, list[dict[str, Any]], str]:
    """Its exit code, its lines and what it said."""
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def kept(shell: Any) -> tuple[str, int]:
    """Status and nodes of the run in the store."""
    (run,) = shell("runs", "list", "--json").json
    return run["status"], run["nodes_done"]


@pytest.mark.parametrize("sent", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_a_policy_that_never_returns_is_ended_where_it_is(quick: Any, sent: list[signal.Signals]) -> None:
    quick.write("environments/search_stuck.py", POLICY.format(stuck="while True: pass"))
    process = stuck(quick, "stuck")
    for number in sent:
        process.send_signal(number)
    code, lines, err = ended(process)
    assert code == 130, err
    assert lines[-1]["status"] == "interrupted"
    assert lines[-1]["progress"]["done"] == 4
    assert "search_stuck.py:2" in lines[-1]["note"]
    assert kept(quick) == ("interrupted", 4)


def test_a_phase_that_never_returns_is_ended_and_its_file_is_named(quick: Any) -> None:
    quick.write("environments/search_stuck.py", PHASE)
    quick.write("configs/phase_configs.yaml", "stuck_phase: {}\n")
    quick.write("configs/experiment_configs.yaml", "name: x\nphase_sequences: [stuck_phase]\n")
    process = stuck(quick, "prismbench")
    process.send_signal(signal.SIGINT)
    code, lines, err = ended(process)
    assert code == 130, err
    assert lines[-1]["status"] == "interrupted"
    assert "search_stuck.py:1" in lines[-1]["note"]
    assert "select_node" in lines[-1]["note"]


def test_a_policy_that_waits_for_ever_is_ended(quick: Any) -> None:
    quick.write("environments/search_stuck.py", POLICY.format(stuck="threading.Event().wait()"))
    process = stuck(quick, "stuck")
    process.send_signal(signal.SIGINT)
    code, lines, err = ended(process)
    assert code == 130, err
    assert lines[-1]["status"] == "interrupted"
    assert kept(quick) == ("interrupted", 4)


SWALLOWS = """
        while True:
            try:
                time.sleep(0.01)
            except BaseException:
                pass
"""


def test_a_policy_that_lets_nothing_end_it_ends_with_its_process(quick: Any) -> None:
    quick.write("environments/search_stuck.py", POLICY.format(stuck=SWALLOWS.strip()))
    process = stuck(quick, "stuck")
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130
    assert "search_stuck.py" in err
    assert "--resume" in err
    assert kept(quick)[1] == 4


def test_an_environment_that_blocks_is_ended_and_other_nodes_stay(quick: Any) -> None:
    process = stuck(quick, "grid", "--option", "stuck=sorting", "--set", "concurrency.nodes=1")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    code, lines, err = ended(process)
    assert code == 130, err
    assert lines[-1]["status"] == "interrupted"
    assert "environment_quick.py" in lines[-1]["note"]
    assert kept(quick)[0] == "interrupted"


def test_a_policy_that_is_never_built_is_ended_before_there_is_a_run(quick: Any) -> None:
    text = POLICY.replace("self.nodes = context.nodes", 'print("stuck now", file=sys.stderr, flush=True); self.stick()')
    quick.write("environments/search_stuck.py", text.format(stuck="while True: pass"))
    process = stuck(quick, "stuck")
    process.send_signal(signal.SIGINT)
    code, lines, err = ended(process)
    assert (code, lines) == (130, [])
    assert "search_stuck.py" in err
    assert "Traceback" not in err
