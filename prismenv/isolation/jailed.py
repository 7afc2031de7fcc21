"""The two strong kinds of isolation: warm zygotes that fork a jailed child for each run.

`full` has namespaces, a user id and a control group for each worker; `unprivileged` has what a user may have.
"""

import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread

from prismenv.isolation.base import GuestSandbox
from prismenv.isolation.bridge import bridges
from prismenv.isolation.bundle import chunk
from prismenv.isolation.calls import GuestCall
from prismenv.isolation.cgroups import GroupTrees
from prismenv.isolation.design import KIND_OF, Form, with_packages, zygote_designs
from prismenv.isolation.errand import all_in_threads
from prismenv.isolation.folder import private_folder
from prismenv.isolation.kit import LanguageKit
from prismenv.isolation.language import SIDE_OF, Side
from prismenv.isolation.launch import Ending, StopSignal
from prismenv.isolation.sessionkeeper import SessionKeeper, StartedSession
from prismenv.isolation.sessionzygote import JailedSession, SessionZygote, SessionZygotes
from prismenv.isolation.supervisor import Supervisor
from prismenv.isolation.toolshed import ToolShed
from prismenv.isolation.watched import Watched
from prismenv.isolation.worker import Worker, WorkerPair, take_holdings
from prismenv.isolation.zygote import RunRequest, ZygoteDesign, ZygoteLostError
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.limits import Limits
from prismenv.words.verdict import DEFAULT_VERDICT, VerdictMode

IN_MEMORY = nullcontext(Path("/tmp"))  # noqa: S108 - the jail's own


class JailedSandbox(GuestSandbox):
    """Runs each judgement in jailed children of warm zygotes: two zygotes for each worker, one that is told of tests

    and one that is told of solutions alone.
    """

    def __init__(  # noqa: PLR0913 - what every kind has, and its form
        self,
        workers: int,
        ceiling: Limits | None = None,
        *,
        limits: Mapping[str, Any] | None = None,
        verdict: VerdictMode = DEFAULT_VERDICT,
        folder: Path | None = None,
        packages: Sequence[str] = (),
        languages: Sequence[Path] = (),
        sessions: SessionKeeper | None = None,
        form: Form = "full",
    ) -> None:
        self.isolation = KIND_OF[form]
        self.form = form
        super().__init__(
            workers,
            ceiling,
            limits=limits,
            verdict=verdict,
            folder=folder,
            packages=packages,
            languages=languages,
            sessions=sessions,
        )
        self._tools = ToolShed(form, self._shelf_of_languages, self._new_place)
        self._session_zygotes = SessionZygotes(self._new_session_zygote)
        self._idle: deque[WorkerPair] = deque()
        self._all: list[Worker] = []

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            await self._start_workers()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sessions.close()
        workers, self._all = self._all, []
        self._idle.clear()
        with anyio.CancelScope(shield=True):
            closing = [worker.close for worker in [*workers, *self._tools.emptied()]]
            await all_in_threads([*closing, self._session_zygotes.close])
        await super().__aexit__()

    async def _start_workers(self) -> None:
        sides: tuple[Side, Side] = ("judge", "solution")
        designs = self._designs(sides)
        for _ in range(self.workers):
            self._all.extend(Worker(designs[side], self._new_place(), self.form) for side in sides)
        failed = await all_in_threads([worker.zygote for worker in self._all])
        if failed:
            raise failed[0]
        self._idle.extend(map(WorkerPair, self._all[::2], self._all[1::2]))

    def _designs(self, sides: Sequence[Side]) -> dict[Side, ZygoteDesign]:
        profile, packages, shelf = self._language("python").profile, self._packages, self._shelf()
        designs = zygote_designs(profile, self._folder, self.form, sides)
        return {side: with_packages(design, packages, shelf) for side, design in designs.items()}

    def _new_session_zygote(self) -> SessionZygote:
        return SessionZygote(self._designs(["session"])["session"], self._new_place(), None, GroupTrees())

    def _start_session(self, kit: LanguageKit, nonce: str, limits: Limits) -> StartedSession:
        outside = ExitStack() if self.form == "alone" else None
        folder = (outside or ExitStack()).enter_context(self._folder_for_run())
        request = RunRequest(kit.entries["session"], limits, folder, 0, streams_apart=True)
        guest = JailedSession(self._session_zygotes, request, take_holdings(self.form), outside)
        return StartedSession(guest, (chunk({"nonce": nonce, "limits": limits.model_dump(), "marker": 0}),))

    def _new_place(self) -> Path:
        try:
            return Path(tempfile.mkdtemp(prefix="root-", dir=self._open_root()))
        except OSError as error:
            raise SandboxException(f"a worker has no place to be: {error}", subject=self.isolation) from error

    async def _launch(self, kit: LanguageKit, calls: Sequence[GuestCall], limits: Limits) -> Ending:
        pair = self._idle.popleft()
        try:
            return await self._in_thread(partial(self._run, pair, kit, calls, limits))
        finally:
            self._idle.append(pair)

    def _run(
        self, pair: WorkerPair, kit: LanguageKit, calls: Sequence[GuestCall], limits: Limits, stop: StopSignal
    ) -> Ending:
        allowed = limits.model_dump()
        watched = []
        with ExitStack() as held:
            try:
                with bridges(len(calls)) as ends:
                    for call, end in zip(calls, ends, strict=True):
                        message = chunk({**call.payload, "limits": allowed, "marker": 0})
                        folder = held.enter_context(self._folder_for_run())
                        entry, apart = kit.entries[call.role], call.role == "run"
                        request = RunRequest(entry, limits, folder, len(message), streams_apart=apart)
                        given = call.handed if end is None else end
                        guest = held.enter_context(closing(self._worker(pair, kit, call).guest(request, given)))
                        watched.append(Watched(guest, [message], call.conversation))
            except (ZygoteLostError, SandboxException) as error:
                return Ending(message=f"the sandbox could not work: {error}")
            return Supervisor(watched, limits, stop).run()

    def _language(self, name: str) -> LanguageKit:
        kit = super()._language(name)
        if kit.profile.compile is not None and self.form == "alone":
            raise ConfigurationException(
                f"the language {name} cannot be used here: its compiler is several processes, a run may have one"
                " where there are no namespaces",
                code="isolation_unavailable",
                subject=name,
                hint="Allow user namespaces to this user, or take full isolation (root).",
            )
        return kit

    def _worker(self, pair: WorkerPair, kit: LanguageKit, call: GuestCall) -> Worker:
        """Who runs it. SandboxException when there is nobody, and none can be started."""
        if kit.chain is None:
            return pair.side(SIDE_OF[call.role])
        return self._tools.worker(pair, kit, call.role)

    def _folder_for_run(self) -> AbstractContextManager[Path]:
        """Where a run may write: with namespaces it makes its own in memory, which nobody else sees."""
        return private_folder(self._open_root()) if self.form == "alone" else IN_MEMORY
