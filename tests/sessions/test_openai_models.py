"""Models behind OpenAI-compatible services: what is sent, what is read, what goes wrong, over real sockets."""

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.keys import KeySource
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext
from prismenv.finding.plugins import providers
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.sessions.models import open_transports
from prismenv.sessions.openai_transport import OpenAITransport
from prismenv.sessions.refusals import Asked
from prismenv.sessions.service import Secret
from prismenv.testing.openai_faults import Fault
from prismenv.testing.openai_server import OpenAIServer
from prismenv.words.chat import ChatMessage, ChatRequest
from prismenv.words.errors import AgentCommunicationException, ConfigurationException

pytestmark = pytest.mark.anyio
KEY = "sk-very-secret-0123456789"
VARIABLE = "SOME_MODEL_KEY"
QUESTION = "Write a program that adds two numbers, please."
BOTH = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
Open = Callable[..., AbstractAsyncContextManager[ChatTransport]]


@pytest.fixture
def service() -> Iterator[Callable[..., OpenAIServer]]:
    servers: list[OpenAIServer] = []

    def start(**options: Any) -> OpenAIServer:
        servers.append(OpenAIServer(**options).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Open:
    @asynccontextmanager
    async def opened(
        server: OpenAIServer | str, key: KeySource | None = None, name: str = "test-model"
    ) -> AsyncIterator[ChatTransport]:
        url = server if isinstance(server, str) else server.url
        context = ProviderContext(SystemClock(), Path(), 0, keys={} if key is None else {"openai": key})
        async with providers()["openai"].open(ModelReference("openai", name, url), context) as transport:
            yield transport

    return opened


def request(streamed: bool = False, seconds: float | None = 20.0, **params: Any) -> ChatRequest:
    deadline = None if seconds is None else time.monotonic() + seconds
    messages = (ChatMessage("system", "Be brief."), ChatMessage("user", QUESTION))
    pieces: list[str] = []
    watch = pieces.append if streamed else None
    return ChatRequest(
        params.pop("model", "test-model"), messages, "writer", params=params, deadline=deadline, watch=watch
    )


async def failure(transport: ChatTransport, asked: ChatRequest) -> AgentCommunicationException:
    with pytest.raises(AgentCommunicationException) as caught:
        await transport.complete(asked)
    return caught.value


@BOTH
async def test_an_answer_has_its_text_its_usage_and_why_it_ended(service: Any, model: Open, streamed: bool) -> None:
    async with model(service()) as transport:
        reply = await transport.complete(request(streamed))
    assert reply.text == QUESTION
    assert reply.finish_reason == "stop"
    assert (reply.usage.model, reply.usage.prompt_tokens, reply.usage.completion_tokens) == (
        "openai/test-model",
        14,
        12,
    )
    assert not reply.usage.estimated
    assert reply.usage.cost_usd is None


async def test_parameters_reach_the_service_as_they_are(service: Any, model: Open) -> None:
    server = service()
    params = {
        "temperature": 0.5,
        "top_k": 3,
        "stop": ["numbers"],
        "max_tokens": 100,
        "chat_template_kwargs": {"a": [1]},
    }
    async with model(server) as transport:
        asked = request(**params, api_key_variable="X", presence_penalty=None)
        reply = await transport.complete(
            ChatRequest(asked.model, asked.messages, "writer", params=asked.params, seed=2**40 + 7)
        )
    (seen,) = server.calls
    assert {name: seen.body[name] for name in params} == params
    assert seen.body["seed"] == 7
    assert set(seen.body) == {*params, "seed", "model", "messages"}
    assert reply.text == "Write a program that adds two "


@BOTH
async def test_choices_logprobs_and_tool_calls_are_handed_on(service: Any, model: Open, streamed: bool) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    async with model(service()) as transport:
        several = await transport.complete(request(streamed, n=3, logprobs=True))
        called = await transport.complete(request(streamed, tools=[tool]))
    assert several.details["choices"] == [QUESTION, QUESTION]
    assert several.details["logprobs"]["content"][0]["logprob"] == -0.5
    assert called.finish_reason == "tool_calls"
    assert called.details["tool_calls"][0]["function"] == {"name": "add", "arguments": "{}"}


async def test_a_watcher_is_handed_the_text_as_it_comes(service: Any, model: Open) -> None:
    pieces: list[str] = []
    asked = request()
    async with model(service()) as transport:
        reply = await transport.complete(ChatRequest(asked.model, asked.messages, "writer", watch=pieces.append))
    assert pieces[0] == ""
    assert len(pieces) > 5
    assert "".join(pieces) == reply.text == QUESTION


@BOTH
@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (Fault.quota_exhausted(), "quota_exhausted", "another model"),
        (Fault.error(402, "Insufficient Balance"), "quota_exhausted", "Insufficient Balance"),
        (Fault.rate_limited(), "rate_limited", "Lower concurrency"),
        (Fault.context_too_long(), "context_too_long", "longer context"),
        (Fault.error(403, "country not supported"), "unauthorised", "country"),
        (Fault.error(400, "Unsupported parameter: 'max_tokens'"), "refused", "max_tokens"),
        (Fault.page(502), "unavailable", "busy"),
        (Fault.error(500), "unavailable", "made up"),
        (Fault.page(408), "timed_out", "408"),
        (Fault.page(307), "refused", "307"),
        (Fault.reset(), "unavailable", "connection"),
        (Fault.cut(), "unavailable", ""),
        (Fault.stream_error(), "unavailable", "The server had an error"),
        (Fault.malformed(), "bad_answer", "JSON"),
        (Fault.answering([1, 2]), "bad_answer", "[1, 2]"),
        (Fault.answering("text"), "bad_answer", "text"),
        (Fault.answering({"choices": "many"}), "bad_answer", "many"),
    ],
)
async def test_what_goes_wrong_is_told_apart(  # noqa: PLR0913, PLR0917
    service: Any, model: Open, fault: Fault, code: str, says: str, streamed: bool
) -> None:
    server = service()
    server.always = fault
    async with model(server) as transport:
        error = await failure(transport, request(streamed))
    assert error.code == code
    assert says in str(error)
    assert len(server.calls) == 1  # the library's own repetitions are off


@pytest.mark.parametrize(
    "payload",
    [
        {"choices": [7]},
        {"choices": [{"message": "hello"}]},
        {"choices": [{"message": {"content": 7}}]},
        {"choices": None},
    ],
)
async def test_wrong_types_are_no_answer(service: Any, model: Open, payload: Any) -> None:
    server = service()
    server.always = Fault.answering(payload)
    async with model(server) as transport:
        assert (await failure(transport, request())).code == "bad_answer"


async def test_an_answer_without_a_choice_was_paid_for(service: Any, model: Open) -> None:
    server = service()
    server.always = Fault.empty_choices()
    async with model(server) as transport:
        error = await failure(transport, request())
    assert error.code == "bad_answer"
    assert error.usage is not None
    assert error.usage.prompt_tokens == 14


@pytest.mark.parametrize("usage", [None, "much", {"prompt_tokens": "7", "completion_tokens": -1}])
async def test_usage_that_a_service_does_not_tell_is_estimated(service: Any, model: Open, usage: Any) -> None:
    server = service()
    server.always = Fault.answering({"usage": usage})
    async with model(server) as transport:
        reply = await transport.complete(request())
    assert reply.usage.estimated
    assert reply.usage.completion_tokens == 12


@BOTH
async def test_refusals_and_length_stops_are_told(service: Any, model: Open, streamed: bool) -> None:
    server = service()
    server.script.extend([Fault.refusal("No."), Fault.length("def f(")])
    async with model(server) as transport:
        refused, cut = [await transport.complete(request(streamed)) for _ in range(2)]
    assert (refused.text, refused.finish_reason) == ("No.", "refusal")
    assert (cut.text, cut.finish_reason) == ("def f(", "length")


async def test_a_stream_that_ends_before_the_answer_is_no_answer(service: Any, model: Open) -> None:
    server = service()
    server.always = Fault.unfinished()
    async with model(server) as transport:
        error = await failure(transport, request(streamed=True))
    assert error.code == "unavailable"
    assert "before the answer did" in str(error)


@BOTH
@pytest.mark.parametrize("fault", [Fault.late(30), Fault.drip(0.2)], ids=["late", "drip"])
async def test_the_deadline_holds(service: Any, model: Open, fault: Fault, streamed: bool) -> None:
    server = service()
    server.always = fault
    async with model(server) as transport:
        assert (await failure(transport, request(streamed, seconds=0.3))).code == "timed_out"


async def test_nobody_there_is_unavailable(model: Open) -> None:
    async with model("http://127.0.0.1:9/v1") as transport:
        assert (await failure(transport, request())).code == "unavailable"


@pytest.mark.parametrize(
    ("header", "value", "seconds"),
    [
        ("Retry-After", "7", 7.0),
        ("Retry-After", "1.5", 1.5),
        ("retry-after-ms", "250", 0.25),
        ("Retry-After", "soon", None),
    ],
)
async def test_the_time_that_a_provider_asks_for_is_carried(
    service: Any, model: Open, header: str, value: str, seconds: float | None
) -> None:
    server = service()
    server.always = Fault.rate_limited(value, header=header)
    async with model(server) as transport:
        error = await failure(transport, request())
    assert (error.code, error.retry_after_seconds) == ("rate_limited", seconds)


@pytest.mark.parametrize(
    ("status", "said"),
    [(404, "The model `x` does not exist"), (400, "Invalid model name passed in model=x."), (404, "No such model: x")],
)
async def test_an_unknown_model_is_known_by_what_services_say_of_it(
    service: Any, model: Open, status: int, said: str
) -> None:
    server = service()
    server.always = Fault.error(status, said)
    async with model(server) as transport:
        assert (await failure(transport, request())).code == "unknown_model"


async def test_an_unknown_model_is_told(service: Any, model: Open) -> None:
    async with model(service(), name="nonesuch") as transport:
        error = await failure(transport, request(model="nonesuch"))
    assert error.code == "unknown_model"
    assert "/v1/models lists" in str(error)


async def test_a_huge_answer_is_refused_before_it_is_all_kept(service: Any, model: Open) -> None:
    server = service(respond=lambda _: "x" * 15_000_000)
    async with model(server) as transport:
        assert (await failure(transport, request())).code == "answer_too_large"


async def test_a_key_goes_where_it_is_named_and_shows_nowhere(
    service: Any, model: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai-alone")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv(VARIABLE, KEY)
    server = service(key="another")
    async with model(server) as transport:
        await failure(transport, request())
    async with model(server, KeySource(variable=VARIABLE)) as transport:
        error = await failure(transport, request())
        with pytest.raises(AgentCommunicationException, match="401"):
            await transport.ping()
    without, with_key, _ = server.requests
    assert "sk-of-openai-alone" not in str(without.headers)
    assert "org-secret" not in str(without.headers)
    assert with_key.headers["authorization"] == f"Bearer {KEY}"
    assert error.code == "unauthorised"
    assert VARIABLE in str(error)
    assert KEY not in f"{error} {error!r} {error.__cause__!r} {error.__context__!r} {vars(transport)!r}"


async def test_a_key_that_a_model_repeats_is_masked(service: Any, model: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    server = service(key=KEY, respond=lambda _: f"your key is {KEY}")
    async with model(server, KeySource(variable=VARIABLE)) as transport:
        await transport.ping()
        for streamed in (False, True):
            assert (await transport.complete(request(streamed))).text == "your key is ***"


async def test_a_key_file_that_is_a_pipe_is_refused_and_not_waited_for(
    service: Any, model: Open, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "key")
    with pytest.raises(ConfigurationException, match="is no file with a key"):
        async with model(service(key=KEY), KeySource(file=str(tmp_path / "key"))):
            pass


async def test_a_key_file_must_be_its_owners_alone(service: Any, model: Open, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    server = service(key=KEY)
    for mode in (0o644, 0o640, 0o604):
        path.chmod(mode)
        with pytest.raises(ConfigurationException, match="chmod 600") as caught:
            async with model(server, KeySource(file=str(path))):
                pass
        assert caught.value.code == "key_exposed"
        assert KEY not in str(caught.value)
    path.chmod(0o600)
    async with model(server, KeySource(file=str(path))) as transport:
        assert (await transport.complete(request())).text == QUESTION


async def test_no_key_is_told_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    context = ProviderContext(SystemClock(), Path(), 0)
    with pytest.raises(ConfigurationException, match="OPENAI_API_KEY is not set") as caught:
        providers()["openai"].open(ModelReference("openai", "gpt-5"), context)
    assert caught.value.code == "no_key"


def agent(**params: Any) -> AgentFile:
    template = {"default": {"inputs": [{"name": "topic"}]}}
    return AgentFile.model_validate({"role": "writer", "interaction_templates": template, "model_params": params})


async def test_an_agent_file_names_its_key_and_never_holds_it(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    server, context = service(key=KEY), ProviderContext(SystemClock(), Path(), 0)
    models = {"default": f"vllm@{server.url}/test-model"}
    with pytest.raises(ConfigurationException, match="does not belong") as caught:
        open_transports(models, {"writer": agent(api_key=KEY)}, providers(), context)("writer")
    assert KEY not in str(caught.value)
    agents = {"writer": agent(api_key_variable=VARIABLE, max_tokens=4)}
    async with open_transports(models, agents, providers(), context) as transports:
        interface = InProcessInterface(agents, transports, context.clock, models=transports.model)
        session = await interface.initialize_session("writer", seed=1)
        server.script.append(Fault.rate_limited("0.2"))
        pieces: list[str] = []
        answer = await interface.interact(session, "writer", {"topic": "trees and forests"}, watch=pieces.append)
    assert answer.finish_reason == "length"
    assert "".join(pieces) == answer.raw
    first, second = server.calls
    assert second.at - first.at >= 0.2
    assert "api_key_variable" not in second.body


async def test_quota_is_not_asked_for_again_and_waits_past_the_deadline_are_not_waited(service: Any) -> None:
    server, context = service(), ProviderContext(SystemClock(), Path(), 0)
    agents = {"writer": agent()}
    async with open_transports({"default": f"openai@{server.url}/test-model"}, agents, providers(), context) as models:
        tuning = LocalTuning(timeout_seconds=90.0)
        interface = InProcessInterface(agents, models, context.clock, models=models.model, tuning=tuning)
        for fault, code in ((Fault.quota_exhausted(), "quota_exhausted"), (Fault.rate_limited("180"), "rate_limited")):
            server.always = fault
            session = await interface.initialize_session("writer")
            with anyio.fail_after(60), pytest.raises(AgentCommunicationException) as caught:
                await interface.interact(session, "writer", {"topic": "trees"})
            assert caught.value.code == code
    assert len(server.calls) == 2


@BOTH
@pytest.mark.parametrize("key", ["d", "id", "role", "message"])
async def test_a_key_that_is_a_word_changes_no_answer(
    service: Any, model: Open, monkeypatch: pytest.MonkeyPatch, key: str, streamed: bool
) -> None:
    monkeypatch.setenv(VARIABLE, key)
    server = service(key=key, respond=lambda _: f"an answer with {key} in it")
    pieces: list[str] = []
    async with model(server, KeySource(variable=VARIABLE)) as transport:
        asked = replace(request(streamed), watch=pieces.append if streamed else None)
        reply = await transport.complete(asked)
    assert reply.text == f"an answer with {key} in it"
    assert "".join(pieces) == (reply.text if streamed else "")


@pytest.mark.parametrize("key", ["completion_tokens", "finish_reason", "sk-with/slash-0123456789"])
async def test_a_key_is_taken_out_of_texts_and_not_out_of_the_names_of_fields(
    service: Any, model: Open, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv(VARIABLE, key)
    server = service(key=key, respond=lambda _: f"the key is {key}")
    async with model(server, KeySource(variable=VARIABLE)) as transport:
        reply = await transport.complete(request())
    assert (reply.text, reply.finish_reason, reply.usage.estimated) == ("the key is ***", "stop", False)


async def test_headers_of_the_surroundings_go_to_openai_alone(
    service: Any, model: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: blue\nAuthorization: Bearer gateway-secret\nbroken")
    monkeypatch.setenv(VARIABLE, KEY)
    server = service()
    for key in (None, KeySource(variable=VARIABLE)):
        async with model(server, key) as transport:
            await transport.complete(request())
    without, with_key = server.calls
    assert "x-team" not in without.headers | with_key.headers
    assert without.headers["authorization"] == "Bearer none"
    assert with_key.headers["authorization"] == f"Bearer {KEY}"
    asked = Asked("openai/x", server.url, "a test", Secret(KEY))
    async with OpenAITransport(asked, SystemClock(), own=True) as transport:  # as to OpenAI's own address
        await transport.complete(request())
    assert server.calls[-1].headers["x-team"] == "blue"
