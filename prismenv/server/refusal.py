"""A request that is not done, and what its client is told: a status of HTTP, a code and a sentence."""

from prismenv.words.errors import (
    AgentCommunicationException,
    BudgetException,
    ConfigurationException,
    ProtocolException,
)

RETRY_SECONDS = 1.0
# What may pass is answered with a status that clients repeat; what will not is 424, which they do not.
_MODEL_STATUSES = {"rate_limited": 429, "session_busy": 429, "timed_out": 504, "unavailable": 502}
_LASTING = 424
_ABSENT = frozenset({"unknown_role", "no_model", "unknown_model"})


class Refusal(ProtocolException):
    """`retry_after_seconds` None: to ask again would not help, or nobody knows when."""

    def __init__(self, status: int, code: str, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.retry_after_seconds = retry_after_seconds


def stopping() -> Refusal:
    """Nothing was done, or what was begun was given up: the same request can be made again, here or elsewhere."""
    return Refusal(503, "stopping", "the service is stopping; ask again", RETRY_SECONDS)


def too_many(what: str, most: int) -> Refusal:
    """There is no room now."""
    return Refusal(429, "too_many", f"there are {most:,} {what} already, and no more are taken", RETRY_SECONDS)


def no_session(session_id: str) -> Refusal:
    """It does not exist, or is somebody else's: nobody can tell which."""
    return Refusal(404, "unknown_session", f"Session {session_id!r} not found")


def of_configuration(error: ConfigurationException) -> Refusal:
    """The service cannot do what was asked: a role that it does not have, or inputs that no template takes."""
    told = str(error).removeprefix(f"{error.place}: ") if error.place else str(error)
    return Refusal(404 if error.code in _ABSENT else 422, error.code, told)


def of_budget(error: BudgetException) -> Refusal:
    """The service has spent what its recipe allows: until it is started again nothing is asked."""
    return Refusal(_LASTING, error.code, str(error))


def of_model(error: AgentCommunicationException) -> Refusal:
    """The model gave no answer, after all repetitions."""
    status = _MODEL_STATUSES.get(error.code, _LASTING)
    return Refusal(status, error.code, str(error), error.retry_after_seconds if status == 429 else None)  # noqa: PLR2004
