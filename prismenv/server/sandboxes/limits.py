"""What clients can make the service of a sandbox hold, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SandboxServiceLimits:
    """All of them are held; what comes beyond is refused with a status that says so.

    `waiting`: judgements and programs that may wait for their turn, `waiting_bytes` what their questions may have
    together; so it is with calls of sessions, beside them. `per_token`: how many of one token may run or wait, None: no
    limit of its own; `sessions_per_token`: how many sessions of one may be open. `session_calls`: calls of sessions
    that run at once. `queue_seconds`: who had no turn by then is told to ask again. `grace_seconds`: what runs when the
    service is told to stop may go on for so long.
    """

    waiting: int = 1_024
    waiting_bytes: int = 512 * 2**20
    per_token: int | None = None
    sessions_per_token: int | None = None
    session_calls: int = 32
    queue_seconds: float = 60.0
    grace_seconds: float = 30.0
    body_bytes: int = 16 * 2**20
    header_bytes: int = 2**15
    connections: int = 4_096
    header_seconds: float = 10.0
    body_seconds: float = 30.0
