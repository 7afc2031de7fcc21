"""Which sandbox a recipe gets, and the refusal to give a weaker one than it requires."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.jail import Sandbox
from prismenv.contracts.recipe import SandboxSettings
from prismenv.isolation.docker import DockerSandbox
from prismenv.isolation.jailed import JailedSandbox
from prismenv.isolation.kinds import available_kinds, best_form
from prismenv.isolation.portable import PortableSandbox
from prismenv.isolation.remote import RemoteSandbox
from prismenv.isolation.sessionkeeper import SessionKeeper
from prismenv.isolation.strength import STRONGEST_FIRST, is_weaker
from prismenv.network.keys import read_key
from prismenv.network.secret import Secret
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.verdict import Isolation


def open_sandbox(  # noqa: PLR0913 - what a recipe says of it, and where it is opened
    settings: SandboxSettings,
    workers: int | None,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    *,
    languages: Sequence[Path] = (),
) -> Sandbox:
    """The strongest sandbox that there is, or the one that is asked for; where `settings` have a `url`, that one.

    `workers` None: one for each processor, or as many as the service has work for. A token's file is within `folder`,
    None: the current one; its variable is one of `environ`, None: this process's.

    `clock` None: the system's, by which idle sessions end. `languages` are folders `sandbox` of workspaces, whose
    languages come before those that prismenv brings.

    SandboxException when the kind that is asked for is not there, or `require` names a stronger one than it would be;
    ConfigurationException for a wrong limit, or a package that is not installed.
    """
    if settings.url is not None:
        return RemoteSandbox(settings, workers, _token(settings, folder or Path.cwd(), environ or os.environ))
    if settings.token is not None:
        raise ConfigurationException("sandbox.token: it is for the service at sandbox.url, and there is none").at(
            "sandbox", "token"
        )
    count = workers or usual_workers()
    options: dict[str, Any] = {
        "limits": settings.limits,
        "verdict": settings.verdict,
        "packages": settings.packages,
        "languages": languages,
        "sessions": SessionKeeper(settings.sessions, clock or SystemClock()),
    }
    if settings.isolation == "docker":
        if settings.require is not None and is_weaker("docker", settings.require):
            raise _refusal(settings.require, "is required", chosen="docker")
        return DockerSandbox(count, settings.ceiling, docker=settings.docker, **options)
    wanted = settings.isolation
    kind = (
        next(kind for kind in STRONGEST_FIRST if kind != "docker" and _is_there(kind)) if wanted == "auto" else wanted
    )
    if not _is_there(kind):
        raise _refusal(kind, "is asked for")
    if settings.require is not None and is_weaker(kind, settings.require):
        raise _refusal(settings.require, "is required", chosen=kind)
    form = best_form(kind)
    if form is None:
        return PortableSandbox(count, settings.ceiling, **options)
    return JailedSandbox(count, settings.ceiling, **options, form=form)


def _token(settings: SandboxSettings, folder: Path, environ: Mapping[str, str]) -> Secret:
    """The service's token; ConfigurationException, which does not show it, where it is not there."""
    if settings.token is None:
        return Secret("")
    try:
        return read_key(settings.token, folder, environ)
    except ConfigurationException as error:
        raise error.at("sandbox", "token") from error


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
