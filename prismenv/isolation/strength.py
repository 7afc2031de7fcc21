"""Which kind of isolation is stronger than which."""

from prismenv.words.verdict import Isolation

STRONGEST_FIRST: tuple[Isolation, ...] = ("full", "unprivileged", "docker", "portable")


def is_weaker(kind: Isolation, than: Isolation) -> bool:
    """Whether code is kept in less well by `kind`."""
    return STRONGEST_FIRST.index(kind) > STRONGEST_FIRST.index(than)
