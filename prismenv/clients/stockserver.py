"""A server of OpenEnv's, started from its `openenv.yaml`, and ended with all that it has started."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import anyio
import anyio.to_thread

from prismenv.clients.schemas import fetched_schemas
from prismenv.finding.openenvfile import find_manifest, load_manifest
from prismenv.words.errors import HostException, ProtocolException

START_SECONDS = 60.0
_CLOSING_SECONDS = 5.0
_ATTEMPTS = 3  # a port that was free may be taken by then
_POLL_SECONDS = 0.05
_TOLD_BYTES = 2000  # of what a server said that did not start
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT")
_HERE = "127.0.0.1"


@asynccontextmanager
async def openenv_server(
    place: str | os.PathLike[str],
    *,
    python: str | os.PathLike[str] | None = None,
    variables: Sequence[str] = (),
    start_seconds: float = START_SECONDS,
) -> AsyncIterator[str]:
    """The address of the server that the manifest at `place`, a file or its folder, names; it listens on this machine
    alone, and ends with the block.

    `python` has the environment's packages, None: this one. It is given no variables but the usual ones and those named
    in `variables`: keys of models are none of its business. Raises ConfigurationException for what is wrong with the
    manifest, HostException with the end of what the server said where it does not answer within `start_seconds`.
    """
    path = find_manifest(Path(place))
    manifest = load_manifest(path)
    command = [str(python or sys.executable), "-m", "uvicorn", manifest.app, "--host", _HERE, "--no-access-log"]
    environment = {name: os.environ[name] for name in (*_PASSED, *variables) if name in os.environ}
    with tempfile.TemporaryFile() as output:
        process, url = await _started(command, path.resolve().parent, environment, output, start_seconds)
        try:
            yield url
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_end, process)


async def _started(
    command: list[str], folder: Path, environment: dict[str, str], output: IO[bytes], seconds: float
) -> tuple["subprocess.Popen[bytes]", str]:
    for attempt in range(1, _ATTEMPTS + 1):
        port = _free_port()
        process = _launched([*command, "--port", str(port)], folder, environment, output)
        url = f"http://{_HERE}:{port}"
        try:
            with anyio.move_on_after(seconds):
                await _until_healthy(url, process)
                if process.poll() is None:
                    return process, url
        except BaseException:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_end, process)
            raise
        ended = process.poll()
        await anyio.to_thread.run_sync(_end, process)
        told = _end_of(output)
        if ended is None or "address already in use" not in told or attempt == _ATTEMPTS:
            break
    state = f"did not answer within {seconds:g} s" if ended is None else f"ended with code {ended}"
    raise HostException(f"the server of {folder} {state}:\n{told}".rstrip(), code="not_started", subject=str(folder))


def _launched(
    command: list[str], folder: Path, environment: dict[str, str], output: IO[bytes]
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603 - the command is the operator's
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise HostException(
            f"{command[0]} cannot be started: {error.strerror}", code="not_started", subject=str(folder)
        ) from error


async def _until_healthy(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until it answers, or has ended."""
    while process.poll() is None:
        with suppress(HostException, ProtocolException):
            await fetched_schemas(url, {})
            return
        await anyio.sleep(_POLL_SECONDS)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it and what it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_CLOSING_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_of(output: IO[bytes]) -> str:
    output.seek(0, os.SEEK_END)
    output.seek(max(0, output.tell() - _TOLD_BYTES))
    return output.read().decode(errors="replace")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((_HERE, 0))
        return int(listener.getsockname()[1])
