"""Own phases and policies in runs: what each does wrong has a clear ending, and what was measured stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.recipe import Recipe
from prismenv.engine.campaign import run_campaign
from prismenv.engine.report import RunReport
from prismenv.finding.workspace import WorkspaceSet
from prismenv.words.errors import ConfigurationException, EnvironmentExecutionException
from prismenv.words.events import Event

PHASE = """\
from prismenv import Phase, phase_registry

@phase_registry.register_phase("mine")
class Mine(Phase):
    {body}
"""
POLICY = """\
from prismenv import NodeRequest, SearchPolicy, policy_registry

@policy_registry.register_policy("own")
class Own(SearchPolicy):
    asked = 0
    finished = False
    total = None

    def __init__(self, context):
        self.context = context

    def next(self, **changes):
        node = self.context.nodes[0]
        given = dict(index=self.asked, node_id=node.node_id, concepts=node.concepts, difficulty=node.difficulty, seed=1)
        self.asked += 1
        return NodeRequest(**given | changes)

    def ask(self, most):
        {ask}

    def tell(self, outcome):
        {tell}
"""
Make = Callable[..., Recipe]
Play = Callable[..., RunReport]


@pytest.fixture
def play(recipe: Make, workspace: Path, workspaces: WorkspaceSet) -> Play:
    """Runs a recipe with the text in a file of the workspace."""

    def run(text: str, policy: str, sink: Callable[[Event], None] = lambda event: None, **more: Any) -> RunReport:
        (workspace / "environments" / "search_mine.py").write_text(text, encoding="utf-8")
        (workspace / "configs").mkdir(exist_ok=True)
        (workspace / "configs" / "own_phases.yaml").write_text(
            "mine: {phase_params: {max_iterations: 7, num_nodes_per_iteration: 3}}\n", encoding="utf-8"
        )
        (workspace / "configs" / "own_experiment.yaml").write_text(
            "name: x\nphase_sequences: [mine]\n", encoding="utf-8"
        )
        search = {"policy": policy, "phases": "own_phases", "experiment": "own_experiment"}

        async def main() -> RunReport:
            folder = workspaces.project_folder
            given = recipe(search=search, **more)
            return await run_campaign(given, workspaces=workspaces, folder=folder, sink=sink)

        return anyio.run(main)

    return run


def phase(body: str) -> str:
    return PHASE.format(body=body)


def policy(ask: str = "return [self.next()]", tell: str = "pass") -> str:
    return POLICY.format(ask=ask, tell=tell)


def test_a_phase_of_ones_own_measures_what_it_selects(play: Play) -> None:
    body = """def initialize_phase(self):
        return self.tree.plant()"""
    report = play(phase(body), "prismbench")
    assert (report.status, report.progress["done"]) == ("finished", 7)


def test_a_phase_that_proposes_for_ever_ends_with_its_iterations(play: Play) -> None:
    body = """def initialize_phase(self):
        return self.tree.plant()

    def expand_node(self, node):
        return [node] * 50"""
    report = play(phase(body), "prismbench")
    assert (report.status, report.progress["done"]) == ("finished", 7)


def test_a_phase_that_never_proposes_ends_at_once(play: Play) -> None:
    report = play(phase("def select_node(self): return None"), "prismbench")
    assert report.progress["done"] == 0
    assert (report.status, report.note) == ("failed", "the search asked for no node at all")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def select_node(self): return 1 / 0", "select_node of the phase 'mine' failed: ZeroDivisionError"),
        ("def select_node(self): return 'loops'", "select_node of the phase 'mine' gave 'loops'"),
        ("def initialize_phase(self): return 3", "initialize_phase of the phase 'mine' gave 3"),
        ("def initialize_phase(self): raise KeyError('x')", "initialize_phase of the phase 'mine' failed: KeyError"),
        ("def expand_node(self, node): return [None]", "expand_node of the phase 'mine' gave None"),
        ("def evaluate_node(self, node): return 'x'", "evaluate_node of the phase 'mine' gave 'x'"),
        (
            "def evaluate_node(self, node): return {'concept': node.concepts[0]}",
            "evaluate_node of the phase 'mine' gave the option 'concept', which the node itself says",
        ),
        (
            "def evaluate_node(self, node): return {1: 2}",
            "evaluate_node of the phase 'mine' gave the option 1; the name",
        ),
        ("def calculate_node_value(self, results, difficulty_level): return 'good'", "calculate_node_value"),
        ("def calculate_node_value(self, results, difficulty_level): return float('nan')", "gave nan"),
        (
            "def calculate_node_value(self, results, difficulty_level): return 10**400",
            "calculate_node_value .* gave 1000",
        ),
        ("def backpropagate_node_value(self, node, reward): node.value = 'good'", "backpropagate_node_value .* 'good'"),
        ("def backpropagate_node_value(self, node, reward): node.value = float('nan')", "left the value nan"),
        ("def backpropagate_node_value(self, node, reward): node.visits = -1", "the visits -1"),
        ("def select_node(self): raise SystemExit(0)", "select_node of the phase 'mine' failed: SystemExit"),
        ("def backpropagate_node_value(self, node, reward): raise ValueError(reward)", "failed: ValueError"),
    ],
)
def test_a_phase_that_raises_or_gives_nonsense_ends_the_run_with_its_name(play: Play, body: str, words: str) -> None:
    if "initialize_phase" not in body:
        body = f"def initialize_phase(self): return self.tree.plant() and ()\n\n    {body}"
    with pytest.raises((EnvironmentExecutionException, ConfigurationException), match=words):
        play(phase(body), "prismbench")


def test_what_was_measured_before_a_policy_broke_is_stored(play: Play) -> None:
    seen: list[Event] = []
    tell = "if outcome.request.index == 3: raise KeyError('lost')"
    with pytest.raises(EnvironmentExecutionException, match="the search policy failed in tell: KeyError: 'lost'"):
        play(policy(tell=tell), "own", seen.append)
    assert sum(event.type == "node_finished" for event in seen) >= 4
    assert seen[-1].data["status"] == "failed"
    assert "failed in tell" in seen[-1].data["note"]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        ("return 1 / 0", "the search policy failed in ask: ZeroDivisionError"),
        ("return None", "the search policy gave None; expected a list of NodeRequest"),
        ("return ['loops']", r"the search policy gave \['loops'\]"),
        ("return [self.next() for _ in range(most + 1)]", "asked for 65 nodes where there was room for 64"),
        ("return [self.next(index=5)]", "gave request 5 where 0 comes next"),
        ("return [self.next(index='0')]", "a request with the index '0'; expected a whole number"),
        ("return [self.next(concepts='loops')]", "the concepts 'loops'; expected a tuple of names"),
        ("return [self.next(difficulty=None)]", "the difficulty None; expected a name"),
        ("return [self.next(node_id=5)]", "the node_id 5; expected a name"),
        ("return [self.next(seed='x')]", "the seed 'x'; expected a whole number"),
        ("return [self.next(options={'concept': 'loops'})]", "the option 'concept', which the node itself says"),
        ("raise SystemExit(0)", "the search policy failed in ask: SystemExit"),
        ("return []", "asks for nothing although every outcome was told and it is not finished"),
    ],
)
def test_a_policy_that_raises_or_gives_nonsense_ends_the_run_with_the_reason(play: Play, ask: str, words: str) -> None:
    with pytest.raises(EnvironmentExecutionException, match=words):
        play(policy(ask=ask), "own")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("finished = property(lambda self: 1 / 0)", "failed in finished: ZeroDivisionError"),
        ("total = property(lambda self: 1 / 0)", "failed in total: ZeroDivisionError"),
        ("total = 'many'", "gave the total 'many'; expected a whole number, 0 or more, or None"),
        ("total = -3", "gave the total -3"),
        ("environments = property(lambda self: 1 / 0)", "failed in environments: ZeroDivisionError"),
        ("finished = True\n    def state(self): return 1 / 0", "failed in state: ZeroDivisionError"),
        ("finished = True\n    def state(self): return 'done'", "gave the state 'done'; expected a mapping"),
        ("finished = True\n    def state(self): return {'map': 7}", "whose 'map' is no AbilityMap: all of it"),
        ("finished = True\n    def state(self): return {'map': {}}", "whose 'map' is no AbilityMap: objective: "),
    ],
)
def test_what_a_policy_says_of_itself_is_checked_as_well(play: Play, body: str, words: str) -> None:
    text = policy().replace("    total = None\n", "").replace("    finished = False\n", "")
    text = text.replace("    asked = 0\n", f"    asked = 0\n    total, finished = None, False\n    {body}\n")
    with pytest.raises(EnvironmentExecutionException, match=words):
        play(text, "own")


def test_a_policy_that_proposes_for_ever_ends_with_the_budget(play: Play) -> None:
    report = play(policy(), "own", budget={"nodes": 9})
    assert (report.status, report.progress["done"]) == ("budget_reached", 9)


def test_a_policy_may_ask_nothing_for_now_and_go_on_when_it_was_told(play: Play) -> None:
    ask = "return [self.next()] if self.asked == self.told and not self.finished else []"
    text = policy(ask=ask, tell="self.told += 1; self.finished = self.told == 5").replace(
        "    asked = 0\n", "    asked = 0\n    told = 0\n"
    )
    report = play(text, "own")
    assert (report.status, report.progress["done"]) == ("finished", 5)


def test_a_recipe_cannot_say_the_concept_as_an_option(play: Play) -> None:
    with pytest.raises(ConfigurationException, match="options: found the option 'concept', which the node itself says"):
        play(policy(), "own", options={"concept": "loops"})
