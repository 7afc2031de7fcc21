"""The simulated model: it answers at once, by ability profile and seed, from the challenge bank.

Everything that an answer depends on is in the request (role, inputs, labels, messages, seed) and the profile, so it
does not matter in which order or how many at a time questions are asked.
"""

from collections.abc import Callable

from prismenv.contracts.clock import Clock
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext
from prismenv.simulated.bank import load_bank
from prismenv.simulated.designer import set_challenge
from prismenv.simulated.disturbance import Outages, disturbed_answer, drawn
from prismenv.simulated.lookup import Lookup
from prismenv.simulated.player import act
from prismenv.simulated.profiles import Profile, load_profile
from prismenv.simulated.question import Question, seed_of
from prismenv.simulated.reviewer import analyse_errors, describe_patterns, validate_tests
from prismenv.simulated.solver import fix, solve, write_suite
from prismenv.simulated.stage import Stage
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException
from prismenv.words.seeding import derive_random
from prismenv.words.usage import Usage

PROVIDER = "simulated"
_ROLES: dict[str, Callable[[Question, Stage], str]] = {
    "challenge_designer": set_challenge,
    "challenge_designer_advanced": set_challenge,
    "test_generator": write_suite,
    "problem_solver": solve,
    "problem_fixer": fix,
    "test_validator": validate_tests,
    "test_error_analyzer": analyse_errors,
    "solution_pattern_analyzer": describe_patterns,
    "episode_player": act,
}


def _decline(question: Question, stage: Stage) -> str:
    return (
        f"I am a simulated model ({PROVIDER}/{stage.profile.name}) and have no part to play as"
        f" {question.request.role!r}. This is all that I can say."
    )


class SimulatedTransport(ChatTransport):
    """A model that is none: `profile` says how able it is. Answers are free; a token is four characters."""

    def __init__(self, profile: Profile, clock: Clock) -> None:
        self.model = f"{PROVIDER}/{profile.name}"
        bank = load_bank()
        self._profile = profile
        self._clock = clock
        self._stage = Stage(profile, bank, Lookup(bank))
        self._outages = Outages(self.model)

    async def complete(self, request: ChatRequest) -> ChatReply:
        if self._profile.latency_seconds:
            await self._wait(request)
        question = Question(request, derive_random(seed_of(request), self._profile.name, request.role))
        text = self._answer(question)
        return ChatReply(text, self._usage(request, text))

    async def ping(self) -> None:
        """A simulated model is always there."""

    async def _wait(self, request: ChatRequest) -> None:
        left = self._profile.latency_seconds
        if request.deadline is not None:
            left = min(left, max(0.0, request.deadline - self._clock.monotonic()))
        await self._clock.sleep(left)
        if left < self._profile.latency_seconds:
            raise AgentCommunicationException(
                f"{self.model} takes {self._profile.latency_seconds} s for an answer, and the deadline came first",
                code="timed_out",
                subject=self.model,
            )

    def _answer(self, question: Question) -> str:
        if self._profile.disturbances:
            kind = drawn(question, self._profile)
            if kind == "unavailable":
                self._outages.check(question)
            elif kind is not None:
                return disturbed_answer(kind, question)
        play = _ROLES.get(question.request.role, _decline)
        return play(question, self._stage)

    def _usage(self, request: ChatRequest, text: str) -> Usage:
        prompt = sum(len(message.content) for message in request.messages)
        return Usage(
            model=self.model,
            calls=1,
            prompt_tokens=(prompt + 3) // 4,
            completion_tokens=(len(text) + 3) // 4,
            cost_usd=0.0,
            estimated=True,
        )


def open_simulated(reference: ModelReference, context: ProviderContext) -> SimulatedTransport:
    """The simulated model that `reference` names; ConfigurationException when there is no such profile."""
    return SimulatedTransport(load_profile(reference.model), context.clock)
