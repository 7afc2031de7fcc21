"""Which sandbox a recipe gets, and the refusal to give a weaker one than it requires."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.jail import Sandbox
from prismenv.contracts.recipe import SandboxSettings
from prismenv.isolation.jailed import JailedSandbox
from prismenv.isolation.kinds import available_kinds, best_form
from prismenv.isolation.portable import PortableSandbox
from prismenv.isolation.sessionkeeper import SessionKeeper
from prismenv.words.errors import SandboxException
from prismenv.words.verdict import Isolation

STRONGEST_FIRST: tuple[Isolation, ...] = ("full", "unprivileged", "portable")


def open_sandbox(
    settings: SandboxSettings, workers: int | None, clock: Clock | None = None, *, languages: Sequence[Path] = ()
) -> Sandbox:
    """The strongest sandbox that there is, or the one that is asked for. `workers` None: one for each processor.

    `clock` None: the system's, by which idle sessions end. `languages` are folders `sandbox` of workspaces, whose
    languages come before those that prismenv brings.

    SandboxException when the kind that is asked for is not there, or `require` names a stronger one than it would be;
    ConfigurationException for a wrong limit, or a package that is not installed.
    """
    wanted = settings.isolation
    kind = next(kind for kind in STRONGEST_FIRST if _is_there(kind)) if wanted == "auto" else wanted
    if not _is_there(kind):
        raise _refusal(kind, "is asked for")
    if settings.require is not None and STRONGEST_FIRST.index(kind) > STRONGEST_FIRST.index(settings.require):
        raise _refusal(settings.require, "is required", chosen=kind)
    count, form = workers or usual_workers(), best_form(kind)
    options: dict[str, Any] = {
        "limits": settings.limits,
        "verdict": settings.verdict,
        "packages": settings.packages,
        "languages": languages,
        "sessions": SessionKeeper(settings.sessions, clock or SystemClock()),
    }
    if form is None:
        return PortableSandbox(count, settings.ceiling, **options)
    return JailedSandbox(count, settings.ceiling, **options, form=form)


def _is_there(kind: Isolation) -> bool:
    return kind == "portable" or best_form(kind) is not None


def _refusal(kind: Isolation, why: str, chosen: Isolation | None = None) -> SandboxException:
    kinds = available_kinds()
    there = ", ".join(name for name, state in kinds.items() if state == "ok")
    reason = f"{chosen} was chosen" if kinds[kind] == "ok" else kinds[kind].rstrip(".")
    return SandboxException(
        f"{kind} isolation {why} ({reason}); there is: {there}",
        code="isolation_unavailable",
        subject=kind,
        hint="Run it where that kind is available, or ask for one that is there: sandbox.isolation, sandbox.require.",
    )


def usual_workers() -> int:
    """How many sandboxes work at once unless somebody says otherwise: one for each processor that is ours."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
