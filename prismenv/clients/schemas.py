"""What a server says of an environment's actions, observations and state: one request over HTTP, beside a session."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread

from prismenv.words.errors import HostException, ProtocolException

SCHEMAS_SECONDS = 30.0
MOST_SCHEMA_BYTES = 4 * 2**20
_OK = 200


async def fetched_schemas(address: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """JSON Schemas of `action`, `observation` and `state`, from beside the WebSocket at `address` (.../ws).

    HostException when the server cannot be reached or has none; ProtocolException when what it sends is none.
    """
    return await anyio.to_thread.run_sync(_fetch, address, headers, abandon_on_cancel=True)


def _fetch(address: str, headers: Mapping[str, str]) -> dict[str, Any]:
    parts = urlsplit(address)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    kind = http.client.HTTPSConnection if parts.scheme == "wss" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=SCHEMAS_SECONDS)
    try:
        connection.request("GET", f"{parts.path.removesuffix('/ws')}/schema", headers=dict(headers))
        answer = connection.getresponse()
        body = answer.read(MOST_SCHEMA_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise HostException(f"{shown} does not tell its schemas: {error}", code="unreachable") from error
    finally:
        connection.close()
    if answer.status != _OK:
        raise HostException(f"{shown} does not tell its schemas: status {answer.status}", code="refused")
    return _read(body, shown)


def _read(body: bytes, shown: str) -> dict[str, Any]:
    try:
        found = json.loads(body[:MOST_SCHEMA_BYTES])
    except (ValueError, RecursionError) as error:
        raise ProtocolException(f"{shown} sent schemas that are no JSON: {error}") from error
    wanted = ("action", "observation", "state")
    if not isinstance(found, dict) or not all(isinstance(found.get(name), dict) for name in wanted):
        raise ProtocolException(f"{shown} sent no schemas of action, observation and state")
    return {name: found[name] for name in wanted}
