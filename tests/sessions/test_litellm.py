"""Models through litellm. The library itself is tested where it is installed: `scripts/test --real-llm`."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.keys import KeySource
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext
from prismenv.finding.plugins import providers
from prismenv.testing.openai_faults import Fault
from prismenv.testing.openai_server import OpenAIServer
from prismenv.words.chat import ChatMessage, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

KEY = "sk-very-secret-0123456789"
real = pytest.mark.real_llm
QUIET = pytest.mark.filterwarnings("ignore")  # the library's own, which are not ours to mend


def opened(model: str, url: str | None = None, key: KeySource | None = None) -> ChatTransport:
    keys = {} if key is None else {"litellm": key}
    return providers()["litellm"].open(
        ModelReference("litellm", model, url), ProviderContext(SystemClock(), Path(), 0, keys=keys)
    )


def request(model: str = "openai/test-model", watch: Any = None, seed: int | None = None, **params: Any) -> ChatRequest:
    messages = (ChatMessage("system", "Be brief."), ChatMessage("user", "Hello?"))
    deadline = time.monotonic() + 60
    return ChatRequest(model, messages, "writer", params=params, seed=seed, deadline=deadline, watch=watch)


@pytest.mark.parametrize(("provider", "library"), [("litellm", "litellm"), ("openai", "openai"), ("vllm", "aiohttp")])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, provider: str, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(ConfigurationException) as caught:
        providers()[provider].open(ModelReference(provider, "maker/name"), ProviderContext(SystemClock(), Path(), 0))
    extra = "litellm" if provider == "litellm" else "openai"
    assert caught.value.code == "extra_missing"
    assert f"pip install 'prismenv[{extra}]'" in str(caught.value)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("litellm")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


@real
@QUIET
@pytest.mark.anyio
async def test_an_answer_has_its_text_usage_and_price(environment: None) -> None:
    async with opened("openai/gpt-4o") as transport:
        reply = await transport.complete(request("openai/gpt-4o", mock_response="Hi."))
    assert reply.text == "Hi."
    assert (reply.usage.calls, reply.usage.estimated) == (1, False)
    assert reply.usage.cost_usd is not None
    assert reply.usage.cost_usd > 0


@real
@QUIET
@pytest.mark.anyio
async def test_a_real_exchange_over_a_socket_whole_and_streamed(environment: None) -> None:
    with OpenAIServer(lambda _: "Hello to you.") as server:
        async with opened("openai/test-model", server.url) as transport:
            assert (await transport.complete(request(seed=5, temperature=0.5))).text == "Hello to you."
            pieces: list[str] = []
            assert (await transport.complete(request(watch=pieces.append))).text == "Hello to you."
    assert pieces[0] == ""
    assert "".join(pieces) == "Hello to you."
    assert len(pieces) > 2
    sent = server.calls[0].body
    assert (sent["model"], sent["seed"], sent["temperature"]) == ("test-model", 5, 0.5)


@real
@QUIET
@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.rate_limited("7"), "rate_limited"),
        (Fault.error(500, "broken"), "unavailable"),
        (Fault.error(401, f"Incorrect API key provided: {KEY}", code="invalid_api_key"), "unauthorised"),
        (Fault.context_too_long(), "context_too_long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_goes_wrong_is_told_apart_once_and_without_the_key(
    environment: None, fault: Fault, code: str
) -> None:
    with OpenAIServer() as server:
        server.always = fault
        async with opened("openai/test-model", server.url) as transport:
            with pytest.raises(AgentCommunicationException) as caught:
                await transport.complete(request())
        assert len(server.calls) == 1  # the library repeats nothing by itself
    assert caught.value.code == code
    assert caught.value.__cause__ is None
    assert KEY not in repr(caught.value) + str(caught.value)
    if code == "rate_limited":
        assert caught.value.retry_after_seconds == 7.0


@real
@QUIET
@pytest.mark.anyio
async def test_nobody_there_is_unavailable(environment: None) -> None:
    async with opened("openai/test-model", "http://127.0.0.1:9/v1") as transport:
        with pytest.raises(AgentCommunicationException) as caught:
            await transport.complete(request())
    assert caught.value.code == "unavailable"


@real
@QUIET
def test_a_maker_that_nobody_knows_and_a_missing_key_are_told_when_it_opens(environment: None) -> None:
    with pytest.raises(ConfigurationException, match="does not know whose model"):
        opened("nonesuch/model")
    with pytest.raises(ConfigurationException, match="ANTHROPIC_API_KEY is not set") as caught:
        opened("anthropic/claude-3-5-sonnet-20240620")
    assert caught.value.code == "no_key"


@real
@QUIET
@pytest.mark.anyio
async def test_a_seed_of_ours_goes_only_where_it_is_taken(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    model = "anthropic/claude-3-5-sonnet-20240620"
    async with opened(model) as transport:
        reply = await transport.complete(request(model, seed=5, mock_response="Hi."))
    assert reply.text == "Hi."
