"""A small LLM interface service on the loopback, in both of PrismBench's shapes, that can be told to misbehave.

One thread accepts, one thread per connection answers. What was asked is in `requests`; `faults` are used up in order,
each by the next request whose path begins with its `path`.
"""

import itertools
import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

Respond = Callable[[str, Mapping[str, Any], list[dict[str, Any]]], str]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request to a path that begins with `path`.

    `late`: the request is carried out first, so that only its answer is lost. `cut` closes the connection without an
    answer; otherwise `status`, `headers` and `body` are sent after `delay_seconds`. `body` None with the status 200
    sends the true answer, late.
    """

    path: str = "/interact"
    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    cut: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it came in."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


@dataclass(slots=True)
class _Task:
    ready: threading.Event
    state: dict[str, Any]


class InterfaceServer:
    """A context manager; `url` is valid inside it.

    `respond(role, inputs, history)` makes the answers, raising where a task is to fail. `shapes` says what it speaks:
    without `task` there is no /initialize. `long_poll` False ignores `wait`, as older services do. `token` asks for it
    in every request. `task_seconds` is how long a task takes.
    """

    def __init__(
        self,
        respond: Respond,
        *,
        shapes: Literal["message", "both"] = "both",
        long_poll: bool = True,
        token: str | None = None,
        task_seconds: float = 0.0,
    ) -> None:
        self.respond = respond
        self.shapes = shapes
        self.long_poll = long_poll
        self.token = token
        self.task_seconds = task_seconds
        self.requests: list[SeenRequest] = []
        self.faults: deque[Fault] = deque()
        self.histories: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self.opened: dict[str, str] = {}  # sessions of the task shape: id to role
        self.deleted: list[str] = []
        self._tasks: dict[str, _Task] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """The address, with a port that was free."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked(self, method: str, path: str) -> list[SeenRequest]:
        """The requests with this method whose path begins with `path`, in order."""
        return [seen for seen in self.requests if seen.method == method and seen.path.startswith(path)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault_for(self, path: str) -> Fault | None:
        """The fault that this request meets; it is used up."""
        with self._lock:
            for fault in self.faults:
                if path.startswith(fault.path):
                    self.faults.remove(fault)
                    return fault
        return None

    def pause(self, seconds: float) -> None:
        """Wait, but not longer than the server lives."""
        self._stopping.wait(seconds)

    def serve(self, seen: SeenRequest) -> tuple[int, dict[str, Any]]:
        """The true answer to a request: status and JSON."""
        if self.token is not None and seen.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"detail": f"bad token: {seen.headers.get('Authorization')}"}
        head, _, rest = seen.path.lstrip("/").partition("/")
        if self.shapes == "message" and head in ("initialize", "task_status"):
            return 404, {"detail": "Not Found"}
        route = _ROUTES.get((seen.method, head))
        return route(self, unquote(rest), seen) if route else (404, {"detail": "Not Found"})

    def _health(self, _rest: str, _seen: SeenRequest) -> tuple[int, dict[str, Any]]:
        return 200, {"status": "healthy", "service": "llm_interface"}

    def _initialize(self, _rest: str, seen: SeenRequest) -> tuple[int, dict[str, Any]]:
        session_id = f"remote-{next(self._ids)}"
        self.opened[session_id] = seen.body["role"]
        self.histories[session_id] = {}
        return 200, {"session_id": session_id}

    def _interact(self, _rest: str, seen: SeenRequest) -> tuple[int, dict[str, Any]]:
        session_id, inputs = seen.body["session_id"], seen.body["input_data"]
        if session_id not in self.opened:
            text = self._say(session_id, seen.body["role"], inputs)
            return 200, {"message": text, "session_id": session_id}
        task_id = f"task-{next(self._ids)}"
        task = self._tasks[task_id] = _Task(threading.Event(), {"status": "pending"})
        work = threading.Thread(target=self._work, args=(task, session_id, inputs), daemon=True)
        work.start()
        return 200, {"task_id": task_id}

    def _work(self, task: _Task, session_id: str, inputs: Mapping[str, Any]) -> None:
        self.pause(self.task_seconds)
        try:
            text = self._say(session_id, self.opened[session_id], inputs)
            task.state = {"status": "completed", "result": {"response": text}, "error": None}
        except RuntimeError as error:
            task.state = {"status": "failed", "result": None, "error": str(error)}
        task.ready.set()

    def _say(self, session_id: str, role: str, inputs: Mapping[str, Any]) -> str:
        history = self.histories.setdefault(session_id, {}).setdefault(role, [])
        text = self.respond(role, inputs, history)
        history.append({**inputs, "response": text})
        return text

    def _task_status(self, task_id: str, seen: SeenRequest) -> tuple[int, dict[str, Any]]:
        task = self._tasks.get(task_id)
        if task is None:
            return 404, {"detail": "Task not found"}
        if self.long_poll and "wait" in seen.query:
            task.ready.wait(float(seen.query["wait"][0]))
        return 200, task.state

    def _history(self, session_id: str, _seen: SeenRequest) -> tuple[int, dict[str, Any]]:
        roles = self.histories.get(session_id)
        if roles is None:
            return 404, {"detail": "Session not found"}
        shown = {role: {"role": role, "history": entries} for role, entries in roles.items()}
        return 200, {"session_id": session_id, "history": shown}

    def _delete(self, session_id: str, _seen: SeenRequest) -> tuple[int, dict[str, Any]]:
        if self.histories.pop(session_id, None) is None:
            return 404, {"detail": "Session not found"}
        self.deleted.append(session_id)
        return 200, {"message": f"Session {session_id} deleted"}


_ROUTES: dict[tuple[str, str], Callable[[InterfaceServer, str, SeenRequest], tuple[int, dict[str, Any]]]] = {
    ("GET", "health"): InterfaceServer._health,  # noqa: SLF001 - the table belongs to the class
    ("POST", "initialize"): InterfaceServer._initialize,  # noqa: SLF001
    ("POST", "interact"): InterfaceServer._interact,  # noqa: SLF001
    ("GET", "task_status"): InterfaceServer._task_status,  # noqa: SLF001
    ("GET", "session_history"): InterfaceServer._history,  # noqa: SLF001
    ("DELETE", "session"): InterfaceServer._delete,  # noqa: SLF001
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, owner: InterfaceServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.owner = owner

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of the server's; anything else shows as usual."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 2**16  # head and body in one piece
    server: _Server

    def log_message(self, *_: Any) -> None:
        """Requests are kept, not logged."""

    def do_GET(self) -> None:
        owner, parts = self.server.owner, urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        seen = SeenRequest(self.command, parts.path, parse_qs(parts.query), dict(self.headers), body)
        owner.requests.append(seen)
        fault = owner.fault_for(parts.path)
        if fault is None:
            self._send_json(*owner.serve(seen))
        else:
            self._misbehave(owner, seen, fault)

    do_POST = do_DELETE = do_GET  # noqa: N815 - the base class names them so

    def _misbehave(self, owner: InterfaceServer, seen: SeenRequest, fault: Fault) -> None:
        if fault.late:
            owner.serve(seen)
        owner.pause(fault.delay_seconds)
        if fault.cut:
            self.close_connection = True
        elif fault.body is None and fault.status == HTTPStatus.OK:
            self._send_json(*owner.serve(seen))
        else:
            self._send(fault.status, fault.body or b"", fault.headers)

    def _send_json(self, status: int, data: Mapping[str, Any]) -> None:
        self._send(status, json.dumps(data).encode(), {})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
