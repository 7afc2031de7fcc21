"""The simulated solver, fixer and test generator: right as often as the profile says, else wrong as models are."""

from prismenv.simulated.bank import Challenge
from prismenv.simulated.lookup import Lookup
from prismenv.simulated.mutants import mutants_of
from prismenv.simulated.phrasing import write_code, write_prose
from prismenv.simulated.profiles import Profile, first_attempt_chance
from prismenv.simulated.programs import CRASHES, LOOPS, USUAL, cut_off, language_of, load_programs
from prismenv.simulated.question import Question
from prismenv.simulated.stage import Stage
from prismenv.simulated.variants import CRASHES as PYTHON_CRASHES
from prismenv.simulated.variants import SUFFIXES, crashing, hanging, misspelt, renamed

UNKNOWN = (
    "I am a simulated model: I can only solve the challenges of my own bank, and this text is none of them. I have no"
    " program to offer."
)
NO_SUITE = (
    "I am a simulated model: I have suites for the challenges of my own bank only, and this text is none of them. I"
    " cannot write tests for it."
)
_PLAIN = 0.7  # how often the reference is written down without renaming


def solve(question: Question, stage: Stage) -> str:
    """An answer to a challenge, or to the report of a failed attempt."""
    return _answer(question, stage, stage.profile.feedback if question.is_repeated() else 1.0)


def fix(question: Question, stage: Stage) -> str:
    """An answer to somebody else's failed attempt."""
    return _answer(question, stage, stage.profile.fixing)


def write_suite(question: Question, stage: Stage) -> str:
    """The suite of the challenge that the question gives."""
    challenge = challenge_of(question, stage.lookup)
    if challenge is None:
        return NO_SUITE
    if language_of(question) != USUAL:
        task = load_programs().get(challenge.id)
        return write_code(task.suite, question.random, "yaml") if task else NO_SUITE
    return write_code(challenge.tests, question.random)


def challenge_of(question: Question, lookup: Lookup) -> Challenge | None:
    """The challenge that the question is about: the one of its input, else the one last spoken of; None if unknown."""
    statement = question.text("problem_statement") or question.text("error_feedback")
    found = lookup.find(statement) if statement else None
    if found:
        return found
    return next((challenge for turn in question.turns() if (challenge := lookup.find(turn))), None)


def _answer(question: Question, stage: Stage, skill: float) -> str:
    challenge = challenge_of(question, stage.lookup)
    if challenge is None:
        return UNKNOWN
    language = language_of(question)
    if language != USUAL:
        return _program(question, stage, skill, challenge, language)
    random = question.random
    if random.random() < skill * _first_chance(question, stage.profile, challenge):
        code = challenge.solution if random.random() < _PLAIN else renamed(challenge, random.choice(SUFFIXES))
        return write_code(code, random)
    return _wrong(question, stage.profile, challenge)


def _program(question: Question, stage: Stage, skill: float, challenge: Challenge, language: str) -> str:
    """The same as a whole program in another language."""
    task, random = load_programs().get(challenge.id), question.random
    if task is None:
        return UNKNOWN
    if random.random() < skill * _first_chance(question, stage.profile, challenge):
        return write_code(task.right[language], random, language)
    kind = _mistake(question, stage.profile)
    if kind == "prose":
        return write_prose(random)
    made = {"timeout": LOOPS[language], "crash": CRASHES[language], "syntax": cut_off(task.right[language])}
    return write_code(made.get(kind) or random.choice(task.wrong[language]), random, language)


def _mistake(question: Question, profile: Profile) -> str:
    kinds = tuple(profile.mistakes)
    (kind,) = question.random.choices(kinds, [profile.mistakes[kind] for kind in kinds])
    return kind


def _first_chance(question: Question, profile: Profile, challenge: Challenge) -> float:
    concepts = question.label_concepts() or challenge.concepts
    difficulty = question.label_difficulty() or challenge.difficulty
    success = profile.success_chance(concepts, difficulty)
    return first_attempt_chance(success, profile.feedback, profile.fixing)


def _wrong(question: Question, profile: Profile, challenge: Challenge) -> str:
    random, kind = question.random, _mistake(question, profile)
    if kind == "prose":
        return write_prose(random)
    if kind == "timeout":
        code = hanging(challenge)
    elif kind == "crash":
        code = crashing(challenge, random.choice(PYTHON_CRASHES))
    elif kind == "syntax":
        code = misspelt(challenge, cut_off=random.choice((True, False)))
    else:
        code = random.choice(mutants_of(challenge))
    return write_code(code, random)
