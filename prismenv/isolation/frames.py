"""Decodes what a guest sends. Everything in it may have been written by the code under judgement."""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from prismenv.words.errors import ProtocolException

FRAME_BYTES = 4 * 2**20
TOTAL_BYTES = 32 * 2**20
PREFIX_BYTES = 4


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number here")


# One for all frames: making it costs more than using it. It takes no white space around a value: no guest sends any.
_DECODER = json.JSONDecoder(parse_constant=_no_constant)


class FrameDecoder:
    """Cuts a byte stream into frames: a length of four bytes, the nonce, a JSON array whose first item is a word.

    Lengths are checked before anything is kept. ProtocolException for anything else than a frame.
    """

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce.encode("ascii")
        self._held = bytearray()
        self._total = 0

    @property
    def holds_part(self) -> bool:
        """Whether the beginning of a frame has come whose rest has not."""
        return bool(self._held)

    def feed(self, data: bytes) -> Iterator[list[Any]]:
        """The frames that `data` completes, one by one: those before a bad one are good, and tell where it was."""
        self._total += len(data)
        if self._total > TOTAL_BYTES:
            raise ProtocolException(f"the guest sent more than {TOTAL_BYTES} bytes of results")
        held: bytes | bytearray = data  # mostly nothing is kept, and nothing has to be
        if self._held:
            self._held += data
            held = self._held
        at, end, least, most = 0, len(held), len(self._nonce), FRAME_BYTES
        try:
            while end - at >= PREFIX_BYTES:
                begin = at + PREFIX_BYTES
                size = int.from_bytes(held[at:begin], "big")
                if not least < size <= most:
                    raise ProtocolException(f"a frame of {size} bytes is not one of the guest's")
                if end < begin + size:
                    break
                at = begin + size
                yield self._decode(held[begin:at])
        finally:
            if held is self._held:
                del held[:at]
            elif at < end:
                self._held += held[at:]

    def _decode(self, body: bytes | bytearray) -> list[Any]:
        if not body.startswith(self._nonce):
            raise ProtocolException("a frame does not carry the run's nonce")
        try:
            text = body[len(self._nonce) :].decode("ascii")
            frame, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError) as error:
            raise ProtocolException(f"a frame is no JSON: {error}") from error
        if end != len(text):
            raise ProtocolException("a frame is no JSON: something follows it")
        if not isinstance(frame, list) or not frame or not isinstance(frame[0], str):
            raise ProtocolException("a frame is no array that begins with a word")
        return frame
