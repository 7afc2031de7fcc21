"""Starts a plain program: writes its files, lowers limits, gives it its input, and becomes it.

Serves every language. The control socket is closed by the exec, so the program holds nothing but its three streams.
"""

import posix
from collections.abc import Callable
from types import ModuleType
from typing import Any

from guest_process import limit_data, limit_memory, limit_process, open_channel, write_file


def main(payload: dict[str, Any], _load: Callable[[str], ModuleType]) -> None:
    """Never returns: the process becomes the program, or ends having said why it could not."""
    send = open_channel(payload["nonce"])
    try:
        write_file(".input", payload["stdin"].encode("utf-8", "surrogatepass"))
        given = posix.open(".input", posix.O_RDONLY)
        posix.unlink(".input")  # before the files are there: one of them may have that name
        posix.dup2(given, 0)
        posix.close(given)
        for name, text in payload["files"].items():
            write_file(name, text.encode("utf-8", payload["errors"]))
        for name, content in payload["built"].items():
            write_file(name, content, 0o700)
        limit_process(payload["limits"], payload["marker"])
        limit = limit_memory if payload["address_space"] else limit_data
        limit(payload["limits"]["memory_bytes"])
        send("ready")
        if payload["environment"] is None:
            posix.execv(payload["command"][0], payload["command"])
        folder = posix.getcwd()
        environment = {"HOME": folder, "TMPDIR": folder, **payload["environment"]}
        posix.execve(payload["command"][0], payload["command"], environment)
    except OSError as error:
        send("unstarted", f"{type(error).__name__}: {error}")
    posix._exit(70)  # noqa: SLF001 - its public name
