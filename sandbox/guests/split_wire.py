"""Frames over the socket between the two processes: a length of four bytes, then so many bytes."""

import posix

from split_codec import FRAME_BYTES, MalformedError

PREFIX_BYTES = 4
READ_BYTES = 2**16


class ClosedError(Exception):
    """The other process is gone."""


class Wire:
    """One end. Not for two threads at once: whoever holds the turn uses it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held = b""

    def send(self, body: bytes) -> None:
        """Send one frame. ClosedError when nobody is there; MalformedError, with nothing sent, when it is too large."""
        if len(body) > FRAME_BYTES:
            raise MalformedError(f"{len(body)} bytes are more than may cross at once ({FRAME_BYTES})")
        data = len(body).to_bytes(PREFIX_BYTES, "big") + body
        try:
            sent = posix.write(self._descriptor, data)
            if sent < len(data):
                rest = memoryview(data)[sent:]
                while rest:
                    rest = rest[posix.write(self._descriptor, rest) :]
        except OSError:
            raise ClosedError from None

    def receive(self) -> bytes:
        """The next frame. ClosedError at the end; MalformedError for a length that is not allowed."""
        held = self._held
        while len(held) < PREFIX_BYTES:
            held += self._read(READ_BYTES)
        size = int.from_bytes(held[:PREFIX_BYTES], "big")
        if size > FRAME_BYTES:
            raise MalformedError(f"a frame of {size} bytes")
        end = PREFIX_BYTES + size
        if len(held) < end:
            parts, have = [held], len(held)
            while have < end:
                part = self._read(max(READ_BYTES, min(end - have, 2**20)))
                parts.append(part)
                have += len(part)
            held = b"".join(parts)
        self._held = held[end:]
        return held[PREFIX_BYTES:end]

    def _read(self, most: int) -> bytes:
        try:
            data = posix.read(self._descriptor, most)
        except OSError:
            data = b""
        if not data:
            raise ClosedError
        return data
