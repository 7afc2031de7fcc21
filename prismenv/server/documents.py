"""What the service says of itself: an OpenAPI document, and the same as a page that needs nothing from elsewhere."""

from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any

from prismenv import __version__
from prismenv.server.asking import DEFAULT_ROLE
from prismenv.server.limits import MAX_DEPTH, MAX_NAME, MAX_WAIT_SECONDS

_TEXT = {"type": "string"}
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_JSON = "application/json"
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


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


_SCHEMAS: dict[str, Any] = {
    "Error": _object(("detail",), detail=_TEXT, code=_TEXT),
    "Initialize": _object(("role",), role=_NAME),
    "Initialized": _object(("session_id", "message"), session_id=_NAME, message=_TEXT),
    "Interact": _object(
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
            _object(("message", "session_id"), message=_TEXT, session_id=_NAME, answer=_object()),
            _object(("error", "session_id"), error=_object(("code", "message")), session_id=_NAME),
            _object(("task_id",), task_id=_NAME, status=_TEXT),
        ]
    },
    "Task": _object(
        ("status", "result", "error"),
        status={"enum": ["processing", "completed", "failed"]},
        result={"type": ["object", "null"], "properties": {"response": _TEXT}},
        error={"type": ["string", "null"]},
        code=_TEXT,
    ),
    "History": _object(("session_id", "history"), session_id=_NAME, history={"type": "object"}),
    "Health": _object(
        ("status", "service"),
        status={"enum": ["healthy", "degraded", "stopping"]},
        service=_TEXT,
        roles={"type": "object", "description": "What is found for each role; for those with a token alone."},
    ),
}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(name: str) -> dict[str, Any]:
    return {_JSON: {"schema": _reference(name)}}


def _operation(  # noqa: PLR0913 - an operation has these parts
    summary: str,
    answer: str | None = None,
    *,
    body: str | None = None,
    parameters: tuple[dict[str, Any], ...] = (),
    errors: str = "",
    free: bool = False,
) -> dict[str, Any]:
    found: dict[str, Any] = {"description": "done"}
    if answer is not None:
        found["content"] = _content(answer)
    operation: dict[str, Any] = {"summary": summary, "responses": {"200": found}}
    for status in errors.split():
        operation["responses"][status] = {"description": _ERRORS[status], "content": _content("Error")}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    if parameters:
        operation["parameters"] = list(parameters)
    if free:
        operation["security"] = []
    return operation


def _parameter(name: str, where: str, about: str, kind: str = "string") -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "description": about, "schema": {"type": kind}}


_SESSION = _parameter("session_id", "path", "The session.")
_KEY = _parameter("Idempotency-Key", "header", "The client's name for the question: the same again is not asked twice.")
_PREFER = _parameter("Prefer", "header", "wait=SECONDS: a task's end is waited for so long, and comes with the answer.")
_WAIT = _parameter(
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
                parameters=(_parameter("task_id", "path", "The task."), _WAIT),
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
    return {
        "openapi": "3.1.0",
        "info": {"title": "prismenv LLM interface", "version": __version__},
        "paths": paths,
        "components": {"schemas": _SCHEMAS, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


@cache
def page() -> str:
    """The document for people."""
    parts = []
    for path, operations in describe()["paths"].items():
        for method, operation in operations.items():
            rows = "".join(
                f"<tr><td>{escape(status)}</td><td>{escape(found['description'])}</td></tr>"
                for status, found in operation["responses"].items()
            )
            given = "".join(
                f"<li><code>{escape(each['name'])}</code> ({each['in']}): {escape(each['description'])}</li>"
                for each in operation.get("parameters", ())
            )
            body = operation.get("requestBody")
            given += _fields(body["content"][_JSON]["schema"]["$ref"].rpartition("/")[2]) if body else ""
            parts.append(
                f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>"
                f"<ul>{given}</ul><table>{rows}</table>"
            )
    style = "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}td{padding:0 1em 0 0}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>prismenv LLM interface</title>'
        f"<style>{style}</style></head><body><h1>prismenv LLM interface {escape(__version__)}</h1>"
        f'<p>For machines: <a href="openapi.json">openapi.json</a>.</p>{"".join(parts)}</body></html>'
    )


def _fields(schema: str) -> str:
    described = _SCHEMAS[schema]
    return "".join(
        f"<li><code>{escape(name)}</code>{'' if name in described['required'] else ' (may be left out)'}: "
        f"{escape(str(field.get('description') or field.get('type')))}</li>"
        for name, field in described["properties"].items()
    )
