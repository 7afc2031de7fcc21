"""The warning of a server whose programs run without a jail though nobody asked for that."""

import sys

from loguru import logger

from prismenv.contracts.jail import Sandbox
from prismenv.contracts.recipe import SandboxSettings
from prismenv.isolation.kinds import available_kinds


def warn_of_no_jail(settings: SandboxSettings, sandbox: Sandbox) -> None:
    """Say so where no jail can be had, perhaps for the moment alone: what others send can do what this user can.

    On Linux alone, where a jail is to be expected.
    """
    if sys.platform != "linux" or settings.url is not None or settings.isolation != "auto":
        return
    if sandbox.isolation == "portable":
        reasons = "; ".join(state.partition(". It takes")[0] for state in available_kinds().values() if state != "ok")
        logger.warning(
            "programs run without a jail, and can do what this user can: isolation is portable ({}); "
            "sandbox.require refuses it, and sandbox.isolation=portable says that it is meant",
            reasons,
        )
