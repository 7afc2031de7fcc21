"""Guest parts as code: compiled once for each installation, and kept where Python keeps the code of its modules.

The format is Python's own for code that is checked by its source (PEP 552), at the optimisation that guests are
compiled with. Whoever could write such a file could write the source beside it, or prismenv's own modules.
"""

import marshal
import os
import sys
import threading
from contextlib import suppress
from functools import cache
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path
from types import CodeType

OPTIMISATION = 2  # without docstrings and assertions
_CHECKED_BY_SOURCE = (0b11).to_bytes(4, "little")


@cache
def compiled(path: Path, source: bytes) -> CodeType:
    """The code of the part at `path`, whose text is `source`. Compiling all takes longer than starting a sandbox."""
    head = MAGIC_NUMBER + _CHECKED_BY_SOURCE + source_hash(source)
    kept = Path(cache_from_source(str(path), optimization=OPTIMISATION))
    code = _read(kept, head)
    if code is None:
        code = compile(source, f"<prismenv {path.stem}>", "exec", dont_inherit=True, optimize=OPTIMISATION)
        if not sys.dont_write_bytecode:
            _write(kept, head + marshal.dumps(code))
    return code


def _read(kept: Path, head: bytes) -> CodeType | None:
    """What is kept there; None: nothing, or it is of another text or Python, or cut off."""
    with suppress(OSError, EOFError, ValueError, TypeError):
        data = kept.read_bytes()
        if data.startswith(head):
            code = marshal.loads(data[len(head) :])  # noqa: S302 - Python reads its modules' code the same way
            return code if isinstance(code, CodeType) else None
    return None


def _write(kept: Path, data: bytes) -> None:
    """Keep it, whole or not at all. Where that cannot be, as in an installation of another user's, it is compiled

    each time.
    """
    fresh = kept.with_name(f"{kept.name}.{os.getpid()}.{threading.get_ident()}")
    with suppress(OSError):
        kept.parent.mkdir(exist_ok=True)
        try:
            fresh.write_bytes(data)
            fresh.replace(kept)
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
