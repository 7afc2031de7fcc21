"""Whether an environment could run now."""

import shutil
import tempfile
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread

from prismenv.contracts.archive import Store
from prismenv.contracts.jail import Sandbox
from prismenv.contracts.services import Services
from prismenv.words.errors import EnvironmentException

LOW_DISK_BYTES = 512 * 2**20
CHECK_SECONDS = 10.0
HEALTHY = "healthy"
NOT_USED = "not used"  # an environment outside a run keeps nothing
NOT_CONFIGURED = "not configured"  # how a check begins of what the user has to name, and did not; so is the status then


async def check_health(
    environment_name: str, services: Services, roles: tuple[str, ...], own: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Agents, sandbox, store and disk, and an author's own checks. Pinging an agent costs no tokens.

    `unhealthy`: nothing could be measured (the sandbox, or every agent). `degraded`: something is wrong.
    `not configured`: nothing is, but it cannot be used before the user names what a check says.
    """
    checks: dict[str, str] = {}
    async with anyio.create_task_group() as tasks:
        for role in roles:
            checks[f"agent_{role}"] = "unhealthy: not checked"
            tasks.start_soon(_check_agent, services, role, checks)
        tasks.start_soon(_check_sandbox, services.sandbox, checks)
    checks["store"] = await _check_store(services.store)
    folders = {tempfile.gettempdir(), str(services.folder)}
    free = min(shutil.disk_usage(folder).free for folder in folders)
    checks["disk_space"] = "ok" if free >= LOW_DISK_BYTES else "low"
    extra = dict(own or {})
    checks.update(extra.pop("checks", {}))
    return {**extra, "environment": environment_name, "status": _status(checks, roles), "checks": checks}


def _status(checks: Mapping[str, str], roles: tuple[str, ...]) -> str:
    wrong = {name for name, said in checks.items() if said not in (HEALTHY, NOT_USED, "ok")}
    agents = {f"agent_{role}" for role in roles}
    if "sandbox" in wrong or (agents and agents <= wrong):
        return "unhealthy"
    missing = {name for name in wrong if checks[name].startswith(NOT_CONFIGURED)}
    if wrong - missing:
        return "degraded"
    return NOT_CONFIGURED if missing else HEALTHY


async def _check_agent(services: Services, role: str, checks: dict[str, str]) -> None:
    try:
        with anyio.fail_after(CHECK_SECONDS):
            await services.interface.ping(role)
    except TimeoutError:
        checks[f"agent_{role}"] = f"unhealthy: no answer within {CHECK_SECONDS:g} s"
    except EnvironmentException as error:
        checks[f"agent_{role}"] = f"unhealthy: {error}"
    else:
        checks[f"agent_{role}"] = HEALTHY


async def _check_sandbox(sandbox: Sandbox, checks: dict[str, str]) -> None:
    try:
        execution = await sandbox.run("print(6 * 7)")
    except EnvironmentException as error:
        checks["sandbox"] = f"unhealthy: {error}"
        return
    right = execution.stdout.strip() == "42"
    checks["sandbox"] = HEALTHY if right else f"unhealthy: {execution.outcome} {execution.message or execution.stderr}"


async def _check_store(store: Store | None) -> str:
    if store is None:
        return NOT_USED
    try:
        await anyio.to_thread.run_sync(store.runs)
    except EnvironmentException as error:
        return f"unhealthy: {error}"
    return HEALTHY
