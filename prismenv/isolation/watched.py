"""One guest as its supervisor sees it: what is still to be sent to it, what it told, what it printed, that it ended."""

import contextlib
import os
import socket
import time
from collections.abc import Sequence

from prismenv.isolation.launch import Conversation, Guest
from prismenv.words.errors import ProtocolException

READ_BYTES = 2**16


class Printed:
    """What all guests of a run printed so far, held to one limit. `flooded`: they printed more than that."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.taken = 0
        self.flooded = False

    def cut(self, data: bytes) -> bytes:
        """As much of `data` as there is room for."""
        room = self._most_bytes - self.taken
        self.taken += min(len(data), room)
        self.flooded = self.flooded or len(data) > room
        return data[:room]


class Watched:
    """`chunks` are its payload. `violation` is what it told and must not have told, in words; empty: nothing."""

    def __init__(self, guest: Guest, chunks: Sequence[bytes], conversation: Conversation) -> None:
        self.guest = guest
        self.conversation = conversation
        self.violation = ""
        self.exited = False
        self._unsent: list[memoryview] = [memoryview(each) for each in chunks]
        self._parts: dict[int, list[bytes]] = {stream: [] for stream in guest.streams}

    @property
    def waits_to_send(self) -> bool:
        """Whether some of its payload could not be sent yet."""
        return bool(self._unsent)

    def begin(self) -> None:
        """Send what fits; nothing of it blocks from here on."""
        self.guest.channel.settimeout(0)
        for stream in self._parts:
            os.set_blocking(stream, False)
        self.send()

    def send(self) -> None:
        """Send as much of the payload as it takes now."""
        while self._unsent:
            try:
                sent = self.guest.channel.send(self._unsent[0])
            except BlockingIOError:
                return
            except OSError:
                self._unsent.clear()  # it has died: its exit says how
                return
            self._unsent[0] = self._unsent[0][sent:]
            if not self._unsent[0]:
                del self._unsent[0]

    def hear(self) -> bool:
        """Take what it told; False when nothing more will come that means anything."""
        if self.violation:
            return False
        try:
            data = self.guest.channel.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        try:
            self.conversation.hear(data, time.monotonic())
        except ProtocolException as error:
            self.violation = error.message
            return False
        return True

    def read(self, stream: int, printed: Printed) -> bool:
        """Take what came on a stream; False when nothing more will."""
        try:
            data = os.read(stream, READ_BYTES)
        except BlockingIOError:
            return True
        self._parts[stream].append(printed.cut(data))
        return bool(data)

    def drain(self, printed: Printed) -> None:
        """Take all that it left behind; also after a limit, for what it told before tells whose code was running."""
        before = -1
        while printed.taken != before:
            before = printed.taken
            for stream in self._parts:
                self.read(stream, printed)
        while not self.conversation.finished and self._heard_more():
            continue

    def look(self) -> bool:
        """Ask whether it has ended."""
        self.exited = self.exited or self.guest.has_ended()
        return self.exited

    def output(self, number: int) -> bytes:
        """What it printed on one of its streams; empty for one that it has not."""
        streams = list(self._parts)
        return b"".join(self._parts[streams[number]]) if number < len(streams) else b""

    def _heard_more(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(self.guest.channel.recv(1, socket.MSG_PEEK)) and self.hear()
        return False
