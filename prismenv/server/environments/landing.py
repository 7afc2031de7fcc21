"""The page at `/`: what is served, with its types, and a form in which each environment can be tried.

It is made here and loads two files from here. All that is not ours is escaped: names, what authors say, schemas; what
environments answer is put in by the script, as text. The policy of the page lets nothing else run, load or be framed.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from prismenv import __version__
from prismenv.engine.host.opening import HostedEnvironments
from prismenv.server.environments.documents import TITLE, Schemas, schemas_of

_ASSETS = Path(__file__).parent / "assets"
ASSETS = {"landing.js": "text/javascript", "landing.css": "text/css"}  # by name their types
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Vary": "Accept",
}
_EXAMPLES: Mapping[str, Any] = {
    "string": "",
    "integer": 0,
    "number": 0,
    "boolean": False,
    "array": [],
    "object": {},
    "null": None,
}


def asset(name: str) -> bytes:
    """One of ASSETS."""
    return (_ASSETS / name).read_bytes()


def wants_page(accept: str) -> bool:
    """Whether an Accept header is a browser's, that is, names HTML."""
    return "text/html" in accept.lower()


def landing_page(hosted: HostedEnvironments) -> str:
    """The page."""
    sections = "".join(
        _section(name, hosted.about(name), hosted.faces(name), schemas_of(hosted, name)) for name in hosted.names
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<title>{TITLE}</title><link rel="stylesheet" href="assets/landing.css">'
        '<script src="assets/landing.js" defer></script></head>'
        f"<body><h1>{TITLE} {escape(__version__)}</h1>"
        '<p><a href="docs">All addresses</a>, <a href="openapi.json">openapi.json</a>, '
        '<a href="health">health</a>, <a href="metrics">metrics</a></p>'
        f"{sections}</body></html>"
    )


def example_of(schema: Mapping[str, Any]) -> Any:
    """Something of the schema's form to begin with: its required fields, empty."""
    if "default" in schema:
        return schema["default"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        fields = schema.get("properties", {})
        return {name: example_of(fields[name]) for name in schema.get("required", ()) if name in fields}
    return _EXAMPLES.get(kind) if isinstance(kind, str) else {}


def _section(name: str, about: str, faces: Sequence[str], schemas: Schemas) -> str:
    address = f"environments/{name}"
    types = "".join(
        f"<details><summary>{kind}</summary><pre>{escape(json.dumps(schema, indent=2))}</pre></details>"
        for kind, schema in schemas.items()
    )
    stepped = "episode" in faces
    form = _form(schemas["action"]) + types if stepped else "<p>It is run by <code>POST /run-challenge</code>.</p>"
    return (
        f'<section id="{escape(name)}"{_address(address) if stepped else ""}><h2>{escape(name)}</h2>'
        f"<p>{escape(about)}</p><p>Faces: {escape(', '.join(faces))}. Address: <code>/{escape(address)}</code></p>"
        f"{form}</section>"
    )


def _address(address: str) -> str:
    return f' data-address="{escape(address)}"'


def _form(action: Mapping[str, Any]) -> str:
    begin = escape(json.dumps(example_of(action), indent=2))
    return (
        '<label>Options of reset, such as {"seed": 1}<textarea class="options" rows="2">{"seed": 1}</textarea></label>'
        '<button type="button" data-call="reset">Reset</button>'
        f'<label>Action<textarea class="action" rows="4">{begin}</textarea></label>'
        '<button type="button" data-call="step">Step</button>'
        '<button type="button" data-call="state">State</button>'
        '<div class="answers" aria-live="polite"></div>'
    )
