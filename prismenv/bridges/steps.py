"""What Gymnasium and PettingZoo are given of a step, and what they are given of an environment."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, cast

from anyio.from_thread import BlockingPortal

from prismenv.clients.environment import EnvironmentClient
from prismenv.contracts.episode import StepResult
from prismenv.contracts.face import text_field

UNMEASURED = "unmeasured"  # in an info: the step had no reward, and the 0 that stands for it says nothing
_SEEDS = 2**31


def client_of(
    environment: str, url: str | None, token: str | None, config: Mapping[str, Any] | None
) -> EnvironmentClient[Any, Any]:
    """A client of an environment on a server, or without `url` in this process. `config` is for the latter."""
    if url is None:
        return EnvironmentClient.local(environment, config=config)
    return EnvironmentClient(url, environment, token=token)


def opened(clients: Sequence[EnvironmentClient[Any, Any]], portal: BlockingPortal, stack: ExitStack) -> dict[str, Any]:
    """Open each until the stack is closed; gives the schemas, which are the same for all."""
    for client in clients:
        stack.enter_context(portal.wrap_async_context_manager(client))
    return portal.call(clients[0].schemas)


def closed_at_the_end(owner: object, stack: ExitStack) -> Callable[[], None]:
    """Closes what is on the stack when it is called, and by itself when nobody has the owner or the program ends.

    A loop in another thread cannot be told to stop any more once the interpreter is on its way out.
    """
    return cast(Callable[[], None], weakref.finalize(owner, stack.close))


def drawn_seed(random: Any) -> int:
    """The seed of an episode that nobody gave one, from a generator of NumPy's."""
    return int(random.integers(_SEEDS))


def as_action(given: Any, schema: Mapping[str, Any]) -> Any:
    """An action for a client. A text is put where the schema wants a single one."""
    field = text_field(schema) if isinstance(given, str) else None
    return given if field is None else {field: given}


def at_once(portal: BlockingPortal, works: Sequence[Callable[[], Any]]) -> list[StepResult[Any]]:
    """Do each, all at once; when all have ended the first error is raised, if there was one."""
    futures = [portal.start_task_soon(work) for work in works]
    failed = [error for future in futures if (error := future.exception()) is not None]
    if failed:
        raise failed[0]
    return [future.result() for future in futures]


def info_of(result: StepResult[Any]) -> dict[str, Any]:
    """What a step says beside its observation."""
    return {**result.info, **({UNMEASURED: True} if result.reward is None else {})}


def reward_of(result: StepResult[Any]) -> float:
    """A number in any case: 0 where nothing was measured, which the info says."""
    return 0.0 if result.reward is None else result.reward
