"""A model behind an OpenAI-compatible service, through the openai library (extra `openai`).

The library's own repetitions are off: calls/retrying.py repeats, within one deadline and by one policy. Requests go out
through `post`, so that whatever stands in model_params reaches the service as it is; answers are read here, since the
library takes wrong shapes without a word. Its exceptions never become a cause of ours: they hold what a service said,
which may be the key.
"""

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import anyio

from prismenv.contracts.clock import Clock
from prismenv.contracts.transport import ChatTransport
from prismenv.sessions.answer import MAX_ANSWER_BYTES
from prismenv.sessions.completions import Gathering, read_completion, request_body
from prismenv.sessions.refusals import Asked, bad_answer, refusal
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

CONNECT_SECONDS = 10.0
CONNECT_SECONDS_EACH = 0.01  # more for every request under way: thousands that begin at once take turns on one loop
NO_KEY = "none"  # services without keys take any
PING_SECONDS = 10.0
MAX_BODY_BYTES = 12 * MAX_ANSWER_BYTES + 2**20  # JSON may write one byte as six, and logprobs take more than the text
Result = TypeVar("Result")
_CONNECTIONS = 65536  # limits are set above this layer


class OpenAITransport(ChatTransport):
    """One model at `asked.url`. An empty secret sends the word `none` as its key."""

    def __init__(self, asked: Asked, clock: Clock, *, own: bool) -> None:
        import openai

        self._asked = asked
        self._clock = clock
        self._under_way = 0
        self._client = openai.AsyncOpenAI(
            api_key=asked.secret.value or NO_KEY,
            admin_api_key="",
            base_url=asked.url,
            max_retries=0,
            timeout=openai.Timeout(None, connect=CONNECT_SECONDS),
            default_headers={"Accept-Encoding": "identity", **({} if own else _without_ambient(asked))},
            http_client=openai.DefaultAioHttpClient(
                limits=_limits(), follow_redirects=False, timeout=openai.Timeout(None, connect=CONNECT_SECONDS)
            ),
            organization=None if own else "",  # None takes OPENAI_ORG_ID, which is no other service's business
            project=None if own else "",
        )

    async def complete(self, request: ChatRequest) -> ChatReply:
        body = request_body(request)
        if body.get("stream"):
            return await self._within(request.deadline, partial(self._streamed, request, body))
        received = await self._within(request.deadline, partial(self._whole, body))
        return read_completion(self._parsed(received), request, self._asked)

    async def ping(self) -> None:
        try:
            await self._within(
                self._clock.monotonic() + PING_SECONDS, partial(self._client.get, "/models", cast_to=object)
            )
        except AgentCommunicationException as error:
            if error.code not in ("refused", "unknown_model"):  # a service may keep no list
                raise

    async def aclose(self) -> None:
        await self._client.close()

    async def _posted(self, body: Mapping[str, Any]) -> Any:
        """The answer as a stream of the library's, however it was asked for; its reader closes it."""
        import openai

        return await self._client.post(
            "/chat/completions",
            cast_to=object,
            body=body,
            options={"timeout": openai.Timeout(None, connect=self._connect_seconds())},
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )

    async def _whole(self, body: Mapping[str, Any]) -> bytes:
        stream = await self._posted(body)
        received = bytearray()
        try:
            async for piece in stream.response.aiter_bytes():
                received += piece
                if len(received) > MAX_BODY_BYTES:
                    raise self._too_large()
        finally:
            await stream.response.aclose()
        return bytes(received)

    def _parsed(self, received: bytes) -> Any:
        """The answer's JSON, the key taken out of its texts: however it was written, and never out of field names."""
        try:
            return self._asked.secret.hidden_in_all(json.loads(received))
        except (ValueError, RecursionError):
            shown = received[:4096].decode("utf-8", "replace")
        raise bad_answer(self._asked, "the provider answered with no JSON", shown)

    async def _streamed(self, request: ChatRequest, body: Mapping[str, Any]) -> ChatReply:
        gathering, secret, waiting = Gathering(self._asked), self._asked.secret, ""
        stream = await self._posted(body)
        try:
            if request.watch is not None:
                request.watch("")
            async for event in stream:
                text = gathering.take(event)
                if gathering.length > MAX_BODY_BYTES:
                    raise self._too_large()
                if text and request.watch is not None:
                    waiting = secret.hidden_in(waiting + text)
                    ready = len(waiting) - secret.held_back(waiting)
                    if ready:
                        request.watch(waiting[:ready])
                    waiting = waiting[ready:]
            if waiting and request.watch is not None:
                request.watch(waiting)
        except ValueError:  # an event that is no JSON
            raise bad_answer(self._asked, "the provider's stream holds an event that is no JSON") from None
        finally:
            await stream.response.aclose()
        whole = gathering.completion()
        if whole is None:
            raise self._asked.failure("unavailable", "the stream ended before the answer did")
        return read_completion(self._parsed(json.dumps(whole).encode()), request, self._asked)

    def _connect_seconds(self) -> float:
        return CONNECT_SECONDS + CONNECT_SECONDS_EACH * self._under_way

    def _too_large(self) -> AgentCommunicationException:
        return self._asked.failure("answer_too_large", f"the answer is longer than {MAX_BODY_BYTES:,} bytes")

    async def _within(self, deadline: float | None, work: Callable[[], Awaitable[Result]]) -> Result:
        """What `work` gives, by `deadline`; what the library raises becomes ours.

        Ours is raised outside of the handlers, so that the library's is not kept as its context.
        """
        import httpx2
        import openai

        left = None if deadline is None else deadline - self._clock.monotonic()
        self._under_way += 1
        try:
            with anyio.fail_after(None if left is None else max(0.0, left)):
                return await work()
        except TimeoutError:
            failure = self._asked.failure("timed_out", "no answer before the deadline")
        except openai.OpenAIError as error:
            failure = self._classified(error)
        except httpx2.HTTPError as error:
            failure = self._broken(error)
        finally:
            self._under_way -= 1
        raise failure

    def _broken(self, error: BaseException) -> AgentCommunicationException:
        """A connection that was not made, or broke. The library calls most of that a timeout; its causes say more."""
        timed_out, cause = False, error
        while cause.__cause__ is not None:
            cause = cause.__cause__
            timed_out = timed_out or isinstance(cause, TimeoutError)
        if timed_out:
            return self._asked.failure("timed_out", "no connection in time")
        return self._asked.failure("unavailable", f"no connection, or it broke: {cause or type(cause).__name__}")

    def _classified(self, error: Exception) -> AgentCommunicationException:
        import openai

        if isinstance(error, openai.APIConnectionError):
            return self._broken(error)
        if isinstance(error, openai.APIStatusError):
            headers = {name.lower(): value for name, value in error.response.headers.items()}
            return refusal(self._asked, error.status_code, error.body, headers, self._clock.now())
        body = error.body if isinstance(error, openai.APIError) else None
        return refusal(self._asked, 500, body or str(error), {}, self._clock.now())


def _without_ambient(asked: Asked) -> Any:
    """Headers that take those of OPENAI_CUSTOM_HEADERS out, which are meant for OpenAI and may hold what is secret."""
    import openai

    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
    names = [line.partition(":")[0].strip() for line in lines if ":" in line]
    headers: dict[str, Any] = {name: openai.omit for name in names if name.lower() != "authorization"}
    return {**headers, "Authorization": f"Bearer {asked.secret.value or NO_KEY}"}


def _limits() -> Any:
    import httpx2

    return httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)


def require_library(provider: str) -> None:
    """ConfigurationException that names the extra where the library is not there."""
    try:
        import aiohttp  # noqa: F401
        import openai  # noqa: F401
    except ImportError as error:
        raise ConfigurationException(
            f"the provider {provider!r} needs the extra `openai`: {error}",
            code="extra_missing",
            subject=provider,
            hint="Install it: pip install 'prismenv[openai]'",
        ) from None
