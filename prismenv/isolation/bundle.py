"""Guest code, compiled once and sent to every guest over its socket: never read from a disk that it could write to."""

import hashlib
import marshal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prismenv.isolation.bytecode import compiled
from prismenv.isolation.language import GuestParts

# The first line of every guest: reads two chunks from descriptor 0, its own code and the payload. marshal decodes what
# this process encoded and the other way round never happens. Parts find each other by name while they are loaded, and
# nobody finds them afterwards; who asks for one once more is given the same, so that what one part changes in another
# is changed for all. Guests read builtins from a copy of their own: what a solution does to the real ones changes
# nothing for the harness.
BOOT = """
import builtins, marshal, posix, sys
own = dict(vars(builtins))
def take():
    parts, left, size = [], 8, 0
    while left:
        part = posix.read(0, min(left, 1 << 20))
        if not part:
            posix._exit(70)
        parts.append(part)
        left -= len(part)
        if not left and not size:
            left = size = int.from_bytes(b"".join(parts), "big")
            parts = []
    return marshal.loads(b"".join(parts))
def load(name):
    if name in parts:
        return parts[name]
    module = parts[name] = type(sys)(name)
    module.__builtins__ = own
    sys.modules.update(parts)
    try:
        exec(codes[name], module.__dict__)
    finally:
        for each in parts:
            sys.modules.pop(each, None)
    return module
parts = {}
codes, order = take()
module = [load(name) for name in order][-1]
module.main(take(), load)
"""


BRIDGE = 3  # the descriptor that a guest of a pair has of the other one


def boot(bridge: int | None) -> str:
    """The first line of a guest that is started as a process. `bridge` is what it inherits to have it as BRIDGE."""
    if bridge is None or bridge == BRIDGE:
        return BOOT
    return f"\nimport posix\nposix.dup2({bridge}, {BRIDGE})\nposix.close({bridge}){BOOT}"


@dataclass(frozen=True, slots=True)
class GuestBundle:
    """Compiled guest parts as one chunk; `digest` names their source."""

    chunk: bytes
    digest: str


def chunk(value: Any) -> bytes:
    """One length-prefixed value for the guest: numbers, strings, bytes, None, and tuples, lists, dicts of them."""
    data = marshal.dumps(value)
    return len(data).to_bytes(8, "big") + data


def load_bundle(folder: Path, parts: GuestParts) -> GuestBundle:
    """Compile the parts found in `folder`. OSError when one is not there."""
    digest = hashlib.sha256()
    codes = {}
    for name in (*parts.parts, *parts.on_demand):
        path = folder / f"{name}.py"
        source = path.read_bytes()
        digest.update(name.encode() + b"\0" + source + b"\0")
        codes[name] = compiled(path, source)
    return GuestBundle(chunk=chunk((codes, list(parts.parts))), digest=digest.hexdigest()[:16])
