"""Sessions: forgotten when idle, one writer each, and kept in a store across processes and their deaths."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.sessions import KeptSession, SessionArchive
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.keeping import SessionKeeper
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.store.database import open_store
from prismenv.store.sessionstore import open_sessions
from prismenv.testing.clock import ManualClock
from prismenv.testing.transport import ScriptedTransport
from prismenv.words.chat import ChatMessage, ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException, StorageException

pytestmark = pytest.mark.anyio
ASK = {"concepts": "loops", "mood": "calm"}
Open = Callable[..., Any]

# What another process does: opens the interface over the same store, says what it does, and does as it is told.
PROCESS = """
import json, sys
import anyio
import anyio.to_thread
from prismenv.contracts.clock import SystemClock
from prismenv.contracts.transport import ChatTransport
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.keeping import SessionKeeper
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.store.sessionstore import open_sessions
from prismenv.words.chat import ChatReply
from prismenv.words.usage import Usage

store, agent, session, rounds, hang = json.loads(sys.argv[1])

class Model(ChatTransport):
    calls = 0
    async def complete(self, request):
        self.calls += 1
        if self.calls == hang:
            print("hanging", flush=True)
            await anyio.sleep_forever()
        await anyio.sleep(0)
        turn = sum(message.role == "assistant" for message in request.messages)
        return ChatReply(f"turn {turn}", Usage(calls=1))
    async def ping(self):
        pass

async def main():
    clock, model, file = SystemClock(), Model(), AgentFile.model_validate(agent)
    tuning = LocalTuning(keeper=SessionKeeper(open_sessions(store), clock))
    interface = InProcessInterface({file.role: file}, lambda _: model, clock, tuning=tuning)
    name = session or await interface.initialize_session(file.role, seed=7)
    print(name, flush=True)
    for _ in range(rounds):
        await interface.interact(name, file.role, {"concepts": "loops", "mood": "calm"})
    print("done", flush=True)

anyio.run(main)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def archive(file: Path) -> Iterator[SessionArchive]:
    with closing(open_sessions(file)) as opened:
        yield opened


@pytest.fixture
def start(file: Path, agents: dict[str, AgentFile]) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts another process over the same store; it is killed at the end where it still runs."""
    with ExitStack() as stack:

        def begin(session: str | None = None, rounds: int = 1, hang: int = 0) -> "subprocess.Popen[str]":
            agent = agents["writer"].model_dump(mode="json", by_alias=True)
            words = [sys.executable, "-c", PROCESS, json.dumps([str(file), agent, session, rounds, hang])]
            process = stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            return process

        yield begin


@pytest.fixture
def opened(agents: dict[str, AgentFile]) -> Open:
    """An interface over a file of sessions, as one of several that share it."""

    @asynccontextmanager
    async def connect(
        file: Path, answers: Any = "Yes.", clock: Clock | None = None, **options: Any
    ) -> AsyncIterator[InProcessInterface]:
        clock = clock or SystemClock()
        transport = answers if isinstance(answers, ScriptedTransport) else ScriptedTransport({"writer": answers})
        with closing(open_sessions(file)) as archive:
            tuning = LocalTuning(keeper=SessionKeeper(archive, clock, **options))
            async with InProcessInterface(agents, lambda _: transport, clock, tuning=tuning) as interface:
                yield interface

    return connect


class Gate(ScriptedTransport):
    """Answers when it is opened, and knows how many wait."""

    def __init__(self) -> None:
        super().__init__(lambda _: "Yes.")
        self.waiting = 0
        self.most_of_a_session: dict[Any, int] = {}
        self._inside: dict[Any, int] = {}
        self.go = anyio.Event()

    async def complete(self, request: ChatRequest) -> ChatReply:
        name = request.labels.get("name")
        self._inside[name] = self._inside.get(name, 0) + 1
        self.most_of_a_session[name] = max(self.most_of_a_session.get(name, 0), self._inside[name])
        self.waiting += 1
        await self.go.wait()
        self._inside[name] -= 1
        return await super().complete(request)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - what is waited for is another's count
            await anyio.sleep(0.005)


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


# In memory


async def test_an_idle_session_is_forgotten_and_one_in_use_is_not(agents: dict[str, AgentFile]) -> None:
    clock = ManualClock()
    transport = ScriptedTransport({"writer": "Yes."})
    interface = InProcessInterface(agents, lambda _: transport, clock, tuning=LocalTuning(idle_seconds=60))
    idle = await interface.initialize_session("writer")
    used = await interface.initialize_session("writer")
    clock.advance(40)
    await interface.interact(used, "writer", ASK)
    clock.advance(40)
    assert await interface.reap() == 1
    await interface.interact(used, "writer", ASK)
    with pytest.raises(AgentCommunicationException, match="idle for too long") as caught:
        await interface.interact(idle, "writer", ASK)
    assert caught.value.code == "unknown_session"


async def test_a_session_that_waits_for_its_answer_is_not_idle(agents: dict[str, AgentFile]) -> None:
    clock, gate = ManualClock(), Gate()
    interface = InProcessInterface(agents, lambda _: gate, clock, tuning=LocalTuning(idle_seconds=60))
    session = await interface.initialize_session("writer")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(interface.interact, session, "writer", ASK)
        await until(lambda: gate.waiting == 1)
        clock.advance(600)
        assert await interface.reap() == 0
        gate.go.set()
    await interface.interact(session, "writer", ASK)


async def test_sessions_go_as_they_become_idle_also_when_nobody_reaps(agents: dict[str, AgentFile]) -> None:
    clock = ManualClock()
    interface = InProcessInterface(agents, lambda _: ScriptedTransport({}), clock, tuning=LocalTuning(idle_seconds=60))
    for _ in range(100):
        await interface.initialize_session("writer")
        clock.advance(1)
    assert await interface.reap() == 1  # the first 40 went when later ones came
    clock.advance(100)
    assert await interface.reap() == 59


# In memory and in a store


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "store"])
async def test_one_writer_in_a_session_and_different_sessions_at_once(
    kept: bool, agents: dict[str, AgentFile], archive: SessionArchive
) -> None:
    gate, clock = Gate(), SystemClock()
    tuning = LocalTuning(keeper=SessionKeeper(archive, clock) if kept else None)
    interface = InProcessInterface(agents, lambda _: gate, clock, tuning=tuning)
    names = ["one", "two", "three", "four"]
    sessions = {name: await interface.initialize_session("writer", labels={"name": name}) for name in names}
    async with anyio.create_task_group() as tasks:
        for session in sessions.values():
            for _ in range(3):
                tasks.start_soon(interface.interact, session, "writer", ASK)
        await until(lambda: gate.waiting == len(names))  # all sessions at once, the first writer of each
        gate.go.set()
    assert gate.most_of_a_session == dict.fromkeys(names, 1)
    for session in sessions.values():
        said = await interface.conversation(session, "writer")
        assert [message.role for message in said] == ["user", "assistant"] * 3


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "store"])
async def test_what_a_provider_is_asked_is_the_same_wherever_sessions_are_kept(
    kept: bool, agents: dict[str, AgentFile], archive: SessionArchive
) -> None:
    clock, model = ManualClock(), ScriptedTransport(lambda request: f"turn {len(request.messages)}")
    tuning = LocalTuning(keeper=SessionKeeper(archive, clock) if kept else None)
    interface = InProcessInterface(agents, lambda _: model, clock, tuning=tuning)
    session = await interface.initialize_session("writer", seed=2**63, labels={"concepts": ["loops"]})
    for _ in range(3):
        await interface.interact(session, "writer", ASK)
    asked = list(model.requests)
    assert [len(request.messages) for request in asked] == [1, 3, 5]
    assert asked[2].messages[3] == ChatMessage("assistant", "turn 3")
    assert len({request.seed for request in asked}) == 3
    assert asked[0].labels == {"concepts": ["loops"]}
    await interface.cleanup_session(session)
    await interface.cleanup_session(session)
    with pytest.raises(AgentCommunicationException) as caught:
        await interface.interact(session, "writer", ASK)
    assert caught.value.code == "unknown_session"
    with pytest.raises(ConfigurationException, match="opened for 'writer'"):
        await interface.interact(await interface.initialize_session("writer"), "problem_solver", {"question": "x"})


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "store"])
async def test_a_callers_own_id_is_taken_once(
    kept: bool, agents: dict[str, AgentFile], archive: SessionArchive
) -> None:
    clock = SystemClock()
    tuning = LocalTuning(keeper=SessionKeeper(archive, clock) if kept else None)
    interface = InProcessInterface(agents, lambda _: ScriptedTransport({}), clock, tuning=tuning)
    assert await interface.initialize_session("writer", session_id="theirs") == "theirs"
    with pytest.raises(ConfigurationException, match="'theirs' already") as caught:
        await interface.initialize_session("writer", session_id="theirs")
    assert caught.value.code == "session_exists"


# In a store


async def test_a_session_survives_a_restart(file: Path, opened: Open) -> None:
    async with opened(file) as interface:
        session = await interface.initialize_session("writer", seed=1)
        await interface.interact(session, "writer", ASK)
    model = ScriptedTransport({"writer": "Again."})
    async with opened(file, model) as interface:
        await interface.interact(session, "writer", ASK)
        assert [message.content for message in model.requests[0].messages][1] == "Yes."
        assert len(await interface.conversation(session, "writer")) == 4


async def test_runs_and_sessions_share_a_file(file: Path, opened: Open) -> None:
    with closing(open_store(file)) as store:
        async with opened(file) as interface:
            await interface.interact(await interface.initialize_session("writer"), "writer", ASK)
        assert store.runs() == []


async def test_what_was_paid_for_is_kept_when_the_caller_goes_away(file: Path, opened: Open) -> None:
    gate = Gate()
    async with opened(file, gate) as interface:
        session = await interface.initialize_session("writer")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(interface.interact, session, "writer", ASK)
            await until(lambda: gate.waiting == 1)
            tasks.cancel_scope.cancel()
        gate.go.set()
        await interface.interact(session, "writer", ASK)  # nobody holds it any more
        assert len(await interface.conversation(session, "writer")) == 2


async def test_an_idle_session_is_deleted_from_the_store_and_a_held_one_is_not(
    file: Path, opened: Open, archive: SessionArchive
) -> None:
    clock = ManualClock()
    async with opened(file, clock=clock, idle_seconds=3600) as interface:
        idle, held = [await interface.initialize_session("writer") for _ in range(2)]
        clock.advance(4000)
        with archive.hold(held):
            assert await interface.reap() == 1
        assert [session.session_id for session in archive.sessions()] == [held]
        with pytest.raises(AgentCommunicationException, match="no session"):
            await interface.interact(idle, "writer", ASK)
        with pytest.raises(AgentCommunicationException, match="no session"):  # idle too, and now nobody's
            await interface.interact(held, "writer", ASK)
        assert archive.sessions() == []


async def test_a_session_that_does_not_come_free_is_told_after_the_time_to_wait(
    file: Path, opened: Open, archive: SessionArchive
) -> None:
    async with opened(file, clock=ManualClock(), wait_seconds=5) as interface:
        session = await interface.initialize_session("writer")
        with archive.hold(session):
            with pytest.raises(AgentCommunicationException, match="for 5 s") as caught:
                await interface.interact(session, "writer", ASK)
            assert caught.value.code == "session_busy"
        await interface.interact(session, "writer", ASK)


def test_the_archive_gives_back_what_it_was_given(archive: SessionArchive, file: Path) -> None:
    odd = "lone \ud800, \u202e, \x1b[31m and {{ braces }}"
    session = KeptSession("s/1", "writer", -(2**70), 5.0, {"concepts": ["a"]}, (ChatMessage("system", "s"),), 2)
    archive.add(session)
    with pytest.raises(StorageException) as caught:
        archive.add(session)
    assert caught.value.code == "session_exists"
    assert archive.load("s/1") == session
    longer = KeptSession("s/1", "writer", None, 9.0, {}, (*session.messages, ChatMessage("user", odd)), 3)
    archive.save(longer, known=1)
    found = archive.load("s/1")
    assert found is not None
    assert [message.content for message in found.messages] == ["s", odd.replace("\ud800", "\ufffd")]
    assert (found.calls, found.used_at, found.seed) == (3, 9.0, -(2**70))
    archive.delete("s/1")
    archive.save(longer, known=1)  # deleted in the meantime: it stays so
    assert archive.load("s/1") is None


def test_holding_is_for_one_at_a_time_and_each_session_by_itself(archive: SessionArchive, file: Path) -> None:
    with closing(open_sessions(file)) as other, archive.hold("one"), other.hold("two"):
        for opened in (archive, other):
            with pytest.raises(StorageException) as caught, opened.hold("one"):
                pass
            assert caught.value.code == "session_busy"
    with closing(open_sessions(file)) as other, other.hold("one"):
        pass


def test_thousands_of_sessions_are_held_with_one_open_file(archive: SessionArchive) -> None:
    before = open_files()
    with ExitStack() as stack:
        for number in range(3000):
            stack.enter_context(archive.hold(f"session-{number}"))
        assert open_files() <= before + 1
    assert open_files() <= before


# Several processes


async def test_a_process_killed_in_the_middle_leaves_the_session_as_it_was(
    file: Path, opened: Open, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    process = start(rounds=3, hang=3)
    assert process.stdout is not None
    session = process.stdout.readline().strip()
    assert process.stdout.readline() == "hanging\n"
    async with opened(file, wait_seconds=60) as interface:
        assert len(await interface.conversation(session, "writer")) == 4  # what it is asking now is not there yet
        with closing(open_sessions(file)) as archive:
            with pytest.raises(StorageException) as caught, archive.hold(session):
                pass
            assert caught.value.code == "session_busy"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(60)
        await interface.interact(session, "writer", ASK)
        said = await interface.conversation(session, "writer")
    assert [message.content for message in said if message.role == "assistant"] == ["turn 0", "turn 1", "Yes."]


async def test_several_processes_take_turns_in_one_session_and_lose_nothing(
    file: Path, opened: Open, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    async with opened(file) as interface:
        session = await interface.initialize_session("writer")
        processes = [start(session, rounds=15) for _ in range(3)]
        for process in processes:
            await anyio.to_thread.run_sync(process.wait, 90)
            assert process.returncode == 0
        said = await interface.conversation(session, "writer")
    assert [message.role for message in said] == ["user", "assistant"] * 45
    assert [message.content for message in said[1::2]] == [f"turn {number}" for number in range(45)]
