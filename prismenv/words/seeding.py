"""Seeds that depend on what they are for, and on nothing else: not on order, not on PYTHONHASHSEED."""

import random
from hashlib import blake2b


def derive_seed(seed: int, *parts: object) -> int:
    """A 63-bit seed for the purpose named by `parts` (strings, ints, tuples of them), from a parent seed."""
    digest = blake2b(digest_size=8)
    digest.update(str(seed).encode())
    for part in parts:
        digest.update(b"\x1f")
        digest.update(repr(part).encode())
    return int.from_bytes(digest.digest(), "big") >> 1


def derive_random(seed: int, *parts: object) -> random.Random:
    """A generator of its own for the purpose named by `parts`."""
    return random.Random(derive_seed(seed, *parts))  # noqa: S311 - repeatable on purpose, no secret
