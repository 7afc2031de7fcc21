"""The bridge: the one socket between the two guests of a split verdict."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager


@contextmanager
def bridges(guests: int) -> Iterator[Sequence[int | None]]:
    """The descriptor that each of one or two guests is given; a single guest has none, and that is None.

    They are closed with the block: a guest notices by its end that the other one has gone, so nobody else may hold it.
    """
    if guests == 1:
        yield (None,)
        return
    one, other = socket.socketpair()
    with closing(one), closing(other):
        yield (one.fileno(), other.fileno())
