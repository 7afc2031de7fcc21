"""What the service says of itself: an OpenAPI document, and the same as a page that needs nothing from elsewhere."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from prismenv.server.asking import DEFAULT_ROLE
from prismenv.server.limits import MAX_DEPTH, MAX_NAME, MAX_WAIT_SECONDS
from prismenv.server.openapi import document, object_schema, operation, page_of, parameter

_TEXT = {"type": "string"}
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_ERRORS = {
    "400": "the body is no JSON",
    "401": "no valid token",
    "404": "no such session, task or role; another token's session is not there either",
    "408": "the body did not come in time",
    "410": "the session was deleted meanwhile",
    "413": "the body is too large",
    "415": "the body is not application/json",
    "422": "the body has not the right form, or no template of the role takes these inputs",
    "424": "the model gave no answer, and to ask again would not help",
    "429": "too many sessions or questions, or the model's own limit of requests; see Retry-After",
    "502": "the model cannot be reached",
    "503": "the service is stopping; ask again",
    "504": "the model gave no answer in time",
}


_SCHEMAS: dict[str, Any] = {
    "Error": object_schema(("detail",), detail=_TEXT, code=_TEXT),
    "Initialize": object_schema(("role",), role=_NAME),
    "Initialized": object_schema(("session_id", "message"), session_id=_NAME, message=_TEXT),
    "Interact": object_schema(
        ("session_id",),
        session_id={**_NAME, "description": "Any that the client likes; it begins with its first question."},
        input_data={"type": "object", "description": f"Fills the template; at most {MAX_DEPTH} levels deep."},
        role={**_NAME, "description": f"Default: the session's, or {DEFAULT_ROLE}."},
        use_agent={"type": "boolean", "description": "PrismBench's; ignored."},
        seed={"type": ["integer", "null"], "description": "Extension: makes answers repeatable. First question only."},
        labels={"type": "object", "description": "Extension: what the session is about. First question only."},
        continues={"type": "boolean", "description": "Extension: 404 where the session is not there any more."},
        full={"type": "boolean", "description": "Extension: answer with `answer` or `error` whatever became of it."},
    ),
    "Answer": {
        "oneOf": [
            object_schema(("message", "session_id"), message=_TEXT, session_id=_NAME, answer=object_schema()),
            object_schema(("error", "session_id"), error=object_schema(("code", "message")), session_id=_NAME),
            object_schema(("task_id",), task_id=_NAME, status=_TEXT),
        ]
    },
    "Task": object_schema(
        ("status", "result", "error"),
        status={"enum": ["processing", "completed", "failed"]},
        result={"type": ["object", "null"], "properties": {"response": _TEXT}},
        error={"type": ["string", "null"]},
        code=_TEXT,
    ),
    "History": object_schema(("session_id", "history"), session_id=_NAME, history={"type": "object"}),
    "Health": object_schema(
        ("status", "service"),
        status={"enum": ["healthy", "degraded", "stopping"]},
        service=_TEXT,
        roles={"type": "object", "description": "What is found for each role; for those with a token alone."},
    ),
}


def _operation(summary: str, answer: str | None = None, *, errors: str = "", **parts: Any) -> dict[str, Any]:
    return operation(summary, answer, errors={status: _ERRORS[status] for status in errors.split()}, **parts)


_SESSION = parameter("session_id", "path", "The session.")
_KEY = parameter("Idempotency-Key", "header", "The client's name for the question: the same again is not asked twice.")
_PREFER = parameter("Prefer", "header", "wait=SECONDS: a task's end is waited for so long, and comes with the answer.")
_WAIT = parameter(
    "wait", "query", f"Answer when it is done, or after so many seconds ({MAX_WAIT_SECONDS:g}).", "number"
)
_STARTING = "400 401 404 408 413 415 422 429 503"


@cache
def describe() -> Mapping[str, Any]:
    """The OpenAPI 3.1 document."""
    interact = _operation(
        "Ask a question: the answer, or a task where the session was opened with /initialize.",
        "Answer",
        body="Interact",
        parameters=(_KEY, _PREFER),
        errors=f"{_STARTING} 410 424 502 504",
    )
    paths = {
        "/health": {"get": _operation("Whether the models can be asked.", "Health", errors="503", free=True)},
        "/initialize": {
            "post": _operation("Open a session of the older shape.", "Initialized", body="Initialize", errors=_STARTING)
        },
        "/interact": {"post": interact},
        "/task_status/{task_id}": {
            "get": _operation(
                "How far a task is.",
                "Task",
                parameters=(parameter("task_id", "path", "The task."), _WAIT),
                errors="401 404 422",
            )
        },
        "/session_history/{session_id}": {
            "get": _operation("What was said, by role.", "History", parameters=(_SESSION,), errors="401 404")
        },
        "/active_sessions": {"get": _operation("The sessions of this token, by id.", errors="401")},
        "/session/{session_id}": {
            "delete": _operation("Forget a session; what runs in it ends.", parameters=(_SESSION,), errors="401 404")
        },
        "/metrics": {"get": _operation("Counters in Prometheus' text format.", errors="401")},
    }
    return document("prismenv LLM interface", paths, _SCHEMAS)


@cache
def page() -> str:
    """The document for people."""
    return page_of(describe())
