"""The line to a sandbox's service: questions, answers as bytes, and what is asked again.

A judgement has no effect but its answer. So a call whose connection broke is made again, here or after a restart of the
service, a few times; one that the service has no room for until the time for a call is over. Redirects are not
followed: programs, tests and a token go nowhere but to the configured address.
"""

import json
from collections.abc import Mapping
from typing import Any

import anyio
from pydantic import ValidationError

from prismenv.contracts.clock import Clock
from prismenv.contracts.sandboxwire import PROTOCOL, SERVICE, ServiceCard
from prismenv.network.connections import ConnectionTrouble, HttpConnections, Request, Response, TooLong
from prismenv.network.retry import RetryPolicy, retry_after
from prismenv.network.secret import Secret
from prismenv.words.errors import ConfigurationException, SandboxException
from prismenv.words.seeding import derive_seed

CARD_SECONDS = 10.0
CARD_BYTES = 2**20
PATIENCE = RetryPolicy(tries=5, first_seconds=0.25, longest_seconds=5.0)
_SHOWN = 500
_OK, _NO_TOKEN, _FORBIDDEN, _WRONG, _NO_ROOM, _UNAVAILABLE = 200, 401, 403, 422, 429, 503
_MAY_PASS = (500, 502, 503, 504)
_LAST = "stopping"  # the code of a service that is going away


class Unanswered(Exception):
    """There is no answer: the message says why."""


class Refused(Unanswered):
    """The service says no, and that it would again: `code` is its word for why, `detail` its sentence."""

    def __init__(self, message: str, code: str, detail: str) -> None:
        super().__init__(message)
        self.code = code
        self.detail = detail


class ServiceLine:
    """Speaks to the service at `url`, each call for at most `timeout_seconds`."""

    def __init__(
        self, url: str, secret: Secret, clock: Clock, timeout_seconds: float, patience: RetryPolicy = PATIENCE
    ) -> None:
        self.url = url
        self._secret = secret
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._patience = patience
        self._asked = 0
        self._connections = HttpConnections(
            url, {"Accept": "application/json", "Accept-Encoding": "identity", **secret.headers}
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._connections.aclose()

    async def post(self, path: str, document: Mapping[str, Any], most_bytes: int) -> bytes:
        """The body of the answer. Raises Unanswered, where the service refuses the kind Refused of it.

        ConfigurationException for what it cannot do.
        """
        body = json.dumps({"protocol": PROTOCOL, **document}).encode()
        asked = Request("POST", path, headers=((b"Content-Type", b"application/json"),), body=body)
        try:
            with anyio.fail_after(self._timeout_seconds):
                return await self._until_answered(asked, most_bytes)
        except TimeoutError as error:
            raise Unanswered(f"{self.url}{path}: no answer within {self._timeout_seconds:g} s") from error

    async def get(self, path: str) -> dict[str, Any]:
        """The JSON object that is told there, whatever the status. Raises Unanswered."""
        try:
            with anyio.fail_after(CARD_SECONDS):
                response = await self._exchange(Request("GET", path), CARD_BYTES)
        except (ConnectionTrouble, TimeoutError) as error:
            raise Unanswered(f"{self.url}: no answer: {error or 'it took too long'}") from error
        return _object(response.body)

    async def card(self) -> ServiceCard:
        """What the service says of itself. SandboxException: none is there, or of another version.

        ConfigurationException: it does not know the token.
        """
        try:
            told = await self.get("/")
        except Unanswered as error:
            hint = "Is `prismenv sandbox serve` running there? The address is sandbox.url."
            raise SandboxException(str(error), code="service_gone", subject=self.url, hint=hint) from error
        if told.get("service") != SERVICE:
            message = f"{self.url}: what answers there is no sandbox's service"
            raise SandboxException(message, code="not_a_sandbox", subject=self.url)
        if told.get("protocol") != PROTOCOL:
            raise SandboxException(other_version(self.url, told), code="other_version", subject=self.url)
        if "isolation" not in told:
            hint = "Name the variable or the file that holds a valid one: sandbox.token.variable, sandbox.token.file."
            message = f"{self.url}: the service asks for a token, and " + (
                "does not know the one that it was given" if self._secret.value else "was given none"
            )
            raise ConfigurationException(message, code="unauthorised", subject=self.url, hint=hint).at(
                "sandbox", "token"
            )
        try:
            return ServiceCard.model_validate_json(json.dumps(told), strict=True)
        except ValidationError as error:
            message = f"{self.url}: the service says of itself what cannot be: {complaint(error)}"
            raise SandboxException(message, code="not_a_sandbox", subject=self.url) from error

    async def _until_answered(self, asked: Request, most_bytes: int) -> bytes:
        self._asked += 1
        seed, failures, refusals = derive_seed(0, self.url, self._asked), 0, 0
        while True:
            wait: float | None = None
            try:
                response = await self._exchange(asked, most_bytes)
            except TooLong as error:
                raise Unanswered(f"{self.url}{asked.path}: the answer is longer than {most_bytes:,} bytes") from error
            except ConnectionTrouble as error:
                failures, why = failures + 1, f"no answer: {error}"
            else:
                code = _code(response)
                if response.status not in (_NO_ROOM, *_MAY_PASS):
                    return self._body(asked.path, response)
                why, wait = f"it answered {response.status} {_detail(response)}", self._wait(response)
                if response.status in (_NO_ROOM, _UNAVAILABLE) and code != _LAST:
                    refusals += 1  # it is full, and will have room again
                else:
                    failures += 1
            if failures >= self._patience.tries:
                raise Unanswered(f"{self.url}{asked.path}: {why} ({failures} tries)")
            await self._clock.sleep(self._patience.wait_seconds(min(failures + refusals, 8), seed, wait))

    async def _exchange(self, asked: Request, most_bytes: int) -> Response:
        response = await self._connections.exchange(asked, read_seconds=None, most_bytes=most_bytes)
        # The token is cut out at once: no traceback with variables shows it then.
        return Response(response.status, response.headers, self._secret.cut_from(response.body))

    def _wait(self, response: Response) -> float | None:
        asked = retry_after(response.headers, self._clock.now())
        return None if asked is None else min(asked, self._patience.longest_seconds)

    def _body(self, path: str, response: Response) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Unanswered(f"{self.url}{path}: the answer has an encoding that was not asked for")
        if response.status == _OK:
            return response.body
        detail = _detail(response)
        if response.status == _WRONG:
            raise ConfigurationException(detail, code=_code(response) or None, subject=self.url)
        if response.status in (_NO_TOKEN, _FORBIDDEN):
            raise Unanswered(f"{self.url}: the service does not let us in: {detail}")
        raise Refused(f"{self.url}{path}: it answered {response.status} {detail}", _code(response), detail)


def other_version(url: str, told: Mapping[str, Any]) -> str:
    """That the service is of a version that this one does not understand."""
    version, protocol = f"{told.get('version')!s:.40}", f"{told.get('protocol')!s:.20}"
    return (
        f"{url}: the service is of another version ({version}, protocol {protocol}); here protocol {PROTOCOL} is "
        f"spoken. Install the same version of prismenv on both machines."
    )


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong with what somebody sent, without what it was."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    return data if isinstance(data, dict) else {}


def _code(response: Response) -> str:
    code = _object(response.body).get("code")
    return code if isinstance(code, str) else ""


def _detail(response: Response) -> str:
    detail = _object(response.body).get("detail")
    text = detail if isinstance(detail, str) else response.body[:_SHOWN].decode("utf-8", "replace")
    return " ".join(text[:_SHOWN].split())
