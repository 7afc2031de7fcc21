"""Errors of environments as HTTP tells them."""

from typing import Any

from starlette.responses import Response

from prismenv.server.application import answered, refused
from prismenv.server.refusal import Refusal
from prismenv.words.errors import (
    ActionException,
    ConfigurationException,
    DeadlineException,
    EnvironmentException,
    HostException,
    RegistryException,
)

_RETRY_SECONDS = 1.0
_OUT_OF_ORDER = ("no_episode", "episode_over")
_GONE = 410
_LOST = ("closed", "session_lost")


def told(error: EnvironmentException) -> Response:
    """What a client is told of an error: a status, `detail` and `code`, and `errors` where single fields are wrong."""
    refusal = error if isinstance(error, Refusal) else Refusal(_status(error), error.code, str(error), _retry(error))
    response = refused(refusal)
    if isinstance(error, ActionException) and error.errors:
        document: dict[str, Any] = {"detail": str(error), "code": error.code, "errors": list(error.errors)}
        response = answered(document, refusal.status)
    return response


def _status(error: EnvironmentException) -> int:
    if isinstance(error, ActionException | ConfigurationException):
        return 422
    if isinstance(error, RegistryException) or error.code in ("no_episode_face", "no_node_face"):
        return 404
    if isinstance(error, HostException):
        return _GONE if error.code in _LOST else 503
    if isinstance(error, DeadlineException):
        return 504
    return 409 if error.code in _OUT_OF_ORDER else 500


def _retry(error: EnvironmentException) -> float | None:
    return _RETRY_SECONDS if isinstance(error, HostException) and error.code not in _LOST else None
