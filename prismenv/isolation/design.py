"""What the zygotes of a sandbox are made of, in one of three forms.

`full` needs root: namespaces, a user for each slot. `userns` is the same below a user namespace. `alone` is for where
namespaces are forbidden.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from prismenv.isolation.bundle import BOOT, load_bundle
from prismenv.isolation.language import LanguageProfile, Side
from prismenv.isolation.packages import INSIDE, ONE_THREAD, PackageSet
from prismenv.isolation.rootplan import root_plan
from prismenv.isolation.seccomp import filter_programs, load_profile
from prismenv.isolation.syscalls import numbers_here
from prismenv.isolation.zygote import ZygoteDesign
from prismenv.words.verdict import Isolation

Form = Literal["full", "userns", "alone"]
KIND_OF: dict[Form, Isolation] = {"full": "full", "userns": "unprivileged", "alone": "unprivileged"}


def zygote_designs(
    profile: LanguageProfile, folder: Path, form: Form, sides: Sequence[Side], *, warm: bool = True
) -> dict[Side, ZygoteDesign]:
    """The designs for sides of one language; `folder` is the workspace's `sandbox`.

    Without `warm` nothing is loaded early.
    """
    calls = load_profile(profile.seccomp, folder / "seccomp")
    shared = {
        "form": form,
        "numbers": numbers_here(),
        "filters": asdict(filter_programs(calls, platform.machine(), alone=form == "alone")),
        "root": {name: list(value) for name, value in asdict(root_plan()).items()},
        "environment": list(profile.environment),
        "packages": None,
    }
    return {side: _design(profile, folder, side, shared, warm=warm) for side in sides}


def _design(
    profile: LanguageProfile, folder: Path, side: Side, shared: Mapping[str, Any], *, warm: bool
) -> ZygoteDesign:
    guest = profile.harness
    parts = guest.zygote_parts(side)
    config = {
        **shared,
        "warm_modules": list(guest.warm.modules) if warm else [],
        "warm_parts": [name for name in guest.warm.parts if name in parts.parts] if warm else [],
        "rehearsals": list(guest.warm.rehearsals) if warm else [],
        "on_demand": list(parts.on_demand) if warm else [],
    }
    command = profile.filled(guest.start, boot=BOOT)
    return ZygoteDesign(command, dict(profile.environment), load_bundle(folder / "guests", parts).chunk, config)


def with_packages(design: ZygoteDesign, packages: PackageSet, shelf: Path) -> ZygoteDesign:
    """A design that shows packages as well, and imports them early. `shelf` is the host's folder that shows them.

    In a private root they stand in a folder of their own; where there is none, Landlock opens the shelf and no more.
    """
    if not packages.entries:
        return design
    root = {**design.config["root"]}
    if alone := design.config["form"] == "alone":
        root["binds"] = [*root["binds"], str(shelf), *map(str, packages.entries)]
    else:
        root["packages"] = [(str(entry), f"{INSIDE}/{entry.name}") for entry in packages.entries]
    path = str(shelf) if alone else INSIDE
    shown = {"path": path, "modules": list(packages.modules), "variables": {**ONE_THREAD, "PYTHONPATH": path}}
    return replace(design, config={**design.config, "root": root, "packages": shown})
