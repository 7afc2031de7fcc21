"""Whether everything that a run needs is there: the facts behind `prismenv doctor`."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio.to_thread
import pydantic
import sqlalchemy

from prismenv.contracts.recipe import SandboxSettings
from prismenv.engine.languagecheck import LanguageState, probe_languages
from prismenv.engine.stock import take_stock
from prismenv.finding.catalog import Catalog
from prismenv.finding.workspace import WorkspaceSet
from prismenv.isolation.choice import open_sandbox
from prismenv.isolation.docker import engine_state
from prismenv.isolation.kinds import available_kinds
from prismenv.store.database import open_store
from prismenv.words.errors import EnvironmentException, StorageException

LOW_DISK_BYTES = 2**30
Status = Literal["ok", "absent", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `detail` says what was found, and for a failure what to do.

    `absent` is what this machine or version does not have and nothing here needs.
    """

    name: str
    status: Status
    detail: str


async def check_up(workspaces: WorkspaceSet, store: str) -> list[Check]:
    """Look at Python, workspaces, plugins, sandbox, store and disk. A failure is a check that failed, no exception.

    Nothing is left behind: a store that is not there is not made.
    """
    sandbox = await _sandbox_checks()
    return [
        Check("python", "ok", f"{platform.python_version()} at {sys.executable}"),
        Check("libraries", "ok", f"pydantic {pydantic.VERSION}, SQLAlchemy {sqlalchemy.__version__}"),
        *(Check("workspace", "ok", f"{place.root} ({place.origin})") for place in workspaces.members),
        *_catalog_checks(take_stock(workspaces)),
        *sandbox,
        *await _language_checks(workspaces),
        _guarded("store", lambda: _look_at_store(store)),
        _disk_check("disk", workspaces.project_folder),
        _disk_check("disk for the sandbox", Path(tempfile.gettempdir())),
    ]


def _guarded(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", look())
    except EnvironmentException as error:
        return Check(name, "failed", str(error))


def _look_at_store(location: str) -> str:
    try:
        with closing(open_store(location, create=False)) as store:
            count = len(store.runs())
            return f"{store.location}: {count} {'run' if count == 1 else 'runs'}"
    except StorageException as error:
        if error.code != "store_missing":
            raise
        if error.subject is not None and "://" in error.subject:
            return f"none yet; the first run makes its tables in {error.subject}"
        folder = Path(error.subject or location).parent
        nearest = folder if folder.is_dir() else folder.parent
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise StorageException(
                f"{nearest} cannot be written, so a run could not make its store there",
                hint="Name another place with PRISMENV_STORE or output.store.",
            ) from error
        return f"none yet; the first run makes {error.subject}"


def _catalog_checks(catalog: Catalog) -> Iterator[Check]:
    broken = [entry for entry in catalog.entries if entry.error]
    for entry in broken:
        place, reason = entry.path or entry.origin, str(entry.error)
        yield Check(f"{entry.kind} {entry.name}", "failed", reason if place in reason else f"{place}: {reason}")
    for kind in dict.fromkeys(entry.kind for entry in catalog.entries):
        found = catalog.of(kind)
        bad = sum(entry.error is not None for entry in found)
        yield Check(kind, "ok", f"{len(found) - bad} sound" + (f", {bad} broken" if bad else ""))


async def _sandbox_checks() -> list[Check]:
    kinds = [
        Check(f"isolation {kind}", "ok" if state == "ok" else "absent", state)
        for kind, state in available_kinds().items()
    ]
    docker = await anyio.to_thread.run_sync(engine_state, os.environ)
    kinds.append(Check("isolation docker", "ok" if docker == "ok" else "absent", docker))
    try:
        async with open_sandbox(SandboxSettings(), 1) as sandbox:
            found = await sandbox.probe()
    except EnvironmentException as error:
        return [*kinds, Check("sandbox", "failed", str(error))]
    return [
        *kinds,
        Check("sandbox", "ok", f"{sandbox.isolation} isolation is in force"),
        *(Check(f"sandbox {name}", "ok" if said.startswith("ok") else "warning", said) for name, said in found.items()),
    ]


async def _language_checks(workspaces: WorkspaceSet) -> list[Check]:
    try:
        states = await probe_languages(workspaces)
    except EnvironmentException as error:  # what keeps the sandbox from opening has a check of its own
        return [Check("languages", "warning", f"their probes could not be run: {error.message}")]
    return [Check(f"language {state.name}", _status(state), state.words) for state in states if not state.broken]


def _status(state: LanguageState) -> Status:
    return "absent" if state.missing else "ok" if state.probe == "ok" and not state.capped else "warning"


def _disk_check(name: str, folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    status: Status = "ok" if free >= LOW_DISK_BYTES else "warning"
    return Check(name, status, f"{free / 2**30:.1f} GiB free in {folder}")
