"""Models of all makers through the litellm library (extra `litellm`), for those that speak no chat completions.

The library is large and takes seconds to import, so it is imported when the first of its models is opened; it must not
fetch its table of prices from the internet then. Its own repetitions are off: sessions/local.py repeats. Its exceptions
never become a cause of ours: they hold what a service said, which may be a key, and the keys may be any that stand in
the environment, where it finds them itself.
"""

import os
from collections.abc import Mapping
from typing import Any

import anyio

from prismenv.contracts.clock import Clock
from prismenv.contracts.transport import ChatTransport, ModelReference
from prismenv.network.secret import Secret
from prismenv.sessions.answer import MAX_ANSWER_BYTES
from prismenv.sessions.completions import Gathering, read_completion, request_body
from prismenv.sessions.refusals import Asked, refusal
from prismenv.words.chat import ChatReply, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

PROVIDER = "litellm"
MAX_CHARACTERS = 12 * MAX_ANSWER_BYTES
_LOCAL_PRICES = "LITELLM_LOCAL_MODEL_COST_MAP"


def load_library() -> Any:
    """The library, quiet and without its habits of calling home. ConfigurationException that names the extra."""
    os.environ.setdefault(_LOCAL_PRICES, "True")
    try:
        import litellm
    except ImportError as error:
        raise ConfigurationException(
            f"the provider {PROVIDER!r} needs the extra `litellm`: {error}",
            code="extra_missing",
            subject=PROVIDER,
            hint="Install it: pip install 'prismenv[litellm]'",
        ) from None
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm


class LitellmTransport(ChatTransport):
    """The model that litellm calls `reference.model`, such as `anthropic/NAME`; its address where there is one.

    `key` is the recipe's, an empty one lets the library look in the environment. Raises ConfigurationException where
    the library does not know whose model that is, or a key is missing.
    """

    def __init__(self, reference: ModelReference, key: Secret, key_source: str, clock: Clock) -> None:
        self._library = load_library()
        self._clock = clock
        self._model = reference.model
        hidden = key if key.value else _environment_keys(os.environ)
        self._asked = Asked(str(reference), reference.url or "its own address", key_source, hidden)
        given = {"api_key": key.value or None, "api_base": reference.url}
        self._given = {name: value for name, value in given.items() if value is not None}
        self._takes_seed = self._look_up(has_key=bool(key.value or reference.url))

    async def complete(self, request: ChatRequest) -> ChatReply:
        body = request_body(request)
        if "seed" not in request.params and not self._takes_seed:
            body.pop("seed", None)
        left = None if request.deadline is None else max(0.0, request.deadline - self._clock.monotonic())
        try:
            with anyio.fail_after(left):
                if body.get("stream"):
                    answer = await self._streamed(request, body)
                else:
                    came = await self._library.acompletion(**body, **self._given, num_retries=0, max_retries=0)
                    answer = _priced(came)
                return read_completion(answer, request, self._asked)
        except TimeoutError:
            failure = self._asked.failure("timed_out", "no answer before the deadline")
        except AgentCommunicationException as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - boundary: the library raises many kinds, most of them openai's
            failure = self._classified(error)
        raise failure

    async def ping(self) -> None:
        """No provider that the library knows can be asked for free; that the model is known was seen when it opened."""

    async def _streamed(self, request: ChatRequest, body: Mapping[str, Any]) -> dict[str, Any]:
        gathering, secret, waiting = Gathering(self._asked), self._asked.secret, ""
        stream = await self._library.acompletion(**body, **self._given, num_retries=0, max_retries=0)
        watch = request.watch or (lambda _: None)
        watch("")
        async for event in stream:
            text = gathering.take(event.model_dump())
            if gathering.length > MAX_CHARACTERS:
                raise self._asked.failure(
                    "answer_too_large", f"the answer is longer than {MAX_CHARACTERS:,} characters"
                )
            waiting = secret.hidden_in(waiting + text)
            ready = len(waiting) - secret.held_back(waiting)
            if ready:
                watch(waiting[:ready])
            waiting = waiting[ready:]
        if waiting:
            watch(waiting)
        whole = gathering.completion()
        if whole is None:
            raise self._asked.failure("unavailable", "the stream ended before the answer did")
        return whole

    def _look_up(self, *, has_key: bool) -> bool:
        """Whether the model takes a seed; what is wrong with its name or its key is raised."""
        library, failure = self._library, None
        try:
            library.get_llm_provider(self._model)
        except Exception:  # noqa: BLE001 - boundary: the library's way to say that it knows no such provider
            failure = ConfigurationException(
                f"{self._asked.model}: litellm does not know whose model {self._model!r} is; expected "
                f"{PROVIDER}/MAKER/MODEL, such as {PROVIDER}/anthropic/NAME",
                code="model_malformed",
                subject=self._asked.model,
            )
        if failure is not None:
            raise failure
        missing = library.validate_environment(self._model).get("missing_keys") or []
        if missing and not has_key:
            raise ConfigurationException(
                f"{self._asked.model}: no key: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
                code="no_key",
                subject=self._asked.model,
                hint=f"Set it, or say where the key is: `keys: {{{PROVIDER}: {{variable: NAME}}}}` in the recipe.",
            )
        return "seed" in (library.get_supported_openai_params(model=self._model) or ())

    def _classified(self, error: Exception) -> AgentCommunicationException:
        status = getattr(error, "status_code", None)
        kind = type(error).__name__
        if kind == "Timeout":
            return self._asked.failure("timed_out", "no answer in time")
        if kind == "UnsupportedParamsError":
            return self._asked.failure("refused", f"a parameter is not taken: {error}", "Take it out of model_params.")
        if not isinstance(status, int):
            return self._asked.failure("provider_failed", f"litellm raised {kind}: {error}")
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        named = {str(name).lower(): str(value) for name, value in dict(headers).items()}
        return refusal(self._asked, status, str(error), named, self._clock.now())


class _Secrets(Secret):
    """Several keys that are hidden together."""

    __slots__ = ("_all",)

    def __init__(self, values: list[str]) -> None:
        super().__init__("")
        self._all = [Secret(value) for value in sorted(values, key=len, reverse=True)]

    def hidden_in(self, text: str) -> str:
        for secret in self._all:
            text = secret.hidden_in(text)
        return text

    def held_back(self, text: str) -> int:
        return max((secret.held_back(text) for secret in self._all), default=0)

    def cut_from(self, body: bytes) -> bytes:
        for secret in self._all:
            body = secret.cut_from(body)
        return body


def _environment_keys(environ: Mapping[str, str]) -> Secret:
    """The keys that the library may find by itself, to be hidden."""
    ends = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
    return _Secrets([value for name, value in environ.items() if name.upper().endswith(ends) and len(value) >= 8])  # noqa: PLR2004 - no key is shorter


def _priced(came: Any) -> dict[str, Any]:
    """The answer as plain data, with what the library thinks that it cost."""
    answer: dict[str, Any] = came.model_dump()
    cost = (getattr(came, "_hidden_params", None) or {}).get("response_cost")
    if isinstance(answer.get("usage"), dict) and isinstance(cost, int | float):
        answer["usage"] = {**answer["usage"], "cost": cost}
    return answer
