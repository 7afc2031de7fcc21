"""A stage for the built-in environments: models that say what a test lets them say, a sandbox of its choice."""

import anyio
import pytest

from prismenv import BaseEnvironment, Verdict
from prismenv.contracts.observer import NodeObserver
from prismenv.contracts.services import Services
from prismenv.finding.workspace import find_workspaces
from prismenv.isolation.portable import PortableSandbox
from prismenv.sessions.agentfile import load_agents
from prismenv.sessions.local import InProcessInterface
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.testing.transport import ScriptedTransport

FAILED = "2 tests: 1 passed, 1 failed.\n\n--- failed: test_two\nAssertionError: 3 != 4"


def by_program(solution: str, _tests: str) -> Verdict:
    """Passed where the program says `right`, failed otherwise."""
    if "right" in solution:
        return Verdict(outcome="passed", tests_passed_num=2, output="All tests passed.", cpu_seconds=0.25)
    return Verdict(outcome="failed", fault="candidate", tests_passed_num=1, tests_failed_num=1, output=FAILED)


class Stage(NodeObserver):
    """Runs one environment. `answers` are ScriptedTransport's; `requests` is what the models were asked."""

    def __init__(self, folder):
        self.clock = ManualClock()
        self.folder = folder
        self.agents = load_agents(find_workspaces(start=folder))
        self.sandbox = ScriptedSandbox(by_program)
        self.transport = ScriptedTransport({})
        self.records, self.calls = [], []

    def attempt_judged(self, record):
        self.records.append(record)

    def model_called(self, call):
        self.calls.append(call)

    def play(self, answers):
        """Let the models answer so from here on."""
        self.transport = ScriptedTransport(answers)
        return self.transport

    def asked(self, role):
        """The inputs of every question to a role, in order."""
        return [dict(request.inputs) for request in self.transport.requests if request.role == role]

    def prompts(self, role):
        """What a role's model was told last in each question, in order."""
        return [request.messages[-1].content for request in self.transport.requests if request.role == role]

    def interface(self):
        """The LLM interface over this stage's models."""
        return InProcessInterface(self.agents, lambda _role: self.transport, self.clock)

    def run(self, name, *, config=None, seed=7, real=False, **options):
        """The result of one node, of an easy one about loops where the options do not say; `real` runs programs."""
        options = {"concept": "loops", "difficulty_level": "easy", **options}

        async def main():
            async with PortableSandbox(2) if real else self.sandbox as sandbox:
                services = Services(interface=self.interface(), sandbox=sandbox, clock=self.clock, folder=self.folder)
                async with BaseEnvironment(
                    name, config=config or {}, services=services, observer=self, seed=seed
                ) as environment:
                    return await environment.execute_node(**options)

        return anyio.run(main)


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)
