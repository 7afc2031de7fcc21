"""Real inference servers through the provider `openai`: llama.cpp's with random weights, and litellm's proxy.

`scripts/test --real-llm` installs them and says where they are; without that these tests are skipped.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from prismenv.contracts.clock import SystemClock
from prismenv.contracts.keys import KeySource
from prismenv.contracts.transport import ChatTransport, ModelReference, ProviderContext
from prismenv.finding.plugins import providers
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.local import InProcessInterface
from prismenv.words.chat import ChatMessage, ChatRequest
from prismenv.words.errors import AgentCommunicationException

pytestmark = [pytest.mark.real_llm, pytest.mark.anyio, pytest.mark.timeout(300)]
KEY = "sk-proxy-0123456789"
PROXY = """\
model_list:
  - model_name: mocked
    litellm_params: {model: openai/mocked, api_key: none, mock_response: "Hello from the proxy."}
  - model_name: busy
    litellm_params: {model: openai/busy, api_key: none, mock_response: litellm.RateLimitError}
general_settings: {master_key: sk-proxy-0123456789}
litellm_settings: {num_retries: 0}
router_settings: {num_retries: 0}
"""


def python_of(variable: str) -> str:
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no Python with the server; scripts/test --real-llm installs it")
    return python


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(words: list[str], ready: str, log: Path) -> Iterator[None]:
    """A server until it is no longer needed; it is there when `ready` can be had."""
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with log.open("w") as output, subprocess.Popen(words, stdout=output, stderr=output, env=environment) as process:
        try:
            deadline = time.monotonic() + 240
            while not is_there(ready):
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                time.sleep(0.2)
            yield
        finally:
            process.terminate()


def is_there(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code < 500
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[str]:
    """The address of llama.cpp's server over a model of random weights, called `tiny`."""
    python, folder, port = python_of("REAL_LLAMA_PYTHON"), tmp_path_factory.mktemp("llama"), free_port()
    model = folder / "tiny.gguf"
    subprocess.run([python, str(root / "scripts" / "build-tiny-gguf"), str(model)], check=True)
    words = [python, "-m", "llama_cpp.server", "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "512"]
    url = f"http://127.0.0.1:{port}/v1"
    with running([*words, "--model", str(model), "--model_alias", "tiny"], f"{url}/models", folder / "log"):
        yield url


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of litellm's proxy, whose models are mocked."""
    python, folder, port = Path(python_of("REAL_LITELLM_PYTHON")), tmp_path_factory.mktemp("proxy"), free_port()
    (folder / "config.yaml").write_text(PROXY, encoding="utf-8")
    words = [str(python.with_name("litellm")), "--config", str(folder / "config.yaml")]
    words += ["--host", "127.0.0.1", "--port", str(port)]
    with running(words, f"http://127.0.0.1:{port}/health/liveliness", folder / "log"):
        yield f"http://127.0.0.1:{port}/v1"


def opened(url: str, model: str, variable: str | None = None) -> ChatTransport:
    keys = {} if variable is None else {"openai": KeySource(variable=variable)}
    context = ProviderContext(SystemClock(), Path(), 0, keys=keys)
    return providers()["openai"].open(ModelReference("openai", model, url), context)


def request(model: str, text: str = "Say something.", watch: Any = None, **params: Any) -> ChatRequest:
    seed = params.pop("seed", None)
    messages = (ChatMessage("system", "Be brief."), ChatMessage("user", text))
    return ChatRequest(
        model, messages, "writer", params=params, seed=seed, deadline=time.monotonic() + 120, watch=watch
    )


async def test_a_real_server_answers_whole_and_in_pieces_and_the_same_for_a_seed(llama: str) -> None:
    async with opened(llama, "tiny") as transport:
        await transport.ping()
        first = await transport.complete(request("tiny", seed=7, max_tokens=24))
        again = await transport.complete(request("tiny", seed=7, max_tokens=24))
        pieces: list[str] = []
        streamed = await transport.complete(request("tiny", seed=7, max_tokens=24, watch=pieces.append))
    assert first.text
    assert first.text == again.text
    assert streamed.text == "".join(pieces) == first.text
    assert first.finish_reason == streamed.finish_reason == "length"
    assert first.usage.completion_tokens == 24
    assert not first.usage.estimated
    assert streamed.usage.completion_tokens > 0


async def test_what_a_real_server_refuses_is_told_apart(llama: str) -> None:
    async with opened(llama, "tiny") as transport:
        with pytest.raises(AgentCommunicationException) as caught:
            await transport.complete(request("tiny", "x" * 5000, max_tokens=8))
    assert caught.value.code == "context_too_long"


async def test_real_sessions_at_once_keep_their_own_histories(llama: str) -> None:
    agent = AgentFile.model_validate(
        {
            "role": "writer",
            "model_params": {"max_tokens": 12},
            "interaction_templates": {"default": {"template": "{text}", "inputs": [{"name": "text"}]}},
        }
    )
    async with opened(llama, "tiny") as transport:
        interface = InProcessInterface({"writer": agent}, lambda _: transport, SystemClock(), models=lambda _: "tiny")
        sessions = [await interface.initialize_session("writer", seed=number) for number in range(4)]

        async def speak(session: str) -> None:
            for turn in range(2):
                await interface.interact(session, "writer", {"text": f"{session} {turn}"})

        async with anyio.create_task_group() as tasks:
            for session in sessions:
                tasks.start_soon(speak, session)
        for session in sessions:
            said = interface.history(session, "writer")
            assert [message.content for message in said[::2]] == [f"{session} 0", f"{session} 1"]
            assert all(message.content for message in said)


async def test_a_proxy_answers_with_its_key_and_tells_what_it_refuses(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROXY_KEY", KEY)
    async with opened(proxy, "mocked", "PROXY_KEY") as transport:
        await transport.ping()
        assert (await transport.complete(request("mocked"))).text == "Hello from the proxy."
        pieces: list[str] = []
        assert (await transport.complete(request("mocked", watch=pieces.append))).text == "Hello from the proxy."
        assert "".join(pieces) == "Hello from the proxy."
        for model, code in (("nonesuch", "unknown_model"), ("busy", "rate_limited")):
            with pytest.raises(AgentCommunicationException) as caught:
                await transport.complete(request(model))
            assert caught.value.code == code, model
            assert KEY not in str(caught.value)
