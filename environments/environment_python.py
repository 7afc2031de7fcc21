"""A Python interpreter to work in, step by step: each step is code, names and files stay within the episode."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from prismenv import (
    Action,
    ActionException,
    BaseEnvironment,
    CodeError,
    CodeResult,
    ConfigurationException,
    EnvironmentExecutionException,
    Observation,
    State,
    StrictEnvironmentConfig,
    Verdict,
    environment_registry,
)

from ._interpreter import SOLUTION, FilesRead, Interpreter, as_bytes
from ._problem import number_of
from ._shares import NO_REWARD_FAULTS, Shares, counts_told

MOST_STEPS = 1000
MOST_READ_BYTES = 2**20
Rule = Literal["none", "error_free", "output", "tests"]
PROMPT = (
    "You work in a Python interpreter, step by step. Each step is code; names, modules and files stay until the episode"
    " ends. You see what it prints, the value of its last expression, and its errors."
)
SUBMIT = (
    f" When you are done, submit: the code of that step, or the file {SOLUTION} where it has none, is judged by tests"
    " that you do not see; you are told how many passed."
)


class PythonConfig(StrictEnvironmentConfig):
    """What the interpreter is given, and what is rewarded; `max_attempts` is how often an episode may submit."""

    task: str = ""  # what is to be done; reset may name another, as for the four below
    files: Mapping[str, str] = Field(default_factory=dict)  # there at the beginning, by relative path
    reward: Rule = "none"  # none; 1 for each step without error; 1 for the expected output; by tests
    expected_output: str | None = None  # for `reward: output`: what a step prints, but for white space at its ends
    tests: str | None = None  # for `reward: tests`: hidden from whoever steps
    tests_reward: Literal["all_or_nothing", "share"] = "all_or_nothing"  # for `reward: tests`
    max_steps: int = Field(default=30, ge=1, le=MOST_STEPS)  # then the episode is truncated
    step_seconds: float = Field(default=10.0, gt=0)  # of wall time and of CPU time, each
    memory_bytes: int = Field(default=512 * 2**20, ge=64 * 2**20)  # of the interpreter
    output_bytes: int = Field(default=64 * 2**10, ge=1024)  # printed in one step; the rest is cut


class PythonAction(Action):
    """A step. Files are written before the code runs; `read` names those to be shown after it, `*` shows all.

    `submit`: the code is not run but judged, or where it is empty the file `solution.py`.
    """

    code: str = ""
    files: dict[str, str] = Field(default_factory=dict)
    files_base64: dict[str, str] = Field(default_factory=dict)
    read: list[str] = Field(default_factory=list, max_length=1000)
    submit: bool = False


class PythonObservation(Observation):
    """What a step came to. `outcome` None: nothing ran. `result` None: the last statement had no value.

    `interpreter_ended`: names and files are gone, the next step has a new interpreter. `restarted`: this step had one,
    and the step before did not say so. Of hidden tests there are counts and the outcome alone.
    """

    task: str = ""
    outcome: str | None = None
    stdout: str = ""
    stderr: str = ""
    output_cut: bool = False
    result: str | None = None
    exit_code: int | None = None
    error: CodeError | None = None
    files: dict[str, str] = Field(default_factory=dict)
    files_base64: dict[str, str] = Field(default_factory=dict)
    files_left_out: dict[str, str] = Field(default_factory=dict)
    interpreter_ended: bool = False
    restarted: bool = False
    feedback: str = ""
    tests_passed: int = 0
    tests_total: int | None = None
    steps_left: int = 0
    submissions_left: int | None = None


class PythonState(State):
    """Where an episode stands. `interpreters` is how many it has had."""

    task: str = ""
    steps_left: int = 0
    submissions_left: int | None = None
    interpreters: int = 0
    solved: bool = False


@dataclass(slots=True)
class _Work:
    """The episode that runs: its interpreter, its rules, where it stands.

    `told_end`: the last step said that the interpreter had ended.
    """

    interpreter: Interpreter
    reward: Rule
    expected_output: str | None
    tests: str | None
    state: PythonState
    shares: Shares = field(default_factory=Shares)
    told_end: bool = False


@environment_registry.register("environment_python", config=PythonConfig)
class PythonEnvironment(BaseEnvironment):
    """A jailed interpreter that keeps its state within the episode."""

    config: PythonConfig
    _work: _Work | None = None

    async def reset(  # noqa: PLR0913 - what an episode may bring
        self,
        *,
        task: str | None = None,
        files: Mapping[str, str] | None = None,
        tests: str | None = None,
        expected_output: str | None = None,
        max_steps: int | None = None,
        episode_id: str | None = None,
    ) -> PythonObservation:
        """Begin with a fresh interpreter. What is None is the configuration's; `files` are beside those it names.

        Tests or an expected output that are named here are what is rewarded. ConfigurationException for wrong options.
        """
        await self._leave()
        config = self.config
        tests, expected = _text("tests", tests), _text("expected_output", expected_output)
        rule: Rule = "tests" if tests is not None else "output" if expected is not None else config.reward
        tests, expected = tests or config.tests, expected if expected is not None else config.expected_output
        if (rule == "tests" and not tests) or (rule == "output" and expected is None):
            what = "tests" if rule == "tests" else "expected_output"
            raise _bad_option(what, f"reward is {rule!r}, and neither the configuration nor reset names {what}")
        state = PythonState(
            episode_id=episode_id,
            task=config.task if task is None else _text("task", task) or "",
            steps_left=min(number_of("max_steps", max_steps, config.max_steps), MOST_STEPS),
            submissions_left=config.max_attempts if rule == "tests" else None,
        )
        given = {**config.files, **_texts(files)}
        interpreter = Interpreter(self, as_bytes(given, {}), self._limits())
        self._work = work = _Work(interpreter, rule, expected, tests, state)
        first = await interpreter.run("", {})  # so that what cannot be had is told now
        if first.outcome != "finished":
            raise EnvironmentExecutionException(f"the interpreter does not work: {first.error}", code="no_interpreter")
        return self._observed(work, None, FilesRead())

    async def step(self, action: PythonAction) -> PythonObservation:
        """Run code, or submit. The episode ends with the expected output or a passed submission.

        It is truncated after the last step or submission, and where the judge failed. ActionException: nothing ran.
        """
        work = self._working()
        if action.submit:
            return await self._submitted(work, action)
        opened = work.interpreter.opened
        done = await work.interpreter.run(action.code, as_bytes(action.files, action.files_base64))
        if done.outcome == "infrastructure_error":
            return self._unmeasured(work, "infrastructure_error")
        read = await work.interpreter.read(action.read, MOST_READ_BYTES)
        observation = self._observed(work, done, read)
        observation.restarted = work.interpreter.opened > opened and not work.told_end
        work.told_end = observation.interpreter_ended
        self._count_step(work, observation)
        if work.reward == "error_free":
            observation.reward = float(done.outcome == "finished")
        elif work.reward != "none":
            observation.reward = 0.0
        if work.reward == "output" and done.stdout.strip() == (work.expected_output or "").strip():
            work.state.solved, observation.reward, observation.done, observation.truncated = True, 1.0, True, False
        return observation

    @property
    def state(self) -> PythonState:
        """Where the episode stands."""
        work = self._working()
        work.state.interpreters = work.interpreter.opened
        return work.state

    def system_prompt(self) -> str:
        """What a policy is told before the first step."""
        return PROMPT + (SUBMIT if self.config.reward == "tests" else "")

    async def close(self) -> None:
        """Let go of the interpreter."""
        await self._leave()

    async def _submitted(self, work: _Work, action: PythonAction) -> PythonObservation:
        if work.reward != "tests" or work.tests is None:
            raise ActionException("submit: there are no tests in this episode")
        if action.files or action.files_base64:
            raise ActionException("submit: files are written by a step that runs code")
        solution = action.code if action.code.strip() else await work.interpreter.solution()
        if not solution:
            raise ActionException(f"submit: there is no code, and no file {SOLUTION}")
        verdict = await self.judge(solution, work.tests)
        if verdict.fault in NO_REWARD_FAULTS:
            return self._unmeasured(work, verdict.outcome)
        work.state.submissions_left = left = (work.state.submissions_left or 1) - 1
        observation = self._judged(work, verdict)
        observation.reward = work.shares.of(verdict) if self.config.tests_reward == "share" else float(verdict.success)
        self._count_step(work, observation)
        if verdict.success or not left:
            work.state.solved = verdict.success
            observation.done, observation.truncated = True, not verdict.success
        return observation

    def _judged(self, work: _Work, verdict: Verdict) -> PythonObservation:
        counts = verdict.tests_passed_num, verdict.tests_failed_num, verdict.tests_errored_num
        observation = self._observed(work, None, FilesRead())
        observation.outcome, observation.feedback = verdict.outcome, counts_told(verdict)
        observation.tests_passed, observation.tests_total = counts[0], sum(counts) or None
        return observation

    def _observed(self, work: _Work, done: CodeResult | None, read: FilesRead) -> PythonObservation:
        ran = {} if done is None else done.model_dump(include=_SHOWN_OF_A_CALL)
        return PythonObservation(
            **ran,
            error=None if done is None else done.error,
            task=work.state.task,
            interpreter_ended=done is not None and done.session_ended,
            files=read.files,
            files_base64=read.files_base64,
            files_left_out=read.left_out,
            steps_left=work.state.steps_left,
            submissions_left=work.state.submissions_left,
        )

    def _count_step(self, work: _Work, observation: PythonObservation) -> None:
        state = work.state
        state.step_count += 1
        state.steps_left -= 1
        observation.steps_left, observation.submissions_left = state.steps_left, state.submissions_left
        observation.done = observation.truncated = state.steps_left == 0

    def _unmeasured(self, work: _Work, outcome: str) -> PythonObservation:
        observation = self._observed(work, None, FilesRead())
        observation.outcome, observation.done, observation.truncated = outcome, True, True
        observation.feedback = "The step could not be carried out, which is no fault of the code."
        return observation

    def _limits(self) -> dict[str, float | int]:
        config = self.config
        seconds = {"wall_seconds": config.step_seconds, "cpu_seconds": config.step_seconds}
        return {**seconds, "memory_bytes": config.memory_bytes, "output_bytes": config.output_bytes}

    def _working(self) -> _Work:
        if self._work is None:
            raise EnvironmentExecutionException(
                f"there is no episode of {self.environment_name!r} yet: reset begins one", code="no_episode"
            )
        return self._work

    async def _leave(self) -> None:
        work, self._work = self._work, None
        if work is not None:
            await work.interpreter.close()


_SHOWN_OF_A_CALL = {"outcome", "stdout", "stderr", "output_cut", "result", "exit_code"}


def _text(name: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise _bad_option(name, f"option {name!r} must be text, found {value!r:.80}")


def _texts(files: object) -> dict[str, str]:
    if files is None:
        return {}
    if not isinstance(files, Mapping) or not all(type(part) is str for pair in files.items() for part in pair):
        raise _bad_option("files", f"option 'files' must be texts by their paths, found {files!r:.80}")
    return dict(files)


def _bad_option(name: str, message: str) -> ConfigurationException:
    return ConfigurationException(message, code="bad_option", subject=name)
