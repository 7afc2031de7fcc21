"""A Docker engine on this machine, spoken to over its socket: the few calls that a sandbox needs.

It blocks, and is called in threads. There is no library in between: six calls of plain JSON over HTTP.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

from prismenv.words.errors import ConfigurationException, SandboxException

USUAL_SOCKET = "/var/run/docker.sock"
SECONDS = 30.0
MOST_BYTES = 2**22
API = "/v1.40"
_OK, _NO_CONTENT, _UNCHANGED, _ABSENT, _BAD = 200, 204, 304, 404, 400


def socket_path(given: str | None, environ: Mapping[str, str]) -> str:
    """Where the engine's socket is. ConfigurationException for an engine that is not on this machine."""
    place = given or environ.get("DOCKER_HOST") or USUAL_SOCKET
    path = place.removeprefix("unix://")
    if "://" in path or not path.startswith("/"):
        raise ConfigurationException(
            f"sandbox.docker.socket: {place!r:.200} is no socket on this machine; expected /PATH or unix:///PATH",
            code="engine_elsewhere",
            subject="sandbox.docker.socket",
            hint="Where the engine is on another machine, run `prismenv sandbox serve` there and name sandbox.url.",
        )
    return path


class _Connection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine at a socket. Every call raises SandboxException: `engine_gone` where none answers."""

    path: str

    def version(self) -> str:
        """What it calls itself."""
        told = self._asked("GET", "/version")
        return f"Docker {told.get('Version')!s:.40}, API {told.get('ApiVersion')!s:.20}"

    def require_image(self, image: str) -> None:
        """SandboxException where it has no such image; none is fetched."""
        status, _ = self._ask("GET", f"/images/{quote(image, safe='')}/json")
        if status == _ABSENT:
            raise SandboxException(
                f"the Docker engine at {self.path} has no image {image!r}",
                code="no_image",
                subject=image,
                hint=f"Fetch it once: docker pull {image}; or name another: sandbox.docker.image.",
            )

    def create(self, settings: Mapping[str, Any]) -> str:
        """Make a container and say its id."""
        return str(self._asked("POST", "/containers/create", settings)["Id"])

    def start(self, container: str) -> None:
        """Start it."""
        self._asked("POST", f"/containers/{container}/start")

    def update(self, container: str, settings: Mapping[str, Any]) -> None:
        """Change its limits."""
        self._asked("POST", f"/containers/{container}/update", settings)

    def state(self, container: str) -> dict[str, Any]:
        """How it is; empty where there is none."""
        status, told = self._ask("GET", f"/containers/{container}/json")
        state = told.get("State")
        return state if status == _OK and isinstance(state, dict) else {}

    def ended(self, label: str) -> list[str]:
        """The ids of those with this label that have ended."""
        wanted = quote(json.dumps({"label": [label], "status": ["exited", "dead"]}))
        status, told = self._ask("GET", f"/containers/json?all=1&filters={wanted}")
        listed = told.get("list", []) if status == _OK else []
        return [str(each["Id"]) for each in listed if isinstance(each, dict) and "Id" in each]

    def remove(self, container: str) -> None:
        """Kill it and remove it; nothing where there is none."""
        self._ask("DELETE", f"/containers/{container}?force=1&v=1")

    def _asked(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        status, told = self._ask(method, path, body)
        if status >= _BAD:
            message = f"{told.get('message', status)!s:.500}"
            raise SandboxException(f"the Docker engine says: {message}", code="engine_refused", subject=self.path)
        return told

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        connection = _Connection(self.path)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, API + path, data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            read = answer.read(MOST_BYTES)
            told = json.loads(read) if read else {}
        except (OSError, HTTPException, ValueError) as error:
            raise SandboxException(
                f"no Docker engine answers at {self.path}: {error}",
                code="engine_gone",
                subject=self.path,
                hint="Start it, or name its socket: sandbox.docker.socket.",
            ) from error
        finally:
            connection.close()
        return answer.status, told if isinstance(told, dict) else {"list": told}
