"""The provider `replay/FILE`: a recording answers in the model's place, offline.

A question is answered by what was recorded for the same role, messages, parameters, seed and labels. Where a recording
holds it several times, the latest sitting that has it counts (a resumed run measures again what was not finished), and
within that the answers come in the order in which they were recorded, the last one for all further questions. What
failed for good fails again, in the same words, at once. Usage and cost are the recorded ones.

A question that was not recorded is the failure `no_recording`, whose first line is always the same and whose other
lines say what it differs in from the nearest one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from loguru import logger

from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext, ProviderEntry
from prismenv.finding.jsonlines import bad_line, read_json_lines
from prismenv.sessions.answer import excerpt
from prismenv.sessions.calls.difference import differences, nearest_question
from prismenv.sessions.calls.exchange import (
    Failure,
    Malformed,
    Outcome,
    checked_question,
    digest_of,
    failure_of,
    question_of,
    reply_of,
    shown_by_pieces,
)
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

NAME = "replay"
_EXPECTED = 'expected what `record: FILE` writes: {"format": 1, "question": {…}, "reply": {…} or "failure": {…}}'
_EXPLAINED = 20  # so many missing questions are compared with what there is; finding the nearest takes time


class Recorded:
    """What a file holds of one question in its latest sitting."""

    __slots__ = ("line", "outcomes", "question", "sitting")

    def __init__(self, line: int, question: Mapping[str, Any]) -> None:
        self.line = line
        self.question = question
        self.sitting: object = None
        self.outcomes: list[Outcome] = []

    def add(self, sitting: object, outcome: Outcome) -> None:
        """One more outcome; one of a later sitting takes the place of all before."""
        if self.sitting != sitting:
            self.sitting, self.outcomes = sitting, []
        self.outcomes.append(outcome)


class ReplayTransport(ChatTransport):
    """Answers with the exchanges of one file."""

    def __init__(self, recorded: Mapping[str, Recorded], path: Path) -> None:
        self._recorded = recorded
        self._path = path
        self._asked: Counter[str] = Counter()
        self._explained = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        question = question_of(request)
        digest = digest_of(question)
        found = self._recorded.get(digest)
        if found is None:
            raise self._missing(question)
        outcome = found.outcomes[min(self._asked[digest], len(found.outcomes) - 1)]
        self._asked[digest] += 1
        if isinstance(outcome, Failure):
            raise outcome.error()
        shown_by_pieces(outcome, request)
        return outcome

    async def ping(self) -> None:
        return

    def _missing(self, question: Mapping[str, Any]) -> AgentCommunicationException:
        return AgentCommunicationException(
            f"{self._path} has no recording of this question",
            code="no_recording",
            subject=question["role"],
            hint="\n".join(self._explanation(question)),
        )

    def _explanation(self, question: Mapping[str, Any]) -> Iterator[str]:
        yield f"{question['role']} was asked: {excerpt(question['messages'][-1]['content'])}"
        if self._explained >= _EXPLAINED:
            yield f"Compared with the recording were the first {_EXPLAINED} such questions only."
            return
        self._explained += 1
        found = nearest_question(question, ((known.line, known.question) for known in self._recorded.values()))
        if found is None:
            roles = sorted({str(known.question["role"]) for known in self._recorded.values()})
            yield f"Nothing was recorded for {question['role']}, only for {', '.join(roles)}."
            return
        line, nearest = found
        yield f"The nearest one is in line {line}. The difference:"
        yield from differences(nearest, question)


def read_recording(path: Path) -> dict[str, Recorded]:
    """What a file holds, by question. Raises ConfigurationException with file and line for what is no exchange.

    A last line without its end is what a killed process leaves: it is left out with a warning. A line that is cut
    anywhere else is an error.
    """
    recorded: dict[str, Recorded] = {}

    def cut(number: int) -> None:
        logger.warning("{}:{}: the last line has no end: one exchange is missing", path, number)

    for number, record in read_json_lines(path, _EXPECTED, cut=cut):
        try:
            question, outcome = _exchange(record)
        except Malformed as error:
            raise bad_line(path, number, f"{error}; {_EXPECTED}") from error
        known = recorded.setdefault(digest_of(question), Recorded(number, question))
        known.add(record.get("sitting"), outcome)
    if not recorded:
        raise ConfigurationException(f"{path}: nothing is recorded in it; {_EXPECTED} on each line", subject=str(path))
    return recorded


def _exchange(record: Mapping[str, Any]) -> tuple[dict[str, Any], Outcome]:
    if record.get("format") != 1:
        raise Malformed(f"found the format {record.get('format')!r:.40}, which this version cannot read")
    if ("reply" in record) == ("failure" in record):
        raise Malformed("there must be either a reply or a failure")
    question = checked_question(record.get("question"))
    return question, reply_of(record["reply"]) if "reply" in record else failure_of(record["failure"])


def open_replay(reference: ModelReference, context: ProviderContext) -> ChatTransport:
    """The recording that the model names; relative paths are looked for in the recipe's folder."""
    path = context.folder / reference.model
    return ReplayTransport(read_recording(path), path)


ENTRY = ProviderEntry(
    name=NAME,
    summary="a recording (`record: FILE`) in the place of its model, offline (replay/FILE)",
    open=open_replay,
    files=True,
    fixed=True,
)
