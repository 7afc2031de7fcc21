"""What the engine does around an author's methods: it opens, bounds, classifies and always cleans up."""

from collections import Counter

import anyio
import pytest

from prismenv import (
    AgentCommunicationException,
    BaseEnvironment,
    ConfigurationException,
    EnvironmentException,
    EnvironmentExecutionException,
    RegistryException,
    Verdict,
    environment_registry,
)
from prismenv.contracts.observer import NodeObserver
from prismenv.contracts.services import Services
from prismenv.finding.workspace import find_workspaces
from prismenv.sessions.agentfile import load_agents
from prismenv.sessions.local import InProcessInterface
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox
from prismenv.testing.transport import ScriptedTransport

NODE = {"concept": "loops", "difficulty_level": "easy"}
SOLVER = {"agents": ["problem_solver"]}
CODE = "```python\nx = 1\n```"


@pytest.fixture(autouse=True)
def _registry():
    with environment_registry.isolated():
        yield


class Watcher(NodeObserver):
    def __init__(self):
        self.records, self.calls = [], []

    def attempt_judged(self, record):
        self.records.append(record)

    def model_called(self, call):
        self.calls.append(call)


class World:
    def __init__(self, tmp_path):
        self.clock = ManualClock()
        self.watcher = Watcher()
        self.transport = ScriptedTransport(lambda request: CODE)
        self.interface = InProcessInterface(
            load_agents(find_workspaces(start=tmp_path)), lambda _role: self.transport, self.clock
        )
        self.services = Services(interface=self.interface, sandbox=ScriptedSandbox(), clock=self.clock, folder=tmp_path)

    def make(self, config=None, **kwargs):
        return BaseEnvironment(
            "environment_mine", config=config or SOLVER, services=self.services, observer=self.watcher, **kwargs
        )

    def run(self, config=None, options=None, **kwargs):
        async def main():
            async with self.make(config, **kwargs) as environment:
                return await environment.execute_node(**{**NODE, **(options or {})})

        return anyio.run(main)

    @property
    def sessions(self):
        return self.interface._sessions


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def mine(**methods):
    return environment_registry.register("environment_mine")(type("Mine", (BaseEnvironment,), methods))


async def asks(self, **kwargs):
    await self.agents["problem_solver"].interact(problem_statement="p")
    return {"success": True}


def test_sessions_are_closed_when_an_author_fails(world):
    async def execute_node(self, **kwargs):
        await asks(self)
        raise ValueError("on purpose")

    mine(execute_node=execute_node)
    with pytest.raises(EnvironmentExecutionException, match=r"ValueError: on purpose") as caught:
        world.run()
    assert "test_base_lifecycle.py:" in str(caught.value), "it says where"
    assert isinstance(caught.value.__cause__, ValueError)
    assert not world.sessions


def test_sessions_and_folder_go_when_an_execution_is_cancelled(world):
    seen = []

    async def execute_node(self, **kwargs):
        seen.append(self.output_dir)
        await asks(self)
        assert world.sessions
        await anyio.sleep(60)

    mine(execute_node=execute_node)

    async def main():
        with anyio.move_on_after(0.05) as scope:
            async with world.make() as environment:
                await environment.execute_node(**NODE)
        assert scope.cancelled_caught

    anyio.run(main)
    assert not world.sessions
    assert not seen[0].exists()


def test_an_execution_ends_its_own_sessions(world):
    mine(execute_node=asks)

    async def main():
        async with world.make() as environment:
            for _ in range(3):
                await environment.execute_node(**NODE)
                assert not world.sessions
        assert all(len(request.messages) == 2 for request in world.transport.requests), "no node sees another's history"

    anyio.run(main)


def test_concurrent_executions_of_one_instance_do_not_mix(world):
    async def execute_node(self, concept, difficulty_level, **options):
        handle = self.agents["problem_solver"]
        first = self.seed
        for number in range(3):
            await handle.interact(problem_statement=f"{concept} {number}")
            await anyio.sleep(0.001)
            self.add_attempt(solution_code=concept, attempt_num=number)
        assert self.seed == first
        return {"success": True, "seed": first, "session": handle["session_id"]}

    mine(execute_node=execute_node)
    results = {}

    async def one(environment, concept, seed):
        results[concept] = await environment.execute_node(concept=concept, difficulty_level="easy", seed=seed)

    async def main():
        async with world.make() as environment, anyio.create_task_group() as tasks:
            for seed in range(5):
                tasks.start_soon(one, environment, f"concept {seed}", seed)

    anyio.run(main)
    assert [results[f"concept {seed}"]["seed"] for seed in range(5)] == list(range(5))
    assert len({result["session"] for result in results.values()}) == 5
    for request in world.transport.requests:
        concept = " ".join(request.inputs["problem_statement"].split()[:2])
        assert all(concept in message.content for message in request.messages if message.role == "user")
        assert request.labels["concepts"] in ([concept], (concept,))


def test_an_environment_inside_another_keeps_its_own_seed_and_sessions(world):
    inner_seeds = []

    async def inner_node(self, **kwargs):
        await asks(self)
        inner_seeds.append(self.seed)
        return {"success": True}

    environment_registry.register("environment_inner")(type("Inner", (BaseEnvironment,), {"execute_node": inner_node}))

    async def execute_node(self, **kwargs):
        before = self.seed
        inner = BaseEnvironment("environment_inner", config=SOLVER, services=world.services, seed=9)
        async with inner:
            assert inner.seed == 9
            await inner.execute_node(**NODE)
        return {"success": self.seed == before == 4}

    mine(execute_node=execute_node)
    assert world.run(seed=4).success
    assert inner_seeds == [9]


def test_the_same_seed_asks_the_same_and_another_seed_does_not(world):
    mine(execute_node=asks)
    for seed in (1, 1, 2):
        world.run(seed=seed)
    seeds = [request.seed for request in world.transport.requests]
    assert seeds[0] == seeds[1] != seeds[2]


def test_random_depends_on_seed_and_purpose_only(world):
    async def execute_node(self, **kwargs):
        drawn = [self.random("a").random(), self.random("b").random(), self.random("a").random()]
        return {"success": True, "data": drawn}

    mine(execute_node=execute_node)
    first, again, other = (world.run(seed=seed)["data"] for seed in (1, 1, 2))
    assert first == again != other
    assert first[0] == first[2] != first[1]


def test_calling_super_or_not_makes_no_difference(world):
    told = Counter()

    class Mine(BaseEnvironment):
        async def initialize(self):
            await super().initialize()
            told["initialize"] += 1
            assert "problem_solver" in self.agents

        async def execute_node(self, **kwargs):
            return {"success": True}

        async def reset(self, seed=None, **options):
            await super().reset()
            told["reset"] += 1

        async def close(self):
            told["close"] += 1
            await super().close()

        async def health_check(self):
            return await super().health_check()

    class Further(Mine):
        async def execute_node(self, **kwargs):
            return await super().execute_node(**kwargs)

    environment_registry.register("environment_mine")(Further)

    async def main():
        async with world.make() as environment:
            await environment.initialize()
            await environment.reset(seed=3)
            assert (await environment.execute_node(**NODE)).success
            assert (await environment.health_check())["environment"] == "environment_mine"
            await environment.close()

    anyio.run(main)
    assert told["initialize"] == told["reset"] == 1
    assert told["close"] >= 1


def test_execute_node_initialises_what_is_not(world):
    mine(execute_node=asks)

    async def main():
        environment = world.make()
        result = await environment.execute_node(**NODE)
        assert environment._initialized
        await environment.close()
        return result

    assert anyio.run(main).success


def test_two_executions_at_once_initialise_once(world):
    told = Counter()

    async def initialize(self):
        told["initialize"] += 1
        await anyio.sleep(0.01)
        self.ready = True

    async def execute_node(self, **kwargs):
        return {"success": self.ready}

    mine(initialize=initialize, execute_node=execute_node)

    async def main():
        environment = world.make()

        async def one():
            assert (await environment.execute_node(**NODE)).success

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            tasks.start_soon(one)
        await environment.close()

    anyio.run(main)
    assert told["initialize"] == 1


@pytest.mark.parametrize("method", ["initialize", "reset", "close", "execute_node"])
@pytest.mark.parametrize("raised", [KeyError("k"), SystemExit(3), TimeoutError("late")])
def test_what_an_author_raises_is_classified_once_wherever(world, method, raised):
    async def fails(self, **kwargs):
        raise raised

    async def execute_node(self, **kwargs):
        return {"success": True}

    mine(**{"execute_node": execute_node, method: fails})

    async def main():
        async with world.make() as environment:
            await environment.reset()
            await environment.execute_node(**NODE)

    with pytest.raises(EnvironmentExecutionException, match=f"{method}.*{type(raised).__name__}") as caught:
        anyio.run(main)
    assert caught.value.__cause__ is raised
    assert not world.sessions


def test_our_own_exceptions_pass_as_they_are_out_of_groups_too(world):
    async def execute_node(self, **kwargs):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.agents["problem_solver"].interact)

    mine(execute_node=execute_node)
    with pytest.raises(ConfigurationException, match="no template"):
        world.run()


def test_after_a_failed_initialize_nothing_is_left_and_it_can_be_tried_again(world):
    tries = []

    async def initialize(self):
        tries.append(self.output_dir)
        await self.agents["problem_solver"].interact(problem_statement="hello")
        if len(tries) == 1:
            raise OSError("not yet")

    mine(initialize=initialize, execute_node=asks)

    async def main():
        environment = world.make()
        with pytest.raises(EnvironmentException):
            await environment.initialize()
        assert not environment._initialized
        assert not world.sessions
        assert not tries[0].exists()
        await environment.initialize()
        assert (await environment.execute_node(**NODE)).success
        await environment.close()

    anyio.run(main)


@pytest.mark.parametrize("form", ["plain", "awaited", "with the config"])
def test_validate_config_is_asked_and_its_refusal_is_a_configuration_error(world, form):
    def plain(self):
        raise ValueError("flavour is missing")

    async def awaited(self):
        raise ValueError("flavour is missing")

    def with_config(self, config):
        assert config.agents == ["problem_solver"]
        raise ValueError("flavour is missing")

    hooks = {"plain": plain, "awaited": awaited, "with the config": with_config}
    mine(execute_node=asks, validate_config=hooks[form])
    with pytest.raises(ConfigurationException, match="flavour is missing"):
        world.run()


def test_before_initialize_the_services_are_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine(execute_node=asks)
    with pytest.raises(EnvironmentExecutionException, match="async with"):
        _ = BaseEnvironment("environment_mine", config={}).services


def test_unusable_answers_are_asked_for_again_and_counted(tmp_path):
    world = World(tmp_path)
    answers = ["", "no code here, sorry", CODE]
    world.transport = ScriptedTransport(lambda request: answers[len(world.transport.requests) - 1])
    world.interface = InProcessInterface(
        load_agents(find_workspaces(start=tmp_path)), lambda _role: world.transport, world.clock
    )
    world.services = Services(interface=world.interface, sandbox=ScriptedSandbox(), clock=world.clock)
    mine(execute_node=asks)
    assert world.run().success
    assert [call.error is None for call in world.watcher.calls] == [False, False, True]
    assert sum(call.usage.calls for call in world.watcher.calls) == 3
    answers[:] = ["", "", "", ""]
    world.transport.requests.clear()
    with pytest.raises(AgentCommunicationException):
        world.run(options={"max_attempts": 2})
    assert len(world.transport.requests) == 2


def test_open_agents_gives_sessions_seeds_and_labels_of_their_own(world):
    async def execute_node(self, **kwargs):
        for number in range(2):
            async with self.open_agents(("problem", number), problem_id=f"p{number}") as agents:
                await agents["problem_solver"].interact(problem_statement="p")
                await agents["problem_solver"].interact(error_feedback="f")
                assert len(world.sessions) == 1
            assert not world.sessions
        return {"success": True}

    mine(execute_node=execute_node)
    assert world.run(seed=1).success
    requests = list(world.transport.requests)
    assert [request.labels["problem_id"] for request in requests] == ["p0", "p0", "p1", "p1"]
    assert all(request.labels["difficulty"] == "easy" for request in requests)
    assert len({request.seed for request in requests}) == 4
    assert [len(request.messages) for request in requests] == [2, 4, 2, 4]


def test_an_attempt_is_filled_from_its_verdict_and_told_at_once(world):
    verdict = Verdict(
        outcome="failed", fault="candidate", output="1 of 2", tests_passed_num=1, tests_failed_num=1, cpu_seconds=0.5
    )

    async def execute_node(self, **kwargs):
        record = self.add_attempt(verdict=verdict, solution_code="x", colour="red")
        assert world.watcher.records == [record]
        self.add_attempt(success=True, fault="none")
        self.add_attempt(problem_index=1)
        return {"success": False, "data_trail": [record]}

    mine(execute_node=execute_node)
    record = world.run(seed=5).data_trail[0]
    assert (record.success, record.fault, record.output, record.cpu_seconds) == (False, "candidate", "1 of 2", 0.5)
    assert (record.tests_passed_num, record.tests_failed_num, record.seed, record["colour"]) == (1, 1, 5, "red")
    assert [(r.problem_index, r.attempt_num) for r in world.watcher.records] == [(0, 0), (0, 1), (1, 0)]


def test_time_that_runs_out_after_a_solved_problem_is_the_next_ones(world):
    async def execute_node(self, **kwargs):
        self.add_attempt(problem_statement="Add.", success=True)
        await anyio.sleep(60)

    mine(execute_node=execute_node)
    result = world.run({**SOLVER, "timeout": 0.03})
    assert [(r.problem_index, r.attempt_num, r.problem_statement) for r in result.data_trail] == [
        (0, 0, "Add."),
        (1, 0, None),
    ]
    assert (result.success, result.success_rate) == (False, 1.0)


def test_concepts_may_be_given_for_concept_and_either_reaches_the_author_as_it_is(world):
    async def execute_node(self, concept, difficulty_level):
        return {"success": True, "data": concept}

    mine(execute_node=execute_node)

    async def main():
        async with world.make() as environment:
            several = await environment.execute_node(concepts=["a", "b"], difficulty_level="easy")
            one = await environment.execute_node("a", "easy")
            return several["data"], one["data"]

    assert anyio.run(main) == (["a", "b"], "a")


def test_options_that_a_signature_does_not_take_are_errors_but_for_the_engines_own(world):
    async def execute_node(self, concept, difficulty_level, colour="none"):
        return {"success": True, "data": colour}

    mine(execute_node=execute_node)
    assert world.run(options={"timeout": 5, "max_attempts": 2, "seed": 1})["data"] == "none"
    with pytest.raises(ConfigurationException, match="did you mean 'colour'"):
        world.run(options={"color": "red"})


def test_a_call_without_a_difficulty_is_an_error_that_says_so(world):
    async def execute_node(self, concept, difficulty_level):
        return {"success": True}

    mine(execute_node=execute_node)

    async def main():
        async with world.make() as environment:
            await environment.execute_node(concept="loops")

    with pytest.raises(ConfigurationException, match="difficulty_level"):
        anyio.run(main)


def test_the_same_role_twice_at_once_has_two_sessions(world):
    async def execute_node(self, **kwargs):
        task = {"agent": "problem_solver", "input_data": {"problem_statement": "p"}}
        answers = await self._run_parallel_agents([{**task, "output_key": "a"}, {**task, "output_key": "b"}])
        return {"success": answers == {"a": "x = 1", "b": "x = 1"}}

    mine(execute_node=execute_node)
    assert world.run().success
    assert [len(request.messages) for request in world.transport.requests] == [2, 2]
    assert len({request.seed for request in world.transport.requests}) == 2


def test_an_environment_without_a_node_face_says_so(world):
    mine(step=lambda self, action: action)
    with pytest.raises(EnvironmentExecutionException, match="execute_node"):
        world.run()


def test_a_helper_cannot_take_the_place_of_the_base_class_s_own_parts() -> None:
    with pytest.raises(RegistryException, match="_begin"):

        class Taken(BaseEnvironment):
            def _begin(self) -> None: ...

    with environment_registry.isolated():

        @environment_registry.register_environment_method("environment_taken", "_release")
        async def _release(self: BaseEnvironment) -> None: ...

        with pytest.raises(RegistryException, match="_release"):
            BaseEnvironment("environment_taken", config={})


def test_keywords_that_are_keys_of_the_configuration_stand_over_it() -> None:
    environment = BaseEnvironment("environment_coding_challenge", max_attempts=9, mine=1)
    assert environment.config.max_attempts == 9
    assert environment.options == {"mine": 1}
    with pytest.raises(ConfigurationException, match="max_attempts"):
        BaseEnvironment("environment_coding_challenge", max_attemps=9)


def test_an_exception_says_what_it_speaks_of_by_either_name() -> None:
    error = EnvironmentException("m", code="c", object="x", hint="h")
    assert (error.code, error.object, error.subject, error.hint) == ("c", "x", "x", "h")
