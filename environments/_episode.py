"""The episode face of a coding challenge: `reset` sets a problem, each `step` judges a program for it.

Whoever steps is told counts and outcomes and nothing else of the tests: no name, input, message, duration or printed
line, so that a policy under training cannot learn the answers from its feedback. The trail is the node face's.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pydantic import Field

from prismenv import (
    Action,
    EnvironmentConfig,
    EnvironmentExecutionException,
    Observation,
    Rubric,
    RubricScore,
    State,
    Verdict,
    extract_code,
)

from ._flow import PYTHON, ChallengeFlow
from ._grading import Attempt, RewardRule, rubric_of
from ._problem import Brief, Problem, ProblemEnded, concepts_of, difficulty_of, number_of, texts_of
from ._shares import NO_REWARD_FAULTS, Shares, counts_told

MOST_ATTEMPTS = 100
CONCEPTS = (
    "loops",
    "conditionals",
    "functions",
    "data_structures",
    "algorithms",
    "error_handling",
    "recursion",
    "sorting",
    "searching",
    "dynamic_programming",
)
DIFFICULTIES = ("very easy", "easy", "medium", "hard", "very hard")
PROMPT = (
    "You are given a programming problem. Answer with one complete Python program that solves it. It is judged by tests"
    " that you do not see; after each attempt you are told how many of them passed. You have a limited number of"
    " attempts."
)
OTHER_PROMPT = (
    "You are given a programming problem. Answer with one complete program in {language} that solves it: it reads"
    " standard input and prints its result. It is run on inputs that you do not see; after each attempt you are told"
    " for how many of them it printed the right output. You have a limited number of attempts."
)


class EpisodeConfig(EnvironmentConfig):
    """What the coding challenges' episodes are configured with, beside the keys that every environment has."""

    reward: RewardRule = "all_or_nothing"  # 1 for a program that passes all; the share of passed tests; gains in it
    rubric: str | dict[str, Any] | None = None  # in place of `reward`: composed of solved, share, gain, early, ran
    concepts: list[str] = Field(default=list(CONCEPTS), min_length=1)  # an episode draws from where reset names none
    difficulties: list[str] = Field(default=list(DIFFICULTIES), min_length=1)  # the same


class CodeAction(Action):
    """A program, or an answer that holds one."""

    code: str


class ChallengeObservation(Observation):
    """What a policy sees. `outcome` None: nothing was judged yet. `tests_total` None: nobody knows how many."""

    problem_statement: str
    feedback: str = ""
    outcome: str | None = None
    success: bool = False
    tests_passed: int = 0
    tests_failed: int = 0
    tests_errored: int = 0
    tests_total: int | None = None
    attempts_left: int


class ChallengeState(State):
    """Where an episode stands. `best_share` is the largest share of tests that a program passed."""

    concepts: list[str] = Field(default_factory=list)
    difficulty: str = ""
    problem_statement: str = ""
    attempts_left: int = 0
    solved: bool = False
    best_share: float = 0.0


@dataclass(slots=True)
class _Played:
    """The episode that runs. `rewards` are those of the programs that were judged; `attempts` is how many may be."""

    problem: Problem
    state: ChallengeState
    agents: AsyncExitStack
    attempts: int
    rewards: list[float] = field(default_factory=list)
    shares: Shares = field(default_factory=Shares)


class ChallengeEpisodes(ChallengeFlow):
    """The flow with both faces: its own solver answers in a node, whoever steps it in an episode."""

    config: EpisodeConfig
    _played: _Played | None = None

    def validate_config(self) -> None:
        """A rubric that is not composed rightly is told before anything runs too."""
        super().validate_config()
        _ = self._grades

    async def reset(
        self,
        concept: str | Sequence[str] | None = None,
        difficulty_level: str | None = None,
        previous_problems: Sequence[str] | None = None,
        max_attempts: int | None = None,
        episode_id: str | None = None,
    ) -> ChallengeObservation:
        """Set a problem and have its tests written; what is not named is drawn by the seed.

        EnvironmentExecutionException `no_problem` where the models gave none, or no tests that are a measure.
        """
        await self._leave()
        drawn = self.random("episode")
        by_chance = drawn.choice(self.config.concepts), drawn.choice(self.config.difficulties)
        brief = Brief(
            concepts_of(by_chance[0] if concept is None else concept),
            difficulty_of(by_chance[1] if difficulty_level is None else difficulty_level),
            texts_of("previous_problems", previous_problems),
        )
        attempts = min(number_of("max_attempts", max_attempts, self.config.max_attempts), MOST_ATTEMPTS)
        async with AsyncExitStack() as agents:
            about = {"concepts": brief.concepts, "difficulty": brief.difficulty}
            crew = await agents.enter_async_context(self.open_agents(("problem", 0), problem_index=0, **about))
            problem = Problem(0, crew, self.services.clock.monotonic())
            try:
                problem.statement = await self._design(problem, brief)
                await self._write_tests(problem)
            except ProblemEnded as end:
                raise EnvironmentExecutionException(str(end), code="no_problem", subject=self.environment_name) from end
            state = ChallengeState(
                episode_id=episode_id,
                concepts=list(brief.concepts),
                difficulty=brief.difficulty,
                problem_statement=problem.statement,
                attempts_left=attempts,
            )
            self._played = _Played(problem, state, agents.pop_all(), attempts)
        return ChallengeObservation(problem_statement=problem.statement, attempts_left=attempts)

    async def step(self, action: CodeAction) -> ChallengeObservation:
        """Judge a program. The episode ends when it passes, and is truncated after the last attempt.

        It is truncated too where the judge or the tests failed rather than the program; nothing is rewarded then.
        """
        played = self._playing()
        problem, state = played.problem, played.state
        program = extract_code(action.code, self.language) or action.code
        try:
            verdict = await self._judged(problem, program)
        except ProblemEnded as end:
            self._record(problem, None, output=str(end), fault=end.fault)
            return self._unmeasured(played, "no_verdict")
        state.step_count += 1
        if verdict.fault in NO_REWARD_FAULTS:
            self._record(problem, verdict)
            return self._unmeasured(played, verdict.outcome)
        state.attempts_left -= 1
        state.solved = verdict.success
        score = await self._scored(played, verdict)
        observation = _observed(played, verdict, score.value)
        graded: dict[str, Any] = {}
        if self.config.rubric is not None:
            observation.metadata["rubric"] = dict(score.parts)
            graded = {"reward": score.value, "rubric": dict(score.parts)}
        self._record(problem, verdict, error_feedback=None if verdict.success else observation.feedback, **graded)
        return observation

    @property
    def state(self) -> ChallengeState:
        """Where the episode stands."""
        return self._playing().state

    def system_prompt(self) -> str:
        """What a policy is told before the first problem."""
        return PROMPT if self.language == PYTHON else OTHER_PROMPT.format(language=self.language)

    def compute_reward(self) -> float | None:
        """The reward of the whole episode: what its best attempt is worth, or its best share where gains are rewarded.

        None: no program was judged.
        """
        played = self._playing()
        if not played.rewards:
            return None
        if self.config.rubric is None and self.config.reward == "shaped":
            return played.state.best_share
        return max(played.rewards)

    def episode_results(self) -> dict[str, Any]:
        """The episode so far as a node's result has it: `success` and `data_trail`, which holds the tests."""
        played = self._playing()
        return {"success": played.state.solved, "data_trail": list(played.problem.records)}

    async def close(self) -> None:
        """Let go of the episode's agents."""
        await self._leave()

    async def _leave(self) -> None:
        played, self._played = self._played, None
        if played is not None:
            await played.agents.aclose()

    def _playing(self) -> _Played:
        if self._played is None:
            raise EnvironmentExecutionException(
                f"there is no episode of {self.environment_name!r} yet: reset begins one", code="no_episode"
            )
        return self._played

    async def _scored(self, played: _Played, verdict: Verdict) -> RubricScore:
        state = played.state
        share = played.shares.of(verdict)
        gain = max(0.0, share - state.best_share)
        state.best_share = max(state.best_share, share)
        number = played.attempts - state.attempts_left
        score = await self._grades.score(None, Attempt(verdict, share, gain, number, played.attempts))
        played.rewards.append(score.value or 0.0)
        return score

    @cached_property
    def _grades(self) -> Rubric:
        return rubric_of(self.config.reward, self.config.rubric)

    def _unmeasured(self, played: _Played, outcome: str) -> ChallengeObservation:
        return ChallengeObservation(
            problem_statement=played.state.problem_statement,
            feedback="The program could not be judged, which is no fault of its own.",
            outcome=outcome,
            attempts_left=played.state.attempts_left,
            done=True,
            truncated=True,
        )


def _observed(played: _Played, verdict: Verdict, reward: float | None) -> ChallengeObservation:
    state = played.state
    passed, failed, errored = verdict.tests_passed_num, verdict.tests_failed_num, verdict.tests_errored_num
    ends = verdict.success or state.attempts_left == 0
    again = "" if ends else f" Attempts left: {state.attempts_left}."
    return ChallengeObservation(
        problem_statement=state.problem_statement,
        feedback=f"{counts_told(verdict)}{again}",
        outcome=verdict.outcome,
        success=verdict.success,
        tests_passed=passed,
        tests_failed=failed,
        tests_errored=errored,
        tests_total=passed + failed + errored or None,
        attempts_left=state.attempts_left,
        reward=reward,
        done=ends,
        truncated=ends and not verdict.success,
    )
