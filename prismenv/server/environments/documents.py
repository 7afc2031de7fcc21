"""What the server of environments says of itself: an OpenAPI document with every environment's own types."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from prismenv.contracts.face import EpisodeTypes
from prismenv.contracts.health import NOT_CONFIGURED
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.environments.batches import CALLS
from prismenv.server.limits import MAX_DEPTH, MAX_NAME
from prismenv.server.openapi import document, object_schema, operation, parameter, reference

TITLE = "prismenv environments"
Schemas = Mapping[str, dict[str, Any]]  # `action`, `observation`, `state`

_ERRORS = {
    "400": "the body is no JSON",
    "401": "no valid token",
    "403": "without tokens: not by a name of this machine; or from a page of another origin",
    "404": "there is no such environment here, or it has no such face",
    "408": "the body did not come in time",
    "409": "there is no episode (`no_episode`), or it is over (`episode_over`)",
    "410": "the instance was taken away",
    "413": "the body is too large",
    "415": "the body is not application/json",
    "422": f"the body has not the right form (`errors` says where), or is nested more than {MAX_DEPTH} levels deep",
    "500": "the environment failed; `code` says how",
    "503": "no place became free in time, or the server is stopping; see Retry-After",
    "504": "the environment did not end in time",
}
_EPISODE = "401 403 404 408 409 410 413 415 422 500 503 504 400"
_READING = "401 403 404"
_OPEN = "403 503"
_LITERAL = ("default", "const", "enum", "examples")  # what stands there is data, and no schema
_NAMED = ("properties", "patternProperties", "dependentSchemas")  # schemas by names
_OWN = "#/$defs/"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]")


def _maybe(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


_TEXT = {"type": "string"}
_ID = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_SECONDS = {"type": "number", "exclusiveMinimum": 0}
_EPISODE_ID = {**_maybe(_ID), "description": "Which instance: any name; none is the token's default one."}
_SESSION = parameter("X-Session-ID", "header", "The same as episode_id, which it stands over.")
_MCP_SESSION = parameter("Mcp-Session-Id", "header", "The session that initialize began.")
_OBJECT: dict[str, Any] = {"type": "object"}
_SHARED: dict[str, Any] = {
    "Error": object_schema(
        ("detail",),
        detail=_TEXT,
        code=_TEXT,
        errors={"type": "array", "items": _OBJECT, "description": "Which fields of the action are wrong, and how."},
    ),
    "Reset": object_schema(
        seed={**_maybe({"type": "integer", "minimum": 0}), "description": "The same seed, the same episode."},
        episode_id=_EPISODE_ID,
    ),
    "Challenge": object_schema(
        ("concept", "difficulty_level"),
        concept={"type": ["string", "array"], "items": _TEXT, "description": "What is measured; `concepts` too."},
        difficulty_level=_TEXT,
        max_attempts=_maybe({"type": "integer", "minimum": 1}),
        timeout={**_maybe(_SECONDS), "description": "Seconds for all of it."},
    ),
    "Results": object_schema(
        ("success", "data_trail"), success={"type": "boolean"}, data_trail={"type": "array", "items": _OBJECT}
    ),
    "Health": object_schema(
        ("status", "service"),
        status={"enum": ["healthy", "degraded", "unhealthy", NOT_CONFIGURED, "stopping"]},
        service=_TEXT,
        environments={**_OBJECT, "description": "What each said; for those with a token alone."},
    ),
    "Message": object_schema(
        ("jsonrpc",),
        jsonrpc={"const": "2.0"},
        id={
            "type": ["string", "integer", "null"],
            "description": "Of a request and its answer; a notification has none.",
        },
        method=_TEXT,
        params=_OBJECT,
        result=_OBJECT,
        error=_OBJECT,
    ),
    "Batch": object_schema(
        resets={**_OBJECT, "description": "Of reset: options by id."},
        steps={**_OBJECT, "description": "Of step: by id an object with `action`, `timeout_s` and `request_id`."},
        ids={
            "type": "array",
            "items": {"type": ["string", "integer"]},
            "description": "Of the others: which instances.",
        },
        request_id={**_maybe(_ID), "description": "The name of all of it: the same again is answered, and not done."},
        ids2seeds=_OBJECT,
        ids2actions=_OBJECT,
        env_ids={"type": "array", "items": {"type": ["string", "integer"]}},
    ),
    "Outcomes": object_schema(results=_OBJECT, errors={**_OBJECT, "description": "By id, as a session tells them."}),
    "Named": object_schema(("ids2configs",), ids2configs=_OBJECT),
    "Metadata": object_schema(("name", "description", "version"), name=_TEXT, description=_TEXT, version=_TEXT),
    "Schemas": object_schema(("action", "observation", "state"), action=_OBJECT, observation=_OBJECT, state=_OBJECT),
}


def schemas_of(hosted: HostedEnvironments, name: str) -> Schemas:
    """JSON Schemas of an environment's `action`, `observation` and `state`."""
    return EpisodeTypes(type(hosted.make(name, 0))).schemas()


def describe(hosted: HostedEnvironments, only: str | None, *, secured: bool) -> dict[str, Any]:
    """The OpenAPI 3.1 document. `only`: the environment that is served at the root too, None: none is.

    `secured`: a token is asked for.
    """
    schemas, paths = dict(_SHARED), dict(_common(hosted, only))
    for name in hosted.names:
        prefix = f"/environments/{name}"
        stepped = "episode" in hosted.faces(name)
        if stepped:
            schemas.update(_types(name, schemas_of(hosted, name)))
        for at in (prefix, "") if name == only else (prefix,):
            paths.update(_of_one(name, at, stepped=stepped))
    return document(TITLE, paths, schemas, secured=secured)


def _common(hosted: HostedEnvironments, only: str | None) -> Iterator[tuple[str, Any]]:
    measured = [name for name in hosted.names if "node" in hosted.faces(name)]
    which = parameter("environment_name", "query", "Whose challenge it is.")
    which["schema"] = {"enum": measured}
    yield "/", {"get": _operation("What is served; a page for people, JSON for others.", errors="401 403", free=True)}
    yield "/health", {"get": _operation("Whether the environments could run now.", "Health", errors=_OPEN, free=True)}
    yield "/metrics", {"get": _operation("Counters in Prometheus' text format.", errors="401 403")}
    yield "/openapi.json", {"get": _operation("This document.", errors="401 403")}
    yield "/docs", {"get": _operation("This document for people.", errors="401 403")}
    named = _operation(
        "Name instances, as VAGEN's trainers do.", body="Named", errors="400 401 403 404 408 413 415 422 503"
    )
    yield "/environments", {"post": named}
    if measured:
        run = _operation(
            "Measure a concept at a difficulty: PrismBench's challenge.",
            "Results",
            body="Challenge",
            parameters=(which,) if only is None else (),
            errors="400 401 403 404 408 413 415 422 500 503 504",
        )
        yield "/run-challenge", {"post": run}


def _of_one(name: str, at: str, *, stepped: bool) -> Iterator[tuple[str, Any]]:
    yield f"{at}/metadata", {"get": _operation(f"What {name} is.", "Metadata", errors=_READING)}
    yield f"{at}/schema", {"get": _operation(f"The types of {name}.", "Schemas", errors=_READING)}
    message = _operation(
        f"A message of MCP to {name} (JSON-RPC 2.0); a notification is answered by 202 and nothing.",
        "Message",
        body="Message",
        parameters=(_MCP_SESSION,),
        errors="400 401 403 404 408 413 415 422 500 503",
    )
    end = _operation(f"End a session of MCP with {name}.", parameters=(_MCP_SESSION,), errors="400 401 403 404 503")
    yield f"{at}/mcp", {"post": message, "delete": end}
    if at:
        health = _operation(f"Whether {name} could run now.", "Health", errors="403 404 503", free=True)
        yield f"{at}/health", {"get": health}
    if not stepped:
        return
    reset = _operation(
        f"Begin an episode of {name}; further keys are its own options.",
        f"{name}.Result",
        body="Reset",
        needs_body=False,
        parameters=(_SESSION,),
        errors=_EPISODE,
    )
    step = _operation(
        f"Step the episode of {name}.",
        f"{name}.Result",
        body=f"{name}.Step",
        parameters=(_SESSION,),
        errors=_EPISODE,
    )
    which = {**parameter("episode_id", "query", "Which instance."), "schema": _ID}
    state = _operation(
        f"The state of {name}'s episode.",
        f"{name}.State",
        parameters=(_SESSION, which),
        errors="401 403 404 410 422 500 503 504",
    )
    for kind in CALLS:
        batch = _operation(
            f"{kind} of many instances of {name} at once, each with a result or an error of its own.",
            "Outcomes",
            body="Batch",
            errors=_EPISODE,
        )
        yield f"{at}/batch/{kind}", {"post": batch}
    yield f"{at}/reset", {"post": reset}
    yield f"{at}/step", {"post": step}
    yield f"{at}/state", {"get": state}


def _operation(summary: str, answer: str | None = None, *, errors: str, **parts: Any) -> dict[str, Any]:
    return operation(summary, answer, errors={status: _ERRORS[status] for status in sorted(errors.split())}, **parts)


def _types(name: str, schemas: Schemas) -> Iterator[tuple[str, Any]]:
    """The components of one environment: its types, and what a step and its result are made of."""
    for kind, schema in schemas.items():
        own = {key: value for key, value in schema.items() if key != "$defs"}
        names = {each: f"{name}.{_NOT_IN_A_NAME.sub('_', each)}" for each in schema.get("$defs", {})}
        yield f"{name}.{kind.capitalize()}", _moved(own, names)
        for each, inner in schema.get("$defs", {}).items():
            yield names[each], _moved(inner, names)
    yield (
        f"{name}.Step",
        object_schema(
            ("action",),
            action=reference(f"{name}.Action"),
            episode_id=_EPISODE_ID,
            timeout_s={**_maybe(_SECONDS), "description": "Seconds for it."},
            request_id={**_maybe(_ID), "description": "The step's name: the same again is answered, and not done."},
        ),
    )
    yield (
        f"{name}.Result",
        object_schema(
            ("observation", "reward", "done"),
            observation=reference(f"{name}.Observation"),
            reward={"type": ["number", "null"]},
            done={"type": "boolean"},
            metadata={**_OBJECT, "description": "What the author told beside it; `truncated` where it was cut off."},
        ),
    )


def _moved(schema: Any, names: Mapping[str, str]) -> Any:
    """The schema with its references to definitions of its own turned to components of the document."""
    if isinstance(schema, list):
        return [_moved(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _moved_value(key, value, names) for key, value in schema.items()}


def _moved_value(key: str, value: Any, names: Mapping[str, str]) -> Any:
    if key in _LITERAL:
        return value
    if key in _NAMED:  # their keys are an author's, whatever they look like
        return {name: _moved(each, names) for name, each in value.items()}
    if key == "$ref":
        return _component(value, names)
    if key == "discriminator":
        targets = {kind: _component(target, names) for kind, target in value.get("mapping", {}).items()}
        return {**value, **({"mapping": targets} if targets else {})}
    return _moved(value, names)


def _component(target: str, names: Mapping[str, str]) -> str:
    name = names.get(target.removeprefix(_OWN))
    return target if name is None else f"#/components/schemas/{name}"
