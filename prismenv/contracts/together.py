"""Several works at once, of which one that fails ends all."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from prismenv.words.errors import EnvironmentException

T = TypeVar("T")


async def all_or_none(works: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """What each comes to, in their order. The first EnvironmentException of one cancels the others and is raised."""
    found: dict[int, T] = {}
    failed: list[EnvironmentException] = []

    async def one(index: int, work: Callable[[], Awaitable[T]]) -> None:
        try:
            found[index] = await work()
        except EnvironmentException as error:
            failed.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for index, work in enumerate(works):
            group.start_soon(one, index, work)
    if failed:
        raise failed[0]
    return [found[index] for index in range(len(works))]
