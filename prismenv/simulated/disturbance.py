"""What goes wrong between a model and its reader: answers that are none, and a provider that is away for a while."""

from prismenv.simulated.profiles import Disturbance, Profile
from prismenv.simulated.question import Question
from prismenv.words.chat import ChatRequest
from prismenv.words.errors import AgentCommunicationException

_CODES = ("rate_limited", "unavailable", "timed_out")  # what a caller should try again
_REPEATS = (1, 1, 1, 2, 2, 5)  # how often in a row; five outlasts a patient caller
_REMEMBERED = 4096  # requests that failed and did not come back yet
_FOREIGN = (
    "```javascript\nfunction solve(values) {\n  return values.map((value) => value + 1);\n}\n```",
    "Voici une solution possible : parcourez les valeurs une seule fois et gardez le meilleur résultat.",
    '```rust\nfn main() {\n    println!("{}", 42);\n}\n```',
)
_GARBAGE = ("\x00\x01\x02", "}{][ ```python ```", "<<<<<<<< 0xDEADBEEF", "�" * 40, "def def def ((((", "None")
_HUGE = 2**20  # characters


class Outages:
    """Makes a provider be away for the first few times that the same request is sent.

    A retry sends the same request again, so it has to be told apart from the first one: that count, for requests that
    failed and have not yet been answered, is all that the simulated model remembers between calls.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._failures: dict[tuple[object, ...], int] = {}

    def check(self, question: Question) -> None:
        """Raise AgentCommunicationException while the provider is away for this request."""
        key = _key(question.request)
        wanted = question.random.choice(_REPEATS)
        code = question.random.choice(_CODES)
        failures = self._failures.pop(key, 0)
        if failures == wanted:
            return
        if len(self._failures) >= _REMEMBERED:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = failures + 1
        raise AgentCommunicationException(
            f"{self._model} is away for a while, as this simulated profile is meant to be; ask again",
            code=code,
            subject=self._model,
        )


def drawn(question: Question, profile: Profile) -> Disturbance | None:
    """The disturbance that befalls this question; None mostly."""
    draw = question.random.random()
    for kind, chance in profile.disturbances.items():
        draw -= chance
        if draw < 0:
            return kind
    return None


def disturbed_answer(kind: Disturbance, question: Question) -> str:
    """The answer that stands in the place of a real one."""
    if kind == "garbage":
        return question.random.choice(_GARBAGE)
    if kind == "huge":
        line = f"# simulated flood {question.random.randrange(10**6)}\n"
        return line * (_HUGE // len(line) + 1)
    if kind == "other_language":
        return question.random.choice(_FOREIGN)
    return question.random.choice(("", " \n"))


def _key(request: ChatRequest) -> tuple[object, ...]:
    last = request.messages[-1].content if request.messages else ""
    return request.seed, request.role, len(request.messages), last
