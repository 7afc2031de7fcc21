"""The plugin author's contract, sentence by sentence: names, shapes and flows that plugins rely on."""

from pathlib import Path

import anyio
import pytest

import prismenv
from prismenv import (
    AgentCommunicationException,
    BaseEnvironment,
    BudgetException,
    ChallengeResults,
    ConfigurationException,
    EnvironmentException,
    EnvironmentExecutionException,
    Execution,
    FileSet,
    ProtocolException,
    RegistryException,
    SandboxException,
    StorageException,
    StrictEnvironmentConfig,
    Verdict,
    discover_environments,
    environment_registry,
)
from prismenv.contracts.interface import InterfaceClient
from prismenv.contracts.services import Services
from prismenv.finding.workspace import find_workspaces
from prismenv.sessions.agentfile import load_agents
from prismenv.sessions.local import InProcessInterface
from prismenv.testing.clock import ManualClock
from prismenv.testing.jail import ScriptedSandbox, passing
from prismenv.testing.transport import ScriptedTransport

SOLVER = {"agents": ["problem_solver"]}
TEAM = {"agents": ["challenge_designer", "problem_solver", "test_validator"]}
ADD = "def add(a, b):\n    return a + b"
ANSWERS = {
    "problem_solver": f"Sure:\n```python\n{ADD}\n```",
    "challenge_designer": "Add two numbers {a} and {problem}.",
    "test_validator": "No issues.",
}
NODE = {"concept": "loops", "difficulty_level": "easy"}


@pytest.fixture(autouse=True)
def _registry():
    with environment_registry.isolated():
        yield


class World:
    """Services over fakes, and what happened at them."""

    def __init__(self, tmp_path, answers=None, verdict=passing, execution=None):
        self.clock = ManualClock()
        self.transport = ScriptedTransport(ANSWERS if answers is None else answers)
        self.interface = InProcessInterface(
            load_agents(find_workspaces(start=tmp_path)), lambda _role: self.transport, self.clock
        )
        options = {} if execution is None else {"execution": execution}
        self.sandbox = ScriptedSandbox(verdict, **options)
        self.services = Services(interface=self.interface, sandbox=self.sandbox, clock=self.clock, folder=tmp_path)

    def environment(self, name, config=None, **kwargs):
        return BaseEnvironment(name, config=config or {}, services=self.services, **kwargs)

    def run(self, name, config=None, options=None, **kwargs):
        async def main():
            async with self.environment(name, config, **kwargs) as environment:
                return await environment.execute_node(**{**NODE, **(options or {})})

        return anyio.run(main)

    @property
    def sessions(self):
        return self.interface._sessions


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def node(function, name="custom_environment", method="execute_node"):
    environment_registry.register_environment_method(name, method)(function)
    return name


# The base class


def test_it_is_made_by_its_name_and_keeps_it(world):
    async def execute_node(self, **kwargs):
        return {"success": True}

    environment = world.environment(node(execute_node))
    assert environment.environment_name == "custom_environment"
    assert environment._initialized is False


def test_config_reads_both_ways(world):
    async def execute_node(self, **kwargs):
        assert self.config["agents"] == self.config.agents == ["problem_solver"]
        assert self.config.get("nothing", 7) == 7
        assert self.config.get("flavour") == self.config["flavour"] == "sweet"
        return {"success": True}

    assert world.run(node(execute_node), {**SOLVER, "flavour": "sweet"}).success


def test_initialize_fills_agents_for_every_configured_role(world):
    async def execute_node(self, **kwargs):
        return {"success": True}

    async def main():
        environment = world.environment(node(execute_node), TEAM)
        await environment.initialize()
        assert isinstance(environment.agents, dict)
        assert list(environment.agents) == TEAM["agents"]
        assert environment._initialized is True
        assert not world.sessions, "sessions open at their first use"
        await environment.close()
        assert environment._initialized is False

    anyio.run(main)


def test_the_interface_client_opens_and_cleans_sessions(world):
    async def execute_node(self, **kwargs):
        assert isinstance(self.interface_client, InterfaceClient)
        session_id = await self.interface_client.initialize_session(role="problem_solver")
        assert isinstance(session_id, str)
        assert session_id in world.sessions
        await self.interface_client.cleanup_session(session_id)
        assert session_id not in world.sessions
        return {"success": True}

    assert world.run(node(execute_node), SOLVER).success


def test_a_session_that_was_opened_by_hand_is_closed_with_the_environment(world):
    async def execute_node(self, **kwargs):
        await self.interface_client.initialize_session(role="problem_solver")
        return {"success": True}

    world.run(node(execute_node), SOLVER)
    assert not world.sessions


def test_output_dir_is_an_own_temporary_folder_made_on_first_use_and_always_removed(world):
    seen = []

    async def execute_node(self, **kwargs):
        seen.append(self.output_dir)
        assert isinstance(self.output_dir, Path)
        (self.output_dir / "notes").mkdir()
        (self.output_dir / "notes" / "a.txt").write_text("x")
        if kwargs.get("fail"):
            raise ValueError("on purpose")
        return {"success": True}

    name = node(execute_node)
    world.run(name)
    with pytest.raises(EnvironmentExecutionException):
        world.run(name, options={"fail": True})
    assert len(set(seen)) == 2
    assert not any(folder.exists() for folder in seen)


def test_an_environment_that_nobody_closes_leaves_no_folder_behind(world):
    async def execute_node(self, **kwargs):
        return {"success": True}

    environment = world.environment(node(execute_node))
    folder = environment.output_dir
    assert folder.is_dir()
    del environment
    assert not folder.exists()


def test_a_handle_gives_the_answer_extracted_as_the_agent_file_says(world):
    async def execute_node(self, **kwargs):
        answer = await self.agents["problem_solver"].interact(problem_statement="Add.")
        assert self.agents["problem_solver"].last_answer.raw == ANSWERS["problem_solver"]
        return {"success": answer == ADD}

    assert world.run(node(execute_node), SOLVER).success


def test_a_handle_reads_as_a_mapping(world):
    async def execute_node(self, **kwargs):
        handle = self.agents["problem_solver"]
        assert handle["initialized"] is True
        assert handle["session_id"] is None
        assert handle.get("nothing", 3) == 3
        await handle.interact(problem_statement="Add.")
        assert handle["session_id"] == handle.get("session_id")
        assert handle["session_id"] in world.sessions
        return {"success": True}

    assert world.run(node(execute_node), SOLVER).success


def test_an_agent_that_is_not_configured_is_an_error_with_the_nearest_one(world):
    async def execute_node(self, **kwargs):
        await self.agents["problem_solvr"].interact(problem_statement="Add.")

    with pytest.raises(EnvironmentException, match="did you mean 'problem_solver'"):
        world.run(node(execute_node), SOLVER)


# The function form


def test_any_number_of_functions_make_one_environment_with_helpers_as_methods(world):
    async def execute_node(self, **kwargs):
        return {"success": True, "data": await self._run_custom_workflow(kwargs["concept"])}

    async def _run_custom_workflow(self, concept):
        return f"{concept} by {self.environment_name}{self.ready}"

    async def initialize(self):
        self.ready = "!"

    node(execute_node)
    node(_run_custom_workflow, method="_run_custom_workflow")
    node(initialize, method="initialize")
    assert world.run("custom_environment")["data"] == "loops by custom_environment!"


def test_other_unknown_names_are_errors_with_the_nearest_known_name():
    async def execute_nod(self, **kwargs):
        return {"success": True}

    with pytest.raises(RegistryException, match="did you mean 'execute_node'"):
        node(execute_nod, method="execute_nod")


def test_an_unknown_environment_is_an_error_with_the_nearest_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RegistryException, match="did you mean"):
        BaseEnvironment("environment_dataset_chalenge")


def test_the_class_form_gives_an_object_of_that_class(world):
    @environment_registry.register("environment_mine")
    class Mine(BaseEnvironment):
        async def execute_node(self, concept, difficulty_level, **options):
            return {"success": True, "data": (concept, difficulty_level, options)}

    assert type(world.environment("environment_mine")) is Mine
    assert world.run("environment_mine", options={"colour": "red"})["data"] == ("loops", "easy", {"colour": "red"})


def test_discover_environments_gives_sorted_stems_and_imports_nothing(tmp_path):
    (tmp_path / "environment_b.py").write_text("raise SystemExit('imported')")
    (tmp_path / "environment_a.py").write_text("1 / 0")
    (tmp_path / "_shared.py").write_text("")
    assert discover_environments(str(tmp_path)) == ["environment_a", "environment_b"]
    assert isinstance(discover_environments(), list)


def test_no_configuration_block_means_defaults(tmp_path, monkeypatch):
    async def execute_node(self, **kwargs):
        return {"success": True}

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRISMENV_WORKSPACE", raising=False)
    config = BaseEnvironment(node(execute_node)).config
    assert (config.max_attempts, config.timeout, config.num_problems, config.batch_size) == (3, 300, 1, 1)
    assert config.agents == []
    assert config.custom_parameters == {}


def test_options_travel_untouched(world):
    async def execute_node(self, **kwargs):
        return {"success": True, "data": kwargs}

    options = {"colour": "red", "sizes": [1, {"deep": None}], "previous_problems": ["a"], "max_attempts": 2}
    assert world.run(node(execute_node), options=options)["data"] == {**NODE, **options}


# reset has one meaning


def test_reset_closes_sessions_and_removes_files_and_then_asks_the_author(world):
    told = []

    async def execute_node(self, **kwargs):
        return {"success": True}

    async def reset(self, seed=None, colour="none"):
        told.append((seed, colour, len(world.sessions), [folder.exists() for folder in folders]))
        await super(type(self), self).reset()
        return "ignored"

    folders = []
    node(execute_node)
    node(reset, method="reset")

    async def main():
        async with world.environment("custom_environment", SOLVER) as environment:
            folders.append(environment.output_dir)
            await environment.agents["problem_solver"].interact(problem_statement="Add.")
            assert world.sessions
            assert await environment.reset(seed=3, colour="red", unknown="dropped") is None
            assert environment._initialized

    anyio.run(main)
    assert told == [(3, "red", 0, [False])]


def test_reset_without_an_authors_part_is_harmless(world):
    async def execute_node(self, **kwargs):
        return {"success": True}

    node(execute_node)

    async def main():
        async with world.environment("custom_environment") as environment:
            assert await environment.reset() is None
            assert await environment.reset(seed=1, anything=2) is None

    anyio.run(main)


def test_with_an_episode_face_reset_gives_the_first_observation(world):
    @environment_registry.register("environment_episode")
    class Episode(BaseEnvironment):
        async def reset(self, seed):
            await super().reset()
            return {"observation": seed}

        async def step(self, action):
            return action

    async def main():
        async with world.environment("environment_episode") as environment:
            assert await environment.reset(seed=5) == {"observation": 5}
            assert environment.seed == 5

    anyio.run(main)


# Configuration of an environment


def test_own_keys_are_validated_by_a_config_class_and_kept_without_one(world):
    class Config(StrictEnvironmentConfig):
        largest: int = 10

    @environment_registry.register("environment_strict", config=Config)
    class Strict(BaseEnvironment):
        async def execute_node(self, **kwargs):
            return {"success": True, "data": self.config.largest}

    async def execute_node(self, **kwargs):
        return {"success": True, "data": self.config["largest"]}

    assert world.run("environment_strict", {"largest": 5})["data"] == 5
    assert world.run(node(execute_node), {"largest": "five"})["data"] == "five"
    with pytest.raises(ConfigurationException, match=r"largest.*found 'five'"):
        world.environment("environment_strict", {"largest": "five"})
    with pytest.raises(ConfigurationException, match="did you mean 'largest'"):
        world.environment("environment_strict", {"largst": 5})


def test_a_near_miss_of_a_known_key_is_an_error_that_says_so(world):
    async def execute_node(self, **kwargs):
        return {"success": True}

    with pytest.raises(ConfigurationException, match="'max_attemps'; did you mean 'max_attempts'"):
        world.environment(node(execute_node), {"max_attemps": 5})


def test_custom_parameters_are_passed_through(world):
    async def execute_node(self, **kwargs):
        return {"success": True, "data": self.config.custom_parameters["deep"]}

    assert world.run(node(execute_node), {"custom_parameters": {"deep": [1, 2]}})["data"] == [1, 2]


async def _waits(self, **kwargs):
    await anyio.sleep(60)
    return {"success": True}


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({"timeout": 0.05}, {}),
        ({"timeout": 30}, {"task_timeout": 0.05}),
        ({"timeout": 30}, {"timeout": 0.05}),
        ({"timeout": 30}, {"timeout": 0.05, "task_timeout": 20}),
        ({"timeout": 0.05}, {"task_timeout": 20}),
    ],
)
def test_timeout_bounds_a_whole_execute_node(world, config, options):
    result = world.run(node(_waits), config, options)
    assert not result.success
    assert result.data_trail[-1].verdict.outcome == "timed_out"
    assert result.data_trail[-1].fault == "environment"
    assert result.success_rate is None


def test_a_requests_own_values_win_over_the_configured_ones_within_the_hosts_ceiling(world):
    async def execute_node(self, **kwargs):
        await anyio.sleep(0.1)
        return {"success": True, "data": self.max_attempts}

    name = node(execute_node)
    config = {"timeout": 0.02, "max_attempts": 2}
    assert world.run(name, config, {"timeout": 30, "task_timeout": 0.01, "max_attempts": 5})["data"] == 5
    assert world.run(name, {}, {"max_attempts": 10**9})["data"] == 100
    assert world.run(name, {"max_attempts": 7})["data"] == 7


@pytest.mark.parametrize("name", ["timeout", "max_attempts", "task_timeout"])
@pytest.mark.parametrize("value", [0, -1, "5", True, float("nan"), float("inf"), [1]])
def test_a_request_that_asks_for_no_number_is_refused(world, name, value):
    with pytest.raises(ConfigurationException, match=name):
        world.run(node(_waits), options={name: value})


def test_when_time_runs_out_finished_attempts_are_in_the_result_and_the_last_is_timed_out(world):
    world.sandbox._verdict = lambda *_: Verdict(outcome="failed", fault="candidate", tests_failed_num=1)

    async def execute_node(self, **kwargs):
        for number in range(2):
            self.add_attempt(problem_statement="Add.", attempt_num=number, verdict=await self.judge(ADD, "tests"))
        await anyio.sleep(60)

    result = world.run(node(execute_node), {"timeout": 0.05})
    assert [record.attempt_num for record in result.data_trail] == [0, 1, 2]
    assert [record.verdict.outcome for record in result.data_trail] == ["failed", "failed", "timed_out"]
    assert result.data_trail[-1].problem_statement == "Add."


def test_what_was_judged_is_not_lost_when_time_runs_out_before_the_trail_is_returned(world):
    world.sandbox._verdict = lambda *_: Verdict(outcome="failed", fault="candidate", tests_failed_num=1, output="no")

    async def execute_node(self, **kwargs):
        trail = []
        await self.judge("pass", "a check of the tests themselves", attempt=False)
        for number in range(3):
            verdict = await self.judge(ADD + f"# {number}", "tests")
            trail.append({"solution_code": ADD, "success": verdict.success})
        await anyio.sleep(60)
        return {"success": False, "data_trail": trail}

    result = world.run(node(execute_node), {"timeout": 0.05})
    assert [record.attempt_num for record in result.data_trail] == [0, 1, 2, 3]
    assert [record.verdict.outcome for record in result.data_trail] == ["failed"] * 3 + ["timed_out"]
    assert [record.solution_code for record in result.data_trail[:-1]] == [ADD + f"# {n}" for n in range(3)]
    assert {record.test_cases for record in result.data_trail[:-1]} == {"tests"}
    assert {(record.output, record.tests_failed_num) for record in result.data_trail[:-1]} == {("no", 1)}


# Results


def test_success_and_data_are_kept_as_they_are(world):
    anything = {"deep": [1, None, {"x": "y"}]}

    async def execute_node(self, **kwargs):
        return {"success": True, "data": anything}

    result = world.run(node(execute_node))
    assert isinstance(result, ChallengeResults)
    assert dict(result.items()) == {
        "success": True, "data_trail": [], "problems": [], "success_rate": None, "data": anything
    }  # fmt: skip


def test_a_solution_of_several_files_is_judged_and_recorded_as_it_is(world):
    files = FileSet(files={"main.py": "from steps import add", "steps.py": ADD})

    async def execute_node(self, **kwargs):
        verdict = await self.judge(files, "from steps import add\ndef test_add(): assert add(1, 2) == 3\n")
        told = self.add_attempt(solution_code=files, verdict=verdict)
        return {"success": True, "data_trail": [told, {"solution_code": files}]}

    for record in world.run(node(execute_node)).data_trail:
        assert (record.solution_files, record.solution) == (files, files)
        assert ADD.strip() in record.solution_code


def test_a_record_may_hold_any_subset_of_the_known_keys_and_unknown_keys_are_kept(world):
    async def execute_node(self, **kwargs):
        return {"success": False, "data_trail": [{"solution_code": ADD, "colour": "red"}, {}]}

    first, second = world.run(node(execute_node)).data_trail
    assert first["colour"] == "red"
    assert first["solution_code"] == ADD
    names = (
        "problem_statement test_cases solution_code success output tests_passed_num tests_failed_num tests_errored_num "
        "fixed_by_problem_fixer attempt_num error_feedback test_validation test_error_analysis problem_index verdict "
        "fault usage wall_seconds cpu_seconds seed"
    )
    assert set(names.split()) <= set(second.keys())


def test_attempt_num_counts_from_0_within_a_problem(world):
    async def execute_node(self, **kwargs):
        trail = [{"problem_index": 0}, {"problem_index": 0}, {"problem_index": 1}, {"problem_index": 0}]
        return {"success": False, "data_trail": trail}

    result = world.run(node(execute_node))
    assert [record.attempt_num for record in result.data_trail] == [0, 1, 0, 2]


def test_with_several_problems_each_is_summed_up(world):
    async def execute_node(self, **kwargs):
        trail = [
            {"problem_index": 0, "problem_statement": "# Add\n\nAdd two numbers.", "success": False},
            {"problem_index": 0, "success": True, "fixed_by_problem_fixer": True},
            {"problem_index": 1, "success": False, "fault": "candidate"},
            {"problem_index": 2, "success": False, "fault": "infrastructure"},
        ]
        return {"success": False, "data_trail": trail}

    result = world.run(node(execute_node))
    assert [dict(problem.items()) for problem in result.problems] == [
        {"problem_index": 0, "success": True, "attempts": 2, "fixed_by_problem_fixer": True, "title": "Add",
         "fault": "none"},
        {"problem_index": 1, "success": False, "attempts": 1, "fixed_by_problem_fixer": False, "title": "",
         "fault": "candidate"},
        {"problem_index": 2, "success": False, "attempts": 1, "fixed_by_problem_fixer": False, "title": "",
         "fault": "infrastructure"},
    ]  # fmt: skip
    assert result.success_rate == 0.5


@pytest.mark.parametrize(
    "returned",
    [
        None, [], "yes", 1, {}, {"sucess": True}, {"success": "yes"}, {"success": True, "data_trail": 3},
        {"success": True, "data_trail": "ab"}, {"success": True, "data_trail": [{"attempt_num": -1}]},
        {"success": True, "data_trail": [3]}, {"success": True, "success_rate": float("nan")},
    ],
)  # fmt: skip
def test_a_result_of_another_shape_is_an_error_that_names_the_environment(world, returned):
    async def execute_node(self, **kwargs):
        return returned

    with pytest.raises(EnvironmentExecutionException, match="custom_environment"):
        world.run(node(execute_node))


# Judging and running from a plugin


def test_judge_gives_a_verdict_within_the_limits_asked_for(world):
    async def execute_node(self, **kwargs):
        verdict = await self.judge(ADD, "tests", wall_seconds=2, memory_bytes=2**26)
        assert isinstance(verdict, Verdict)
        return {"success": verdict.success}

    assert world.run(node(execute_node)).success
    assert world.sandbox.judged == [(ADD, "tests")]


@pytest.mark.parametrize("mode", ["split", "shared", None])
def test_judge_asks_for_the_mode_that_the_configuration_names(world, mode):
    async def execute_node(self, **kwargs):
        return {"success": (await self.judge(ADD, "tests")).success}

    assert world.run(node(execute_node), {"verdict": mode} if mode else {}).success
    assert world.sandbox.modes == [mode]


def test_a_mode_that_is_none_is_an_error(world):
    async def execute_node(self, **kwargs):
        return {"success": True}

    with pytest.raises(ConfigurationException, match="verdict"):
        world.run(node(execute_node), {"verdict": "spilt"})


@pytest.mark.parametrize("limits", [{"wall_second": 1}, {"wall_seconds": 0}, {"wall_seconds": "long"}])
def test_a_limit_that_is_none_is_an_error(world, limits):
    async def execute_node(self, **kwargs):
        await self.judge(ADD, "tests", **limits)

    with pytest.raises(ConfigurationException, match="wall_second"):
        world.run(node(execute_node))


def test_a_sandbox_that_breaks_is_asked_again_and_then_believed(tmp_path):
    verdicts = [Verdict(outcome="infrastructure_error", fault="infrastructure")] * 2 + [Verdict(outcome="passed")]
    flaky = World(tmp_path, verdict=lambda *_: verdicts.pop(0))
    broken = World(tmp_path, verdict=lambda *_: Verdict(outcome="infrastructure_error", fault="infrastructure"))

    async def execute_node(self, **kwargs):
        verdict = await self.judge(ADD, "tests")
        return {"success": verdict.success, "data": verdict.fault}

    name = node(execute_node)
    assert flaky.run(name).success
    assert broken.run(name)["data"] == "infrastructure"
    assert len(broken.sandbox.judged) == 3


def test_run_gives_an_execution_and_takes_its_input_by_position(tmp_path):
    world = World(tmp_path, execution=lambda program, stdin: Execution(outcome="exited", exit_code=0, stdout=stdin))

    async def execute_node(self, **kwargs):
        execution = await self.run("print(input())", "hello", wall_seconds=3)
        again = await self.run("print(input())", stdin="hello", language="python")
        return {"success": execution.stdout == again.stdout == "hello"}

    assert world.run(node(execute_node)).success


def test_run_script_gives_success_by_exit_code_and_the_output(tmp_path):
    def execution(program, stdin):
        return Execution(outcome="exited", exit_code=int(program), stdout="out\n", stderr="err\n")

    async def execute_node(self, **kwargs):
        good, bad = self.output_dir / "good.py", self.output_dir / "bad.py"
        good.write_text("0")
        bad.write_text("1")
        assert await self.run_script(bad) == (False, "out\nerr\n")
        assert await self.run_script("good.py") == (True, "out\nerr\n"), "relative to output_dir"
        for wrong in ("missing.py", "../escape.py", str(self.output_dir / "none.py")):
            with pytest.raises(EnvironmentExecutionException):
                await self.run_script(wrong)
        return {"success": True}

    assert World(tmp_path, execution=execution).run(node(execute_node)).success
    assert "no verdict" in BaseEnvironment.run_script.__doc__


# Agent work flows


def test_a_sequence_fills_each_template_from_what_came_before(world):
    async def execute_node(self, **kwargs):
        made = await self._run_agent_sequence(
            [
                {"agent": "challenge_designer", "output_key": "problem",
                 "input_template": {"concepts": [kwargs["concept"]], "difficulty_level": "easy"}},
                {"agent": "problem_solver", "input_template": {"problem_statement": "Now: {problem}"},
                 "output_key": "solution"},
            ]
        )  # fmt: skip
        return {"success": True, "data": made}

    made = world.run(node(execute_node), TEAM)["data"]
    assert made == {"problem": ANSWERS["challenge_designer"], "solution": ADD}
    asked = world.transport.requests[-1].messages[-1].content
    assert f"Now: {ANSWERS['challenge_designer']}" in asked, "braces in a model's text mean nothing"


def test_format_template_replaces_names_anywhere_inside_literally_and_once(world):
    async def execute_node(self, **kwargs):
        context = {"a": "{b}", "b": "B", "n": 3}
        template = {"x": "{a}-{b}", "deep": [{"y": "{{b}} {} {not here}"}, 7, None], "n": "{n} times"}
        filled = self._format_template(template, context)
        assert filled == {"x": "{b}-B", "deep": [{"y": "{B} {} {not here}"}, 7, None], "n": "3 times"}
        with pytest.raises(ConfigurationException, match="did you mean 'problem'"):
            self._format_template({"x": ["{problm}"]}, {"problem": ""})
        return {"success": True}

    assert world.run(node(execute_node)).success


def test_execute_agent_asks_one_agent(world):
    async def execute_node(self, **kwargs):
        return {"success": await self._execute_agent("problem_solver", {"problem_statement": "Add."}) == ADD}

    assert world.run(node(execute_node), SOLVER).success


def test_parallel_agents_keep_their_answers_when_one_fails(world):
    world.transport.fail_when(
        lambda request: (
            AgentCommunicationException("gone", code="unauthorised") if request.role == "test_validator" else None
        )
    )

    async def execute_node(self, **kwargs):
        read = await self._run_parallel_agents(
            [
                {"agent": "test_validator", "input_data": {"problem_statement": "p", "test_cases": "t"},
                 "output_key": "review"},
                {"agent": "problem_solver", "input_data": {"problem_statement": "p"}, "output_key": "solution"},
            ]
        )  # fmt: skip
        assert list(read) == ["review", "solution"]
        assert isinstance(read["review"], AgentCommunicationException)
        return {"success": read["solution"] == ADD}

    assert world.run(node(execute_node), TEAM).success


def test_parallel_agents_are_all_cancelled_together(world):
    begun, ended = [], []

    class Slow(ScriptedTransport):
        async def complete(self, request):
            begun.append(request.role)
            try:
                await anyio.sleep(60)
            finally:
                ended.append(request.role)

    world.transport = Slow(ANSWERS)
    inputs = {
        "challenge_designer": {"concepts": ["loops"], "difficulty_level": "easy"},
        "problem_solver": {"problem_statement": "p"},
        "test_validator": {"problem_statement": "p", "test_cases": "t"},
    }

    async def execute_node(self, **kwargs):
        tasks = [{"agent": role, "input_data": given, "output_key": role} for role, given in inputs.items()]
        with anyio.move_on_after(0.05):
            await self._run_parallel_agents(tasks)
        return {"success": True}

    assert world.run(node(execute_node), TEAM).success
    assert sorted(begun) == sorted(ended) == sorted(TEAM["agents"])


@pytest.mark.parametrize("method", ["_run_agent_sequence", "_run_parallel_agents"])
def test_a_step_without_its_keys_is_an_error(world, method):
    async def execute_node(self, **kwargs):
        await getattr(self, method)([{"agnt": "problem_solver", "output_key": "x"}])

    with pytest.raises(ConfigurationException, match="'agent'"):
        world.run(node(execute_node), SOLVER)


# Health


def test_health_has_its_shape_and_costs_no_tokens(world):
    async def execute_node(self, **kwargs):
        return {"success": True}

    async def main():
        async with world.environment(node(execute_node), SOLVER) as environment:
            return await environment.health_check()

    world.sandbox._execution = lambda *_: Execution(outcome="exited", exit_code=0, stdout="42\n")
    health = anyio.run(main)
    assert health["environment"] == "custom_environment"
    assert health["status"] == "healthy"
    assert health["checks"]["agent_problem_solver"] == "healthy"
    assert health["checks"].keys() == {"agent_problem_solver", "sandbox", "store", "disk_space"}
    assert health["checks"]["disk_space"] in ("ok", "low")
    assert not world.transport.requests


def test_an_agent_that_is_away_is_unhealthy_and_says_why(world):
    async def execute_node(self, **kwargs):
        return {"success": True}

    async def health_check(self):
        return {"checks": {"licence": "unhealthy: it ran out"}}

    async def main():
        async with world.environment(node(execute_node), SOLVER) as environment:
            return await environment.health_check()

    node(health_check, method="health_check")
    anyio.run(world.transport.aclose)
    health = anyio.run(main)
    assert health["status"] == "unhealthy"
    assert health["checks"]["agent_problem_solver"].startswith("unhealthy: ")
    assert health["checks"]["licence"] == "unhealthy: it ran out"


# Exceptions


@pytest.mark.parametrize(
    "kind",
    [
        EnvironmentException, EnvironmentExecutionException, AgentCommunicationException, ConfigurationException,
        RegistryException, SandboxException, StorageException, ProtocolException, BudgetException,
    ],
)  # fmt: skip
def test_every_exception_takes_one_message_and_optional_keywords(kind):
    assert str(kind("message")) == "message"
    error = kind("message", code="c", subject="s", hint="do this")
    assert (error.code, error.subject, error.hint) == ("c", "s", "do this")
    assert isinstance(error, EnvironmentException)


def test_the_public_names_are_there():
    for name in ("BaseEnvironment", "environment_registry", "discover_environments", "extract_code", "PlannedNode"):
        assert name in prismenv.__all__


def test_no_folder_is_left_in_the_working_directory(world, tmp_path, monkeypatch):
    async def execute_node(self, **kwargs):
        (self.output_dir / "x").write_text("x")
        return {"success": True}

    monkeypatch.chdir(tmp_path)
    world.run(node(execute_node))
    assert list(tmp_path.iterdir()) == []
