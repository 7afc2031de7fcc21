"""What one client can make the service hold, and for how long."""

from dataclasses import dataclass

MAX_DEPTH = 64  # of the JSON in a request
MAX_NAME = 200  # characters of a session's id, a role or a key
MAX_WAIT_SECONDS = 60.0  # of one long poll


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """All of them are held; what comes beyond is refused with a status that says so.

    `grace_seconds`: what runs when the service is told to stop may go on for so long. `idle_seconds`: a session that
    nobody used for so long is forgotten. `abandoned_seconds`: a task that nobody asked for in this time is cancelled.
    `kept_seconds`: how long a finished task can be asked for. `header_seconds` and `body_seconds`: the head and the
    body of a request have come by then, or the connection is closed. `lease_seconds`: a worker that did not say for so
    long that it is there has lost its tasks, where several serve.
    """

    body_bytes: int = 4 * 2**20
    header_bytes: int = 2**15
    sessions: int = 10_000
    tasks: int = 1_000
    connections: int = 4_096
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 3600.0
    abandoned_seconds: float = 30.0
    kept_seconds: float = 300.0
    grace_seconds: float = 30.0
    lease_seconds: float = 15.0
