"""OpenAPI documents, and pages for people that are made of them and need nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from prismenv import __version__

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # of pages that run nothing and load nothing
JSON = "application/json"
ERROR = "Error"  # the schema of what is answered instead
_STYLE = "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}td{padding:0 1em 0 0}"


def object_schema(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    """The JSON Schema of an object."""
    return {"type": "object", "required": list(required), "properties": properties}


def reference(name: str) -> dict[str, str]:
    """A schema of the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def parameter(name: str, where: str, about: str, kind: str = "string") -> dict[str, Any]:
    """One that stands in the path, the query or a header."""
    return {"name": name, "in": where, "required": where == "path", "description": about, "schema": {"type": kind}}


def operation(  # noqa: PLR0913 - an operation has these parts
    summary: str,
    answer: str | None = None,
    *,
    body: str | None = None,
    parameters: Sequence[Mapping[str, Any]] = (),
    errors: Mapping[str, str],
    free: bool = False,
    needs_body: bool = True,
) -> dict[str, Any]:
    """What a path does. `answer` and `body` name schemas, None: there is none that is described.

    `errors`: what other statuses than 200 mean. `free`: without a token too.
    """
    found: dict[str, Any] = {"description": "done"}
    if answer is not None:
        found["content"] = _content(answer)
    told: dict[str, Any] = {"summary": summary, "responses": {"200": found}}
    for status, about in errors.items():
        told["responses"][status] = {"description": about, "content": _content(ERROR)}
    if body is not None:
        told["requestBody"] = {"required": needs_body, "content": _content(body)}
    if parameters:
        told["parameters"] = list(parameters)
    if free:
        told["security"] = []
    return told


def document(
    title: str, paths: Mapping[str, Any], schemas: Mapping[str, Any], *, secured: bool = True
) -> dict[str, Any]:
    """The OpenAPI 3.1 document. `secured`: a token is asked for, but by operations that are free."""
    told = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": __version__},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }
    return {**told, "security": [{"token": []}]} if secured else told


def page_of(told: Mapping[str, Any]) -> str:
    """The document for people."""
    title = escape(told["info"]["title"])
    parts = [
        _part(method, path, each, told["components"]["schemas"])
        for path, operations in told["paths"].items()
        for method, each in operations.items()
    ]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title} {escape(__version__)}</h1>"
        f'<p>For machines: <a href="openapi.json">openapi.json</a>.</p>{"".join(parts)}</body></html>'
    )


def _part(method: str, path: str, told: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(found['description'])}</td></tr>"
        for status, found in told["responses"].items()
    )
    given = "".join(
        f"<li><code>{escape(each['name'])}</code> ({each['in']}): {escape(each['description'])}</li>"
        for each in told.get("parameters", ())
    )
    if body := told.get("requestBody"):
        given += _fields(schemas[body["content"][JSON]["schema"]["$ref"].rpartition("/")[2]])
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2><p>{escape(told['summary'])}</p>"
        f"<ul>{given}</ul><table>{rows}</table>"
    )


def _fields(schema: Mapping[str, Any]) -> str:
    return "".join(
        f"<li><code>{escape(name)}</code>{'' if name in schema.get('required', ()) else ' (may be left out)'}: "
        f"{escape(_shown(field))}</li>"
        for name, field in schema.get("properties", {}).items()
    )


def _shown(field: Mapping[str, Any]) -> str:
    return str(field.get("description") or field.get("type") or field.get("$ref", "").rpartition("/")[2])


def _content(name: str) -> dict[str, Any]:
    return {JSON: {"schema": reference(name)}}
