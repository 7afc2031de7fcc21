"""What one client can make the server of environments hold, and for how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WireLimits:
    """All of them are held; what comes beyond is refused.

    `message_bytes`: the longest body of a request, and message of a WebSocket. `pending`: how many messages of a
    connection are read ahead of the one that is answered. `send_seconds`: a client that takes an answer no sooner is
    left. `ping_seconds`: how often a session's client is asked whether it is there, and how long it may take to say so.
    `grace_seconds`: how long calls that run may go on when the server is told to stop.
    """

    message_bytes: int = 16 * 2**20
    header_bytes: int = 2**15
    connections: int = 8_192
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    send_seconds: float = 30.0
    ping_seconds: float = 20.0
    pending: int = 8
    grace_seconds: float = 30.0
