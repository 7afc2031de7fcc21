"""Workers for languages that run by tools of the host: their zygotes show these tools, and are started when needed.

Each pair of workers has its own, so that one thread at a time uses one, as it does with the pair.
"""

import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from prismenv.isolation.bundle import BOOT, load_bundle
from prismenv.isolation.design import Form
from prismenv.isolation.kit import LanguageKit, LanguageShelf
from prismenv.isolation.language import Role
from prismenv.isolation.rootplan import root_plan
from prismenv.isolation.seccomp import filter_programs, load_profile
from prismenv.isolation.syscalls import numbers_here
from prismenv.isolation.worker import Worker, WorkerPair
from prismenv.isolation.zygote import ZygoteDesign


class ToolShed:
    """`place` gives a new empty folder for a worker."""

    def __init__(self, form: Form, shelf: LanguageShelf, place: Callable[[], Path]) -> None:
        self._form = form
        self._shelf = shelf
        self._place = place
        self._designs: dict[tuple[str, Role], ZygoteDesign] = {}
        self._workers: dict[tuple[int, str, Role], Worker] = {}

    def worker(self, pair: WorkerPair, kit: LanguageKit, role: Role) -> Worker:
        """The one that serves a pair's runs of a language in a role. SandboxException when there can be none."""
        key = (id(pair), kit.profile.language, role)
        if key not in self._workers:
            self._workers[key] = Worker(self._design(kit, role), self._place(), self._form)
        return self._workers[key]

    def emptied(self) -> list[Worker]:
        """All that there are, for whoever closes them; there are none afterwards."""
        workers, self._workers = list(self._workers.values()), {}
        return workers

    def _design(self, kit: LanguageKit, role: Role) -> ZygoteDesign:
        key = (kit.profile.language, role)
        if key not in self._designs:
            self._designs[key] = _tool_design(kit, role, self._form, self._shelf)
        return self._designs[key]


def _tool_design(kit: LanguageKit, role: Role, form: Form, shelf: LanguageShelf) -> ZygoteDesign:
    profile = kit.profile
    phase = profile.compile if role == "compile" and profile.compile is not None else profile
    calls = load_profile(phase.seccomp, *shelf.seccomp_folders())
    shown = kit.chain.shown(phase.shows) if kit.chain is not None else []
    parts = kit.guest.tool_zygote_parts(role)
    config = {
        "form": form,
        "numbers": numbers_here(),
        "filters": asdict(filter_programs(calls, platform.machine(), alone=form == "alone")),
        "root": {name: list(value) for name, value in asdict(root_plan(shown)).items()},
        "environment": list(kit.guest_environment),
        "packages": None,
        "runs_own": role == "run" and profile.compile is not None,
        "warm_modules": [],
        "warm_parts": [],
        "rehearsals": [],
        "on_demand": [],
    }
    command = profile.filled(kit.guest.start, boot=BOOT)
    code = load_bundle(shelf.home / "guests", parts).chunk
    return ZygoteDesign(command, dict(kit.guest_environment), code, config)
