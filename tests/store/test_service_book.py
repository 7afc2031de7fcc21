"""What the workers of an LLM service share, as two of them see it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from prismenv.contracts.servicebook import BookedSession, BookedTask, BookedWorker, ServiceBook
from prismenv.store.servicestore import MOST_NAMES, open_service_book

SESSION = BookedSession("me", "s-1", "opening-1", None, 100.0)
TASK = BookedTask("me", "task-1", "s-1", "key", "one", 100.0)


@pytest.fixture
def book(file: Path) -> Iterator[ServiceBook]:
    with closing(open_service_book(file)) as opened:
        yield opened


@pytest.fixture
def other(file: Path, book: ServiceBook) -> Iterator[ServiceBook]:
    with closing(open_service_book(file)) as opened:
        yield opened


def test_a_session_begins_once_and_is_its_owners(book: ServiceBook, other: ServiceBook) -> None:
    assert book.open(SESSION, 2) == SESSION
    assert other.open(replace(SESSION, opening="opening-2"), 2) == SESSION
    assert other.open(replace(SESSION, owner="you", opening="opening-3"), 2) is not None
    assert other.open(replace(SESSION, session_id="s-2", opening="opening-4"), 2) is None  # there is no room
    assert (book.join("opening-1", "solver", "a"), other.join("opening-1", "solver", "b")) == ("a", "a")
    assert other.join("opening-1", "designer", "c") == "c"
    assert book.join("opening-9", "solver", "d") is None
    found = other.use("me", "s-1", 100.5)
    assert found is not None
    assert (found.conversations, found.used_at) == ({"solver": "a", "designer": "c"}, 100.0)
    assert other.use("you", "s-1", 150.0).conversations == {}
    assert other.use("nobody", "s-1", 150.0) is None
    assert [each.opening for each in book.of("me")] == ["opening-1"]


def test_a_session_that_was_used_meanwhile_is_not_removed_as_idle(book: ServiceBook, other: ServiceBook) -> None:
    book.open(SESSION, 10)
    assert [each.opening for each in other.of(None, 150.0)] == ["opening-1"]
    book.use("me", "s-1", 200.0)
    assert not other.remove("opening-1", 150.0)
    assert other.remove("opening-1", 250.0)
    assert not book.remove("opening-1")
    assert (book.count_sessions(), book.present(["opening-1"])) == (0, frozenset())


def test_the_same_question_is_the_same_task_until_it_may_be_asked_again(book: ServiceBook, other: ServiceBook) -> None:
    assert book.begin(TASK) == TASK
    again = replace(TASK, task_id="task-2", worker="two")
    assert other.begin(again).task_id == "task-1"
    for changes in ({"owner": "you"}, {"session_id": "s-2"}, {"key": ""}, {"key": "", "task_id": "task-6"}):
        different = replace(again, **{"task_id": f"task-{changes}", **changes})
        assert other.begin(different) == different
    assert other.task("you", "task-1") is None
    assert other.end("task-1", "over", 110.0, again=True)
    assert not book.end("task-1", "else", 120.0, again=False)  # the first end counts
    ended = book.task("me", "task-1")
    assert ended is not None
    assert (ended.ending, ended.ended_at) == ("over", 110.0)
    assert other.begin(again) == again
    assert book.forget_tasks(115.0) == 1
    assert book.task("me", "task-1") is None


def test_what_a_worker_ran_ends_with_its_lease(book: ServiceBook, other: ServiceBook) -> None:
    for name, until in (("one", 130.0), ("two", 500.0)):
        book.beat(BookedWorker(name, "serving", until))
        book.begin(replace(TASK, task_id=name, worker=name, key=name))
    book.begin(replace(TASK, task_id="done", worker="one", key="done"))
    book.end("done", "answer", 110.0, again=False)
    assert other.bury("lost", 120.0) == 0
    assert other.bury("lost", 140.0) == 1
    assert {each.task_id: each.ending for each in book.tasks(["one", "two", "done"])} == {
        "one": "lost",
        "two": None,
        "done": "answer",
    }
    assert [each.worker for each in book.workers()] == ["two"]
    book.beat(BookedWorker("one", "stopping", 600.0, "[1]"))  # it was only slow
    assert [(each.state, each.samples) for each in other.workers()] == [("stopping", "[1]"), ("serving", "[]")]
    book.leave("two")
    book.leave("two")
    assert other.bury("lost", 150.0) == 1


def test_any_number_of_tasks_is_looked_for_at_once(book: ServiceBook) -> None:
    book.begin(TASK)
    names = [f"task-{number}" for number in range(2 * MOST_NAMES + 1)]
    assert [each.task_id for each in book.tasks(names)] == ["task-1"]
    book.asked(names, 300.0)
    found = book.task("me", "task-1")
    assert found is not None
    assert found.asked_at == 300.0
