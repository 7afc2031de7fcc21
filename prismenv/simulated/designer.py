"""The simulated challenge designer: it sets the bank's challenges."""

import re
from collections.abc import Iterable, Sequence

from prismenv.simulated.bank import CONCEPTS, DIFFICULTIES, Challenge
from prismenv.simulated.phrasing import write_statement
from prismenv.simulated.programs import USUAL, language_of, load_programs
from prismenv.simulated.question import Question, as_list
from prismenv.simulated.stage import Stage
from prismenv.words.errors import ConfigurationException
from prismenv.words.nearness import did_you_mean

_LEVELS = {level: number for number, level in enumerate(DIFFICULTIES)}
_CONCEPT_STEP = 2  # one concept too many or too few counts as much as two levels
_FOREIGN = 100  # further than anything that shares a concept


def set_challenge(question: Question, stage: Stage) -> str:
    """A challenge for the concepts and difficulty asked for.

    The exact cell first, then the challenge fewest steps away; one that is among the previous problems only when all
    others are used up. In another language than Python there are ten challenges, one for each concept. A concept or
    difficulty that the bank has not is a ConfigurationException: a challenge on something else would be measured under
    its name.
    """
    concepts, difficulty = _asked(question)
    used = {challenge.id for text in _previous(question) for challenge in stage.lookup.mentioned(text)}
    programs = {} if language_of(question) == USUAL else load_programs()
    known = [challenge for challenge in stage.bank.challenges if not programs or challenge.id in programs]
    pool = [challenge for challenge in known if challenge.id not in used] or known
    challenge = question.random.choice(_nearest(pool, concepts, difficulty))
    statement = programs[challenge.id].statement(challenge.statement) if programs else challenge.statement
    return write_statement(statement, question.random)


def _asked(question: Question) -> tuple[tuple[str, ...], str]:
    """Concepts and difficulty as the bank writes them; empty where nothing names any."""
    concepts = question.concepts()
    for concept in concepts:
        if concept not in CONCEPTS:
            raise _unknown("challenges on", concept, CONCEPTS)
    asked = question.difficulty()
    difficulty = re.sub(r"[\s_-]+", " ", asked.casefold())
    if difficulty and difficulty not in _LEVELS:
        raise _unknown("difficulty", asked, DIFFICULTIES)
    return concepts, difficulty


def _unknown(what: str, name: str, known: Sequence[str]) -> ConfigurationException:
    shown = name[:80]
    return ConfigurationException(
        f"the simulated model has no {what} {shown!r}{did_you_mean(name, known)}; it knows: {', '.join(known)}",
        code="not_in_bank",
        subject=shown,
    )


def _previous(question: Question) -> Iterable[str]:
    """The texts in which earlier problems may stand; the whole prompt when the request gives no inputs."""
    inputs = question.request.inputs
    return map(str, as_list(inputs.get("previous_problems") or ())) if inputs else (question.last_turn(),)


def _nearest(pool: list[Challenge], concepts: tuple[str, ...], difficulty: str) -> list[Challenge]:
    wanted = frozenset(concepts)
    level = _LEVELS.get(difficulty)
    steps = [_steps(challenge, wanted, level) for challenge in pool]
    fewest = min(steps)
    return [challenge for challenge, distance in zip(pool, steps, strict=True) if distance == fewest]


def _steps(challenge: Challenge, wanted: frozenset[str], level: int | None) -> int:
    distance = 0 if level is None else abs(_LEVELS[challenge.difficulty] - level)
    if wanted:
        distance += _CONCEPT_STEP * len(wanted.symmetric_difference(challenge.concepts))
        if wanted.isdisjoint(challenge.concepts):
            distance += _FOREIGN
    return distance
