"""A sandbox for scripts, which have no event loop."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from prismenv.contracts.jail import Sandbox as SandboxContract
from prismenv.contracts.jailsession import SandboxSession
from prismenv.isolation.sandbox import Sandbox
from prismenv.words.coderesult import CodeResult, SessionFiles
from prismenv.words.errors import SandboxException
from prismenv.words.fileset import FileSet
from prismenv.words.judgecase import JudgeCase
from prismenv.words.limits import Limits
from prismenv.words.verdict import Execution, Isolation, Verdict, VerdictMode


class BlockingSandbox:
    """The same calls as Sandbox, each waiting for its answer, within its `with` block. Threads may share it.

    `sandbox` is one that is not open yet; None: `Sandbox()`.
    """

    def __init__(self, sandbox: SandboxContract | None = None) -> None:
        self._sandbox = sandbox or Sandbox()
        self._stack = ExitStack()
        self._opened: BlockingPortal | None = None

    @property
    def isolation(self) -> Isolation:
        """The kind that is in force."""
        return self._sandbox.isolation

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            stack.enter_context(portal.wrap_async_context_manager(self._sandbox))
            self._stack, self._opened = stack.pop_all(), portal
        return self

    def __exit__(self, *_: object) -> None:
        self._opened = None
        self._stack.close()

    @property
    def _portal(self) -> BlockingPortal:
        if self._opened is None:
            raise SandboxException("the sandbox is not open: use it in `with`", subject=self._sandbox.isolation)
        return self._opened

    def judge(  # noqa: PLR0913 - the contract
        self,
        solution: str | FileSet,
        tests: str,
        *,
        limits: Limits | None = None,
        module: str | None = None,
        language: str = "python",
        verdict: VerdictMode | None = None,
    ) -> Verdict:
        """Judge `solution` against `tests`, as Sandbox.judge does."""
        judge = partial(self._sandbox.judge, limits=limits, module=module, language=language, verdict=verdict)
        return self._portal.call(judge, solution, tests)

    def judge_batch(self, cases: Sequence[JudgeCase]) -> list[Verdict]:
        """Judge several at once, as Sandbox.judge_batch does."""
        return self._portal.call(self._sandbox.judge_batch, cases)

    def run(
        self, program: str, *, stdin: str = "", language: str = "python", limits: Limits | None = None
    ) -> Execution:
        """Run `program` to its end, as Sandbox.run does."""
        return self._portal.call(partial(self._sandbox.run, program, stdin=stdin, language=language, limits=limits))

    def open(self, language: str = "python", *, limits: Limits | None = None) -> "BlockingSession":
        """Start an interpreter that keeps its state, as Sandbox.open does."""
        return BlockingSession(self._portal.call(partial(self._sandbox.open, language, limits=limits)), self._portal)

    def probe(self) -> dict[str, str]:
        """What doctor shows, as Sandbox.probe does."""
        return dict(self._portal.call(self._sandbox.probe))


class BlockingSession:
    """The same calls as SandboxSession, each waiting for its answer; close it, or leave its `with` block."""

    def __init__(self, session: SandboxSession, portal: BlockingPortal) -> None:
        self._session = session
        self._portal = portal

    @property
    def ended(self) -> str | None:
        """Why there are no more calls, in words; None while it is open."""
        return self._session.ended

    @property
    def limits(self) -> Limits:
        """What is in force."""
        return self._session.limits

    def execute(
        self,
        code: str,
        *,
        wall_seconds: float | None = None,
        cpu_seconds: float | None = None,
        output_bytes: int | None = None,
    ) -> CodeResult:
        """Run `code` with the names that earlier calls left, as SandboxSession.execute does."""
        execute = partial(
            self._session.execute, wall_seconds=wall_seconds, cpu_seconds=cpu_seconds, output_bytes=output_bytes
        )
        return self._portal.call(execute, code)

    def interrupt(self) -> None:
        """Interrupt the call that another thread waits for, as SandboxSession.interrupt does."""
        self._portal.call(self._session.interrupt)

    def put_files(self, files: Mapping[str, str | bytes]) -> None:
        """Write files, as SandboxSession.put_files does."""
        self._portal.call(self._session.put_files, files)

    def get_files(self) -> SessionFiles:
        """All regular files, as SandboxSession.get_files does."""
        return self._portal.call(self._session.get_files)

    def close(self) -> None:
        """End it, as SandboxSession.close does."""
        self._portal.call(self._session.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
