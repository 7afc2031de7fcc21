"""One HTTP service that speaks JSON: pooled connections, capped answers, and repetition of what may be repeated.

Repeated are the statuses 408, 409, 429 and 5xx, time-outs and broken connections; nothing else. A failure is *unsent*
when the service cannot have acted (no connection was made, or it said 409 or 429), and *ambiguous* otherwise: a caller
whose request must not be done twice passes `recover`, which is asked, before an ambiguous failure is repeated, whether
the first one was done after all. All tries of a request carry the same Idempotency-Key.

Redirects are not followed: a body with prompts, and a token, go nowhere but to the configured address.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from loguru import logger

from prismenv.contracts.clock import Clock
from prismenv.network.address import check_address
from prismenv.network.connections import Broken, HttpConnections, NotConnected, Request, Response, TooLong, TooSlow
from prismenv.network.retry import RetryPolicy, retry_after
from prismenv.network.secret import Secret
from prismenv.sessions.answer import excerpt
from prismenv.words.errors import (
    AgentCommunicationException,
    ConfigurationException,
    EnvironmentException,
    ProtocolException,
)
from prismenv.words.jsonkind import json_kind
from prismenv.words.seeding import derive_seed

_CODES = {408: "timed_out", 409: "unavailable", 429: "rate_limited"}
_NOT_DONE = (409, 429)
_OTHER_REFUSALS = frozenset(range(400, 500)) - {401, 403, *_CODES}
ACCESS_SECONDS = 5.0

Recover = Callable[[], Awaitable[dict[str, Any] | None]]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `read_seconds` None waits as long as the caller's deadline allows; `tries` None: as the policy.

    `prefer` is RFC 7240's header, which a service may ignore.
    """

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] | None = None
    key: str = ""
    prefer: str = ""
    read_seconds: float | None = 30.0
    tries: int | None = None
    recover: Recover | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came: `data` is the JSON object of a 2xx answer, `detail` the readable text of any other.

    `code` is the name that a service of ours gives a refusal.
    """

    status: int
    data: dict[str, Any]
    detail: str = ""
    code: str = ""


class _Failure(Exception):  # a signal inside this module, seen by nobody else
    """One try that may be repeated."""

    def __init__(self, code: str, what: str, *, done: bool, wait_seconds: float | None = None) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.maybe_done = done
        self.wait_seconds = wait_seconds


class ServiceConnection:
    """Speaks to the service at `url`. `max_body_bytes` is the longest answer that is read."""

    def __init__(self, url: str, secret: Secret, clock: Clock, retry: RetryPolicy, max_body_bytes: int) -> None:
        self.url = check_address(url, "interface.url")
        self._secret = secret
        self._clock = clock
        self._retry = retry
        self._max_body_bytes = max_body_bytes
        self._connections = HttpConnections(
            self.url, {"Accept": "application/json", "Accept-Encoding": "identity", **secret.headers}
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()

    async def ask(self, ask: Ask, *, expect: frozenset[int] = frozenset()) -> Reply:
        """The reply, 2xx or one of `expect`; anything else is an AgentCommunicationException or ProtocolException."""
        failures, tries = 0, ask.tries or self._retry.tries
        while True:
            try:
                reply = await self._once(ask)
            except _Failure as failure:
                failures += 1
                if failures >= tries:
                    raise self._given_up(ask, failure, failures) from failure
                if failure.maybe_done and ask.recover is not None and (data := await ask.recover()) is not None:
                    return Reply(200, data)
                seed = derive_seed(0, ask.path, ask.key)
                logger.debug("{} {}: {}, asked again", ask.method, ask.path, failure.what)
                asked = min(failure.wait_seconds or 0.0, self._retry.longest_seconds)  # there is no deadline here
                await self._clock.sleep(self._retry.wait_seconds(failures, seed, asked))
                continue
            if 200 <= reply.status < 300 or reply.status in expect:  # noqa: PLR2004 - success, as HTTP defines it
                return reply
            raise self._refused(ask, reply)

    async def require_access(self) -> None:
        """ConfigurationException where the service refuses whoever asks as we do. One that cannot be asked is no error.

        What is asked for is a session that nobody has: only whether it may be asked for is of interest.
        """
        ask = Ask("GET", "/session_history/prismenv-is-it-let-in", tries=1, read_seconds=ACCESS_SECONDS)
        try:
            with anyio.fail_after(ACCESS_SECONDS):
                await self.ask(ask, expect=_OTHER_REFUSALS)
        except (EnvironmentException, TimeoutError) as error:
            if isinstance(error, AgentCommunicationException) and error.code == "unauthorised":
                raise ConfigurationException(error.message, code=error.code, subject=self.url, hint=error.hint).at(
                    "interface", "token_variable"
                ) from error
            logger.debug("whether {} lets us in is not known: {}", self.url, error)

    async def _once(self, ask: Ask) -> Reply:
        headers: list[tuple[bytes, bytes]] = []
        if ask.key:
            headers.append((b"Idempotency-Key", ask.key.encode()))
        if ask.prefer:
            headers.append((b"Prefer", ask.prefer.encode()))
        body = b""
        if ask.body is not None:
            headers.append((b"Content-Type", b"application/json"))
            body = _encoded(ask.body)
        try:
            response = await self._connections.exchange(
                Request(ask.method, ask.path, ask.query, headers, body),
                read_seconds=ask.read_seconds,
                most_bytes=self._max_body_bytes,
            )
        except NotConnected as error:
            raise _Failure("unavailable", f"no connection: {error}", done=False) from error
        except TooSlow as error:
            raise _Failure("timed_out", "no answer in time", done=True) from error
        except Broken as error:
            raise _Failure("unavailable", f"the connection broke: {error}", done=True) from error
        except TooLong as error:
            raise AgentCommunicationException(
                f"{self.url}{ask.path}: the answer is longer than {self._max_body_bytes:,} bytes",
                code="answer_too_large",
                subject=self.url,
            ) from error
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":  # it was not asked for, and unpacking could fill the memory
            raise self._broken(ask, f"answered in the encoding {encoding!r} that was not asked for")
        # The token is cut out at once: no traceback with variables shows it then.
        return self._read(ask, response, self._secret.cut_from(response.body))

    def _read(self, ask: Ask, response: Response, body: bytes) -> Reply:
        status = response.status
        if status in _CODES or status >= 500:  # noqa: PLR2004 - server errors, as HTTP defines them
            detail = _detail(body)
            raise _Failure(
                _CODES.get(status, "unavailable"),
                f"it answered {status}{': ' + detail if detail else ''}",
                done=status not in _NOT_DONE,
                wait_seconds=retry_after(response.headers, self._clock.now()),
            )
        if 300 <= status < 400:  # noqa: PLR2004 - redirects, as HTTP defines them
            target = self._secret.hidden_in(response.headers.get("location", "nowhere"))
            raise self._broken(ask, f"redirects to {excerpt(target)}; set interface.url to the service itself")
        if status >= 400:  # noqa: PLR2004 - refusals, as HTTP defines them
            return Reply(status, {}, _detail(body), _code(body))
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self._broken(ask, f"answered with no JSON: {_shown(body)}") from error
        if not isinstance(data, dict):
            raise self._broken(ask, f"answered with {json_kind(data)}, expected a JSON object")
        return Reply(status, data)

    def _given_up(self, ask: Ask, failure: _Failure, failures: int) -> AgentCommunicationException:
        return AgentCommunicationException(
            f"{ask.method} {self.url}{ask.path}: {failure.what} ({failures} tries)",
            code=failure.code,
            subject=self.url,
        )

    def _refused(self, ask: Ask, reply: Reply) -> AgentCommunicationException:
        code, hint = "refused", None
        if reply.status in (401, 403):
            code, hint = "unauthorised", "Set interface.token_variable to the variable that holds a valid token."
        elif reply.status == 404:  # noqa: PLR2004 - not found, as HTTP defines it
            code = "not_found"
        detail = f": {reply.detail}" if reply.detail else ""
        return AgentCommunicationException(
            f"{ask.method} {self.url}{ask.path}: the service answered {reply.status}{detail}",
            code=code,
            subject=self.url,
            hint=hint,
        )

    def _broken(self, ask: Ask, what: str) -> ProtocolException:
        return ProtocolException(f"{ask.method} {self.url}{ask.path}: the service {what}", subject=self.url)


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair: the service is to say that it is none
        return json.dumps(body, allow_nan=False).encode()


def _refusal(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    return data if isinstance(data, dict) else {}


def _code(body: bytes) -> str:
    """The name that an error's body gives it, empty for none."""
    code = _refusal(body).get("code")
    return code if isinstance(code, str) else ""


def _detail(body: bytes) -> str:
    """What an error's body says."""
    data = _refusal(body)
    detail = data.get("detail", data.get("error"))
    if detail is None:
        return _shown(body) if body else ""
    return excerpt(detail if isinstance(detail, str) else json.dumps(detail))


def _shown(body: bytes) -> str:
    return excerpt(body[:4096].decode("utf-8", "replace"))
