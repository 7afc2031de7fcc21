"""Coding challenges: one model sets a problem, one writes its tests, one solves it with feedback, one repairs."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from prismenv import environment_registry

from ._episode import ChallengeEpisodes, EpisodeConfig
from ._flow import FIXER, GENERATOR, PYTHON, SOLVER
from ._problem import Brief, Problem

DESIGNER = "challenge_designer"


class CodingChallengeConfig(EpisodeConfig):
    """The keys of every coding challenge. Further ones that a file brings are kept, and mean nothing here."""

    agents: list[str] = Field(default=[DESIGNER, GENERATOR, SOLVER, FIXER])
    language: str = Field(default=PYTHON, min_length=1)  # of the programs; others than python are judged by cases


@environment_registry.register("environment_coding_challenge", config=CodingChallengeConfig)
class CodingChallenge(ChallengeEpisodes):
    """Designer, test generator, solver with up to `max_attempts` attempts, fixer."""

    config: CodingChallengeConfig

    @property
    def language(self) -> str:
        """That of the configuration."""
        return self.config.language

    def agent_questions(self) -> Mapping[str, Sequence[Sequence[str]]]:
        """Those of all flows, and the designer's."""
        return {DESIGNER: (("concepts", "difficulty_level", *self._language_input()),), **super().agent_questions()}

    async def _design(self, problem: Problem, brief: Brief) -> str:
        inputs: dict[str, Any] = {"concepts": list(brief.concepts), "difficulty_level": brief.difficulty}
        inputs |= self._language_input()
        if brief.made:
            inputs["previous_problems"] = list(brief.made)
        return await self._ask(problem, DESIGNER, **inputs)
