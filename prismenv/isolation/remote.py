"""A sandbox on another machine: the same contract, spoken to `prismenv sandbox serve`.

Theory of operation. What is judged is sent as it is, with those limits alone that somebody set here: the languages' own
and the host's ceilings are the service's business. Cancelling a call closes its connection, by which the service kills
the run.

The service is believed in what it says of a run, no more: an answer has the agreed shape and a length that fits, or it
is none. A verdict is of the mode that was asked for, made in an isolation as strong as the card names, and agrees with
itself. Whatever else comes is an `infrastructure_error`, which nobody counts against a candidate.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import anyio
from pydantic import BaseModel, ValidationError

from prismenv.contracts.clock import Clock, SystemClock
from prismenv.contracts.jail import Sandbox
from prismenv.contracts.jailsession import SandboxSession
from prismenv.contracts.recipe import SandboxSettings, SessionSettings
from prismenv.contracts.sandboxwire import (
    MOST_CASES,
    BatchAnswer,
    CaseAnswer,
    ExecutionAnswer,
    ServiceCard,
    VerdictAnswer,
    case_document,
    limits_document,
)
from prismenv.contracts.together import all_or_none
from prismenv.isolation.remotesession import RemoteSessions, SessionLine
from prismenv.isolation.serviceline import PATIENCE, ServiceLine, Unanswered, complaint, other_version
from prismenv.isolation.strength import is_weaker
from prismenv.network.address import check_address
from prismenv.network.retry import RetryPolicy
from prismenv.network.secret import Secret
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.fileset import FileSet
from prismenv.words.judgecase import JudgeCase
from prismenv.words.limits import Limits
from prismenv.words.verdict import Execution, Isolation, Verdict, VerdictMode

MOST_BYTES = 2**28  # of one answer; a verdict has much less, what a program printed may come to this
BATCH_CASES = 64  # of one batch: a connection that breaks costs these
AHEAD = 2  # questions for each worker of the service: while one is judged the next is on its way

A = TypeVar("A", bound=BaseModel)


class RemoteSandbox(Sandbox):
    """The sandbox at `settings.url`. `workers` is how many calls are made at once, None: what keeps the service busy.

    `isolation` and `ceiling` are the service's, known once this is open; until then `isolation` is the weakest.
    ConfigurationException for an address that is none, and for a key of `settings` that is the host's alone.
    """

    isolation: Isolation = "portable"

    def __init__(
        self,
        settings: SandboxSettings,
        workers: int | None,
        secret: Secret,
        clock: Clock | None = None,
        patience: RetryPolicy = PATIENCE,
    ) -> None:
        self.ceiling = Limits()
        self._settings = settings
        self._workers = workers
        self._limits = own_limits(settings)
        url = check_address(settings.url or "", "sandbox.url")
        self._line = ServiceLine(url, secret, clock or SystemClock(), settings.timeout_seconds, patience)

    async def __aenter__(self) -> Self:
        try:
            card = await self._line.card()
            self._accept(card)
        except BaseException:
            await self._line.aclose()
            raise
        self.isolation, self.ceiling = card.isolation, card.ceiling
        self._sessions = RemoteSessions(SessionLine(self._line, card.body_bytes))
        self._places = anyio.Semaphore(self._workers or AHEAD * card.workers)
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await self._sessions.close()
            await self._line.aclose()

    async def judge(  # noqa: PLR0913 - the contract
        self,
        solution: str | FileSet,
        tests: str,
        *,
        limits: Limits | None = None,
        module: str | None = None,
        language: str = "python",
        verdict: VerdictMode | None = None,
    ) -> Verdict:
        mode = verdict or self._settings.verdict
        case = JudgeCase(solution=solution, tests=tests, limits=limits, module=module, language=language, verdict=mode)
        try:
            async with self._places:
                body = await self._line.post("/judge", self._asked(case), MOST_BYTES)
            return self._accepted(self._read(VerdictAnswer, body).verdict, mode)
        except Unanswered as trouble:
            return self._broken(str(trouble), mode)

    async def judge_batch(self, cases: Sequence[JudgeCase]) -> list[Verdict]:
        found = await all_or_none([partial(self._batch, piece) for piece in _pieces(cases)])
        return [verdict for piece in found for verdict in piece]

    async def run(
        self, program: str, *, stdin: str = "", language: str = "python", limits: Limits | None = None
    ) -> Execution:
        asked = {"program": program, "stdin": stdin, "language": language, "limits": self._over(limits)}
        try:
            async with self._places:
                body = await self._line.post("/run", asked, MOST_BYTES)
            return self._read(ExecutionAnswer, body).execution
        except Unanswered as trouble:
            return Execution(
                outcome="infrastructure_error", exit_code=None, message=str(trouble), isolation=self.isolation
            )

    async def open(self, language: str = "python", *, limits: Limits | None = None) -> SandboxSession:
        return await self._sessions.open(language, self._over(limits))

    async def probe(self) -> Mapping[str, str]:
        try:
            told = await self._line.get("/health")
        except Unanswered as trouble:
            return {"service": str(trouble)}
        found, status = told.get("sandbox"), told.get("status")
        return {
            "service": "ok" if status == "healthy" else f"the service says that it is {status!s:.40}",
            "sandbox": f"{found!s:.500}",
        }

    def _accept(self, card: ServiceCard) -> None:
        settings, url = self._settings, self._line.url
        wanted = None if settings.isolation == "auto" else settings.isolation
        if wanted not in (None, card.isolation):
            raise _weak(f"{url}: {wanted} isolation is asked for, the service has {card.isolation}", url)
        if settings.require is not None and is_weaker(card.isolation, settings.require):
            raise _weak(f"{url}: {settings.require} isolation is required, the service has {card.isolation}", url)
        if missing := [name for name in settings.packages if name not in card.packages]:
            there = ", ".join(card.packages) or "none"
            message = f"{url}: the service does not offer {', '.join(missing)} to the code; it offers: {there}"
            raise ConfigurationException(message, subject=missing[0]).at("sandbox", "packages")

    def _over(self, limits: Limits | None) -> dict[str, Any]:
        return {**(limits_document(self._limits) or {}), **(limits_document(limits) or {})}

    def _asked(self, case: JudgeCase) -> dict[str, Any]:
        return {**case_document(case), "limits": self._over(case.limits)}

    async def _batch(self, cases: Sequence[JudgeCase]) -> list[Verdict]:
        modes = [case.verdict or self._settings.verdict for case in cases]
        asked = [{**self._asked(case), "verdict": mode} for case, mode in zip(cases, modes, strict=True)]
        try:
            async with self._places:
                body = await self._line.post("/batch", {"cases": asked}, MOST_BYTES)
            answers = self._read(BatchAnswer, body).answers
        except Unanswered as trouble:
            return [self._broken(str(trouble), mode) for mode in modes]
        if len(answers) != len(cases):
            message = f"{self._line.url}/batch: {len(answers)} answers to {len(cases)} cases"
            return [self._broken(message, mode) for mode in modes]
        return [self._of_case(answer, mode) for answer, mode in zip(answers, modes, strict=True)]

    def _of_case(self, answer: CaseAnswer, mode: VerdictMode) -> Verdict:
        if answer.refusal is not None:
            detail = " ".join(answer.refusal.detail[:500].split())
            raise ConfigurationException(detail, code=answer.refusal.code[:80], subject=self._line.url)
        if answer.verdict is None:
            return self._broken(f"{self._line.url}/batch: one case has no answer", mode)
        try:
            return self._accepted(answer.verdict, mode)
        except Unanswered as trouble:
            return self._broken(str(trouble), mode)

    def _read(self, answer: type[A], body: bytes) -> A:
        try:
            return answer.model_validate_json(body, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if first["loc"] == ("protocol",):
                raise Unanswered(other_version(self._line.url, {"protocol": first["input"]})) from error
            raise Unanswered(f"{self._line.url}: the answer is none: {complaint(error)}") from error

    def _accepted(self, verdict: Verdict, mode: VerdictMode) -> Verdict:
        if wrong := objection(verdict, mode, self.isolation):
            raise Unanswered(f"{self._line.url}: the answer is no verdict: {wrong}")
        return verdict

    def _broken(self, message: str, mode: VerdictMode) -> Verdict:
        return Verdict(
            outcome="infrastructure_error",
            fault="infrastructure",
            output=message,
            message=message,
            isolation=self.isolation,
            verdict_mode=mode,
        )


def own_limits(settings: SandboxSettings) -> Limits:
    """The limits that are sent with every call; ConfigurationException for a wrong one, and for what is the host's."""
    hosts = {"ceiling": settings.ceiling is not None, "sessions": settings.sessions != SessionSettings()}
    if key := next((name for name, is_set in hosts.items() if is_set), ""):
        raise ConfigurationException(
            f"sandbox.{key}: with sandbox.url it is the host's alone, set where the service is started",
            subject=f"sandbox.{key}",
        ).at("sandbox", key)
    try:
        return Limits(**settings.limits)
    except ValidationError as error:
        first = error.errors()[0]["loc"]
        message = f"sandbox limits: {complaint(error)}; there are: {', '.join(Limits.model_fields)}"
        raise ConfigurationException(message, subject=str(first[0])).at("sandbox", "limits", *first) from error


def objection(verdict: Verdict, mode: VerdictMode, isolation: Isolation) -> str:
    """Why it can be no verdict of a judgement in `mode` in at least `isolation`; empty: it can."""
    passed, broke = verdict.outcome == "passed", verdict.outcome == "infrastructure_error"
    wrong = verdict.tests_failed_num + verdict.tests_errored_num
    found = {
        f"it has the unknown key {min(verdict.__pydantic_extra__ or ['']):.80}": bool(verdict.__pydantic_extra__),
        f"{mode} was asked for, it is {verdict.verdict_mode}": mode == "split" != verdict.verdict_mode,
        f"it was judged in {verdict.isolation} isolation, the service had {isolation}": is_weaker(
            verdict.isolation, isolation
        ),
        f"its outcome is {verdict.outcome}, and its fault {verdict.fault}": passed != (verdict.fault == "none")
        or broke != (verdict.fault == "infrastructure"),
        f"it passed with {verdict.tests_passed_num} tests, and {wrong} that did not pass": passed
        and (wrong > 0 or verdict.tests_passed_num == 0),
    }
    return next((what for what, is_so in found.items() if is_so), "")


def _pieces(cases: Sequence[JudgeCase]) -> Iterator[Sequence[JudgeCase]]:
    most = min(BATCH_CASES, MOST_CASES)
    return (cases[start : start + most] for start in range(0, len(cases), most))


def _weak(message: str, url: str) -> SandboxException:
    return SandboxException(
        message, code="isolation_unavailable", subject=url, hint="Serve the sandbox where that kind is available."
    )
