"""The LLM interface inside this process.

A session is a conversation of one role with its model: the system prompt once, then a user and an assistant turn for
each exchange, so that a later question is asked with all earlier ones. The history keeps answers as they came; what is
handed back is extracted. An answer that is of no use stays in the history (the model sees that it was asked again), an
empty one or one that is too large does not. An answer that has not the form that its template wants is asked for once
more, with what is wrong with it. Which turns of a long history are sent is `trimming.py`'s rule.

Sessions are in memory (`sessiontable.py`), or in an archive that outlives the process (`keeping.py`).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from prismenv.contracts.clock import Clock
from prismenv.contracts.interface import ServedInterface
from prismenv.contracts.sessions import KeptOutcome, KeptSession
from prismenv.contracts.transport import ChatTransport
from prismenv.contracts.turn import Turn
from prismenv.sessions.agentfile import AgentFile, unknown_role
from prismenv.sessions.answer import MAX_ANSWER_BYTES, extract, receive
from prismenv.sessions.full import kept_outcome, write_outcome
from prismenv.sessions.keeping import SessionKeeper
from prismenv.sessions.readers import Misfit
from prismenv.sessions.sessiontable import SessionTable, not_its_role, session_exists, unknown_session
from prismenv.sessions.template import CompiledTemplate, Question, fit, render, require_fit
from prismenv.sessions.tracing import Inference, Tracing
from prismenv.sessions.trimming import trimmed
from prismenv.words.chat import Answer, ChatMessage, ChatReply, ChatRequest, TokenWatcher
from prismenv.words.errors import AgentCommunicationException
from prismenv.words.outcome import Exchange, Outcome
from prismenv.words.seeding import derive_seed
from prismenv.words.usage import Usage

_UNUSUAL = {
    "length": "The answer was cut off at its limit of tokens: raise max_tokens in model_params.",
    "refusal": "The model refused to answer.",
    "content_filter": "The provider's content filter took the answer, or part of it.",
}
RAW_LABEL = "raw"  # a session with this label true hands answers back as they came


@dataclass(frozen=True, slots=True)
class _Agent:
    """What all sessions of a role share."""

    role: str
    templates: tuple[CompiledTemplate, ...]
    system: tuple[ChatMessage, ...]
    params: Mapping[str, Any]
    model: str
    transport: ChatTransport
    history_tokens: int | None


@dataclass(slots=True)
class _Session:
    agent: _Agent
    seed: int | None
    labels: Mapping[str, Any]
    messages: list[ChatMessage]
    session_id: str
    turn: Turn = field(default_factory=Turn)
    calls: int = 0
    watch: TokenWatcher | None = None  # of the interaction that runs
    exchanges: list[Exchange] = field(default_factory=list)  # of a service
    last: tuple[str, Outcome] | None = None  # a service's last question: its key, and what became of it


@dataclass(frozen=True, slots=True)
class LocalTuning:
    """`timeout_seconds` bounds one question with all its repetitions; a longer answer than the limit is refused.

    Sessions are in memory, and one that nobody used for `idle_seconds` is forgotten, None: never. With a `keeper` they
    are where it keeps them, and closing the interface leaves them there. `tracing` makes a span of each question.
    """

    timeout_seconds: float = 300.0
    max_answer_bytes: int = MAX_ANSWER_BYTES
    idle_seconds: float | None = None
    keeper: SessionKeeper | None = None
    tracing: Tracing | None = None


class InProcessInterface(ServedInterface):
    """Sessions in this process, over the transports that `transports` gives for a role; it does not close those.

    Questions that fail are not asked again here: that is the transports' part (`calls/retrying.py`). `models` gives the
    model's name for a role, None takes the agent file's own.
    """

    def __init__(
        self,
        agents: Mapping[str, AgentFile],
        transports: Callable[[str], ChatTransport],
        clock: Clock,
        *,
        models: Callable[[str], str] | None = None,
        tuning: LocalTuning | None = None,
    ) -> None:
        self._agent_files = agents
        self._transports = transports
        self._clock = clock
        self._models = models
        self._tuning = tuning or LocalTuning()
        self._agents: dict[str, _Agent] = {}
        self._sessions: SessionTable[_Session] = SessionTable(
            clock, self._tuning.idle_seconds, lambda session: session.turn.is_taken()
        )
        self._keeper = self._tuning.keeper
        self._fitting: set[tuple[str, ...]] = set()  # roles with inputs that a template of theirs takes

    async def initialize_session(
        self,
        role: str,
        *,
        seed: int | None = None,
        labels: Mapping[str, Any] | None = None,
        session_id: str | None = None,
    ) -> str:
        """As the contract has it; `session_id` is for callers that choose ids themselves, one not in use."""
        agent = self._agent(role)
        session_id = session_id or self._clock.new_id("session")
        if self._keeper is not None:
            await self._keeper.add(KeptSession(session_id, role, seed, 0.0, labels or {}, agent.system))
        elif session_id in self._sessions:
            raise session_exists(session_id)
        else:
            self._sessions.add(session_id, _Session(agent, seed, labels or {}, list(agent.system), session_id))
        return session_id

    async def interact(
        self, session_id: str, role: str, inputs: Mapping[str, Any], *, watch: TokenWatcher | None = None
    ) -> Answer:
        if self._keeper is not None:
            async with self._kept(self._keeper, session_id, role, watch) as (session, _):
                return await self._exchange(session, fit(role, session.agent.templates, inputs), inputs)
        session = self._session(session_id, role)
        question = fit(role, session.agent.templates, inputs)
        async with session.turn:  # one writer at a time: a history has one order
            session.watch = watch
            return await self._exchange(session, question, inputs)

    async def interact_once(
        self, session_id: str, role: str, inputs: Mapping[str, Any], *, key: str = "", watch: TokenWatcher | None = None
    ) -> Outcome:
        if self._keeper is not None:
            async with self._kept(self._keeper, session_id, role, watch) as (session, kept):
                if key and kept.last is not None and kept.last.key == key:
                    return kept_outcome(kept.last.text, f"the session {session_id!r}")
                return await self._logged(session, inputs, key)
        session = self._session(session_id, role)
        async with session.turn:
            if key and session.last is not None and session.last[0] == key:
                return session.last[1]
            session.watch = watch
            return await self._logged(session, inputs, key)

    async def exchanges(self, session_id: str) -> Sequence[Exchange]:
        if self._keeper is not None:
            return await self._keeper.log(session_id)
        session = self._sessions.use(session_id)
        return () if session is None else tuple(session.exchanges)

    async def exchange_counts(self, session_ids: Sequence[str]) -> Mapping[str, int]:
        if self._keeper is not None:
            return await self._keeper.counts(session_ids)
        return {name: len(session.exchanges) for name in session_ids if (session := self._sessions.find(name))}

    async def cleanup_session(self, session_id: str) -> None:
        self._sessions.pop(session_id)
        if self._keeper is not None:
            await self._keeper.delete(session_id)

    async def reap(self) -> int:
        """Forget the sessions that were idle for too long; how many those were. Also done by the way at other calls."""
        return self._sessions.reap() + (0 if self._keeper is None else await self._keeper.reap())

    async def ping(self, role: str) -> None:
        await self._agent(role).transport.ping()

    def templates(self, role: str) -> Sequence[tuple[str, ...]]:
        return tuple(template.inputs for template in self._agent(role).templates)

    def require_template(self, role: str, inputs: Sequence[str]) -> None:
        question = (role, *inputs)
        if question not in self._fitting:  # asked anew by every environment that is made
            agent = self._agents.get(role)
            require_fit(role, self._file(role).compiled() if agent is None else agent.templates, inputs)
            self._fitting.add(question)

    def history(self, session_id: str, role: str) -> tuple[ChatMessage, ...]:
        """The conversation so far of a session in memory, the system prompt first; answers as they came."""
        return tuple(self._session(session_id, role).messages)

    async def conversation(self, session_id: str, role: str) -> tuple[ChatMessage, ...]:
        """The conversation so far, wherever the session is kept."""
        if self._keeper is None:
            return self.history(session_id, role)
        return tuple(self._known(await self._keeper.load(session_id), session_id, role).messages)

    async def aclose(self) -> None:
        self._sessions.clear()

    def _agent(self, role: str) -> _Agent:
        agent = self._agents.get(role)
        if agent is None:
            file = self._file(role)
            agent = self._agents[role] = _Agent(
                role=role,
                templates=file.compiled(),
                system=(ChatMessage("system", file.system_prompt),) if file.system_prompt.strip() else (),
                params=file.model_params,
                model=self._models(role) if self._models else file.model_name or "",
                transport=self._transports(role),
                history_tokens=file.history_tokens,
            )
        return agent

    def _file(self, role: str) -> AgentFile:
        file = self._agent_files.get(role)
        if file is None:
            raise unknown_role(role, self._agent_files)
        return file

    @asynccontextmanager
    async def _kept(
        self, keeper: SessionKeeper, session_id: str, role: str, watch: TokenWatcher | None
    ) -> AsyncIterator[tuple[_Session, KeptSession]]:
        """A session that is kept elsewhere, held and read; what was said in it is written back at the end."""
        async with keeper.held(session_id) as found:
            kept = self._known(found, session_id, role)
            session = _Session(
                self._agent(role),
                kept.seed,
                kept.labels,
                list(kept.messages),
                session_id,
                calls=kept.calls,
                watch=watch,
            )
            try:
                yield session, kept
            finally:
                if session.calls != kept.calls:
                    await self._write(keeper, session, kept)

    async def _write(self, keeper: SessionKeeper, session: _Session, kept: KeptSession) -> None:
        exchange = session.exchanges[-1] if session.exchanges else None
        last = kept.last if session.last is None else KeptOutcome(session.last[0], write_outcome(session.last[1]))
        count = kept.exchanges + len(session.exchanges)
        now = replace(kept, messages=session.messages, calls=session.calls, exchanges=count, last=last)
        if not await keeper.save(now, len(kept.messages), exchange) and exchange is not None:
            raise unknown_session(session.session_id, kept.role)

    async def _logged(self, session: _Session, inputs: Mapping[str, Any], key: str) -> Outcome:
        question = fit(session.agent.role, session.agent.templates, inputs)
        try:
            outcome = Outcome(await self._exchange(session, question, inputs))
        except AgentCommunicationException as error:
            outcome = Outcome(None, error.with_traceback(None))
        if (shown := outcome.shown) is not None:
            session.exchanges.append(Exchange(inputs, shown))
            session.last = (key, outcome)
        return outcome

    def _known(self, kept: KeptSession | None, session_id: str, role: str) -> KeptSession:
        if kept is None:
            raise unknown_session(session_id, role)
        if kept.role != role:
            raise not_its_role(session_id, kept.role, role)
        return kept

    def _session(self, session_id: str, role: str) -> _Session:
        session = self._sessions.use(session_id)
        if session is None:
            raise unknown_session(session_id, role)
        if session.agent.role != role:
            raise not_its_role(session_id, session.agent.role, role)
        return session

    async def _exchange(self, session: _Session, question: Question, given: Mapping[str, Any]) -> Answer:
        prompt = render(question)
        try:
            return await self._turn(session, question, given, prompt, prompt)
        except AgentCommunicationException as error:
            reader = question.template.reader
            if reader is None or not isinstance(error.__cause__, Misfit):
                raise
            again, paid = reader.asked_again(str(error.__cause__)), error.usage
        try:
            answer = await self._turn(session, question, given, prompt, again)
        except AgentCommunicationException as error:
            error.prompt, error.usage = prompt, _together(paid, error.usage)
            raise
        return replace(answer, usage=_together(paid, answer.usage) or answer.usage)

    async def _turn(
        self, session: _Session, question: Question, given: Mapping[str, Any], prompt: str, asks: str
    ) -> Answer:
        """One question and its answer, extracted. `asks` is the prompt, or that an answer did not fit."""
        role, template = session.agent.role, question.template
        asked = ChatMessage("user", asks)
        session.calls += 1
        messages: tuple[ChatMessage, ...] = (*session.messages, asked)
        if session.agent.history_tokens is not None:
            messages = trimmed(messages, session.agent.history_tokens)
        reply = await self._ask_traced(session, messages, given, template.name)
        raw = ""
        try:
            raw = receive(role, reply.text, self._tuning.max_answer_bytes)
            if raw and not raw.isspace():
                session.messages += (asked, ChatMessage("assistant", raw))
            text = raw if session.labels.get(RAW_LABEL) is True else extract(role, template, raw)
        except AgentCommunicationException as error:
            error.usage, error.prompt, error.raw = reply.usage, prompt, raw
            if reply.finish_reason != "stop":
                error.hint = _UNUSUAL.get(reply.finish_reason, f"It ended with {reply.finish_reason!r}.")
            raise
        return Answer(
            text,
            raw,
            reply.usage,
            prompt,
            template.name,
            reply.remaining,
            question.appended,
            reply.finish_reason,
            reply.details,
        )

    async def _ask_traced(
        self, session: _Session, messages: tuple[ChatMessage, ...], given: Mapping[str, Any], prompt: str
    ) -> ChatReply:
        tracing, agent = self._tuning.tracing, session.agent
        if tracing is None:
            return await self._ask(session, messages, given)
        streamed = session.watch is not None or agent.params.get("stream") is True
        with tracing.inference(Inference(agent.role, session.session_id, prompt, agent.params, streamed)) as answered:
            reply = await self._ask(session, messages, given)
            answered(reply)
            return reply

    async def _ask(self, session: _Session, messages: tuple[ChatMessage, ...], given: Mapping[str, Any]) -> ChatReply:
        """The model's reply, by the deadline. Each question of a session has a seed of its own."""
        agent, seed = session.agent, session.seed
        limit = None if agent.transport.patient else self._tuning.timeout_seconds
        if seed is not None:
            seed = derive_seed(seed, session.calls)
        deadline = None if limit is None else self._clock.monotonic() + limit
        request = ChatRequest(
            agent.model, messages, agent.role, given, session.labels, agent.params, seed, deadline, session.watch
        )
        try:
            with anyio.fail_after(limit):
                return await agent.transport.complete(request)
        except TimeoutError as error:
            raise AgentCommunicationException(
                f"{agent.role}: no answer within {limit:g} s", code="timed_out", subject=agent.role
            ) from error


def _together(paid: Usage | None, more: Usage | None) -> Usage | None:
    """The sum of what both turns used; None where neither was answered."""
    return more if paid is None else paid if more is None else paid.plus(more)
