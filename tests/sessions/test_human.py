"""A person at the terminal as a model."""

import io
import json
import os
import pty
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.transport import ModelReference, ProviderContext
from prismenv.finding.plugins import providers
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.human import HumanTransport
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

pytestmark = pytest.mark.anyio
ASK = {"concepts": "loops", "mood": "calm"}


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def sit(agents: dict[str, AgentFile]) -> Callable[..., tuple[InProcessInterface, Terminal]]:
    """An interface whose model is a person that types `typed`; what the person is shown."""

    def begin(typed: str, tuning: LocalTuning | None = None) -> tuple[InProcessInterface, Terminal]:
        shown = Terminal()
        person = HumanTransport(Terminal(typed), shown)
        return InProcessInterface(agents, lambda _: person, SystemClock(), tuning=tuning), shown

    return begin


async def test_an_answer_ends_with_a_dot_or_with_the_input(sit: Any) -> None:
    interface, shown = sit("first\n  line.\n\n.\nsecond\n.5 is no end\n")
    session = await interface.initialize_session("writer")
    assert (await interface.interact(session, "writer", ASK)).raw == "first\n  line.\n\n"
    answer = await interface.interact(session, "writer", ASK)
    assert answer.raw == "second\n.5 is no end\n"
    assert (answer.usage.calls, answer.usage.estimated, answer.usage.cost_usd) == (1, True, 0.0)
    assert shown.getvalue().count("══ writer ══") == 2
    assert "loops" in shown.getvalue()


async def test_a_later_question_does_not_repeat_what_was_answered(sit: Any) -> None:
    interface, shown = sit("```python\nx = 1\n```\n.\n```python\nx = 2\n```\n.\n")
    session = await interface.initialize_session("problem_solver")
    await interface.interact(session, "problem_solver", {"problem_statement": "The first problem."})
    await interface.interact(session, "problem_solver", {"error_feedback": "It failed."})
    assert shown.getvalue().count("The first problem.") == 1
    assert shown.getvalue().count("You solve") == 1
    assert "Again: It failed." in shown.getvalue()


async def test_nothing_in_a_question_is_obeyed_by_the_terminal(sit: Any) -> None:
    interface, shown = sit("ok\n.\n")
    session = await interface.initialize_session("writer")
    await interface.interact(session, "writer", {"concepts": "\x1b[2J\x07", "mood": "\u202eclam"})
    assert "\x1b" not in shown.getvalue()
    assert "\\x1b[2J\\x07" in shown.getvalue()


async def test_nobody_there_is_no_answer(sit: Any) -> None:
    interface, _ = sit("")
    session = await interface.initialize_session("writer")
    with pytest.raises(AgentCommunicationException, match="nobody answered") as caught:
        await interface.interact(session, "writer", ASK)
    assert caught.value.code == "bad_answer"


async def test_one_question_is_asked_at_a_time(sit: Any) -> None:
    interface, shown = sit("one\n.\ntwo\n.\nthree\n.\n")
    sessions = [await interface.initialize_session("writer") for _ in range(3)]
    answers: list[str] = []

    async def ask(session: str) -> None:
        answers.append((await interface.interact(session, "writer", ASK)).raw)

    async with anyio.create_task_group() as tasks:
        for session in sessions:
            tasks.start_soon(ask, session)
    assert sorted(answers) == ["one\n", "three\n", "two\n"]
    assert shown.getvalue().count("Your answer") == 3


async def test_a_person_has_all_the_time_that_the_run_has(sit: Any) -> None:
    interface, _ = sit("at last\n.\n", LocalTuning(timeout_seconds=0.0))
    session = await interface.initialize_session("writer")
    assert (await interface.interact(session, "writer", ASK)).raw == "at last\n"


@pytest.mark.parametrize(("model", "code"), [("terminal", "no_terminal"), ("other", "unknown_model")])
def test_without_a_terminal_it_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch, model: str, code: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    with pytest.raises(ConfigurationException) as caught:
        providers()["human"].open(ModelReference("human", model), ProviderContext(SystemClock(), Path(), 0))
    assert caught.value.code == code


def test_a_person_answers_the_command_at_a_real_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = Path(sysconfig.get_path("scripts")) / "prismenv"
    words = ["llm", "try", "problem_solver", "-i", "problem_statement=Add.", "--model", "human/terminal", "--json"]
    process = subprocess.Popen(
        [str(command), *words],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=tmp_path,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        seen = b""
        while b"Your answer" not in seen:
            seen += os.read(ours, 65536)
        os.write(ours, b"```python\ndef add(a, b):\n    return a + b\n```\n.\n")
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(ours)
    assert process.returncode == 0
    assert b"Add." in seen
    document = json.loads(out)
    assert document["text"].strip() == "def add(a, b):\n    return a + b"
    assert document["usage"]["estimated"] is True
