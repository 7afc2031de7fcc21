"""The lock of a session and of a role: one at a time, in order, and nobody who leaves takes the turn along."""

import asyncio

import anyio
import pytest

from prismenv.contracts.turn import Turn

pytestmark = pytest.mark.anyio


class Visitors:
    """Tasks that take the turn, note it, and give it back when they are let go."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.came: list[str] = []
        self.leave = {name: anyio.Event() for name in "abc"}
        self.scopes = {name: anyio.CancelScope() for name in "abc"}

    async def visit(self, name: str) -> None:
        with self.scopes[name]:
            async with self.turn:
                self.came.append(name)
                await self.leave[name].wait()


async def test_turns_come_one_at_a_time_in_order() -> None:
    visitors = Visitors()
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(visitors.visit, name)
            await anyio.wait_all_tasks_blocked()
            assert visitors.came == ["a"]
        for number, name in enumerate("abc", start=1):
            assert visitors.came == list("abc")[:number]
            visitors.leave[name].set()
            await anyio.wait_all_tasks_blocked()


async def test_who_is_cancelled_while_waiting_is_passed_over() -> None:
    visitors = Visitors()
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(visitors.visit, name)
            await anyio.wait_all_tasks_blocked()
        visitors.scopes["b"].cancel()
        visitors.leave["a"].set()
        await anyio.wait_all_tasks_blocked()
        assert visitors.came == ["a", "c"]
        visitors.leave["c"].set()


async def test_a_turn_that_meets_a_cancellation_goes_to_the_next() -> None:
    visitors = Visitors()
    async with asyncio.TaskGroup() as group:  # a task of asyncio's own can be cancelled after it was called
        for name in "ab":
            waiting = group.create_task(visitors.visit(name))
            await anyio.wait_all_tasks_blocked()
        group.create_task(visitors.visit("c"))
        await anyio.wait_all_tasks_blocked()
        await visitors.turn.__aexit__()  # calls b, which has not run yet
        waiting.cancel()
        await anyio.wait_all_tasks_blocked()
        assert visitors.came == ["a", "c"]
        visitors.leave["c"].set()
        visitors.scopes["a"].cancel()


async def test_an_error_inside_gives_the_turn_back() -> None:
    turn = Turn()
    with pytest.raises(ValueError, match="inside"):
        async with turn:
            raise ValueError("inside")
    async with turn:
        pass
