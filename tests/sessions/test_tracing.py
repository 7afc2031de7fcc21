"""Spans of questions to models, through OpenTelemetry's own SDK."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from loguru import logger
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from prismenv.contracts.transport import ModelReference
from prismenv.sessions.agentfile import AgentFile
from prismenv.sessions.calls.retrying import guarded
from prismenv.sessions.local import InProcessInterface, LocalTuning
from prismenv.sessions.tracing import Tracing, find_tracing
from prismenv.testing.transport import ScriptedTransport
from prismenv.words.errors import AgentCommunicationException

pytestmark = pytest.mark.anyio
CODE = "```python\nx = 1\n```"
ASK = {"problem_statement": "A secret problem."}
Spans = Callable[[], list[ReadableSpan]]

# A program that has set up a provider, as opentelemetry-instrument does, and then runs an interaction.
INSTRUMENTED = """
import json, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
if json.loads(sys.argv[1]):
    trace.set_tracer_provider(provider)
sys.argv = ["prismenv", "llm", "try", "challenge_designer", "-i", "concepts=loops", "-i", "difficulty_level=easy"]
from prismenv.cli.main import build_app
try:
    build_app(sys.argv[1:])(prog_name="prismenv")
except SystemExit:
    pass
print(json.dumps([[span.name, dict(span.attributes)] for span in exporter.get_finished_spans()]))
"""


@pytest.fixture
def traced(agents: dict[str, AgentFile], clock: Any) -> Callable[..., tuple[InProcessInterface, Spans]]:
    """An interface whose questions are traced, and the spans that have ended."""

    def build(transport: ScriptedTransport, url: str | None = None) -> tuple[InProcessInterface, Spans]:
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        reference = ModelReference("vllm", "Qwen/Qwen3", url)
        tuning = LocalTuning(tracing=Tracing(provider.get_tracer("test"), lambda _: reference))
        interface = InProcessInterface(agents, lambda _: guarded(transport, clock), clock, tuning=tuning)
        return interface, lambda: list(exporter.get_finished_spans())

    return build


async def test_a_question_is_a_span_with_the_names_of_the_conventions(traced: Any) -> None:
    interface, spans = traced(ScriptedTransport(lambda _: CODE), "http://10.0.0.5/v1")
    session = await interface.initialize_session("problem_solver", seed=1)
    await interface.interact(session, "problem_solver", ASK)
    (span,) = spans()
    assert (span.name, span.kind, span.status.status_code) == ("chat Qwen/Qwen3", SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "Qwen/Qwen3",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.agent.name": "problem_solver",
        "gen_ai.conversation.id": session,
        "gen_ai.prompt.name": "problem_solver.default",
        "server.address": "10.0.0.5",
        "server.port": 80,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 10,
        "prismenv.usage.cost_usd": 0.0,
    }


async def test_a_span_covers_all_repetitions_and_holds_nothing_that_was_said(traced: Any) -> None:
    transport = ScriptedTransport(lambda _: CODE)
    transport.fail_next(AgentCommunicationException("busy", code="rate_limited"))
    interface, spans = traced(transport)
    session = await interface.initialize_session("problem_solver")
    await interface.interact(session, "problem_solver", ASK)
    (span,) = spans()
    assert transport.calls["problem_solver"] == 2
    assert "secret problem" not in span.to_json()
    assert "x = 1" not in span.to_json()


async def test_what_fails_is_an_error_of_the_span(traced: Any) -> None:
    transport = ScriptedTransport(lambda _: CODE)
    transport.fail_next(AgentCommunicationException("the key sk-1 is wrong", code="unauthorised"))
    interface, spans = traced(transport)
    session = await interface.initialize_session("problem_solver")
    with pytest.raises(AgentCommunicationException):
        await interface.interact(session, "problem_solver", ASK)
    (span,) = spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == "unauthorised"
    assert "sk-1" not in span.to_json()


async def test_questions_at_once_have_spans_of_their_own(traced: Any) -> None:
    interface, spans = traced(ScriptedTransport(lambda _: CODE))
    sessions = [await interface.initialize_session("problem_solver") for _ in range(20)]
    async with anyio.create_task_group() as tasks:
        for session in sessions:
            tasks.start_soon(interface.interact, session, "problem_solver", ASK)
    assert {span.attributes["gen_ai.conversation.id"] for span in spans()} == set(sessions)
    assert all(span.parent is None for span in spans())


@pytest.mark.parametrize("configured", [True, False])
def test_spans_are_made_where_a_provider_is_set_up_and_nowhere_else(configured: bool, tmp_path: Path) -> None:
    command = [sys.executable, "-c", INSTRUMENTED, json.dumps(configured)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    spans = json.loads(done.stdout.splitlines()[-1])
    assert [name for name, _ in spans] == (["chat perfect"] if configured else []), done.stdout + done.stderr
    if configured:
        assert spans[0][1]["gen_ai.provider.name"] == "simulated"


def test_a_wish_for_spans_that_nobody_exports_is_told() -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    try:
        reference = ModelReference("simulated", "perfect")
        assert find_tracing(lambda _: reference, {"OTEL_TRACES_EXPORTER": "otlp"}) is None
        assert find_tracing(lambda _: reference, {"OTEL_TRACES_EXPORTER": "none"}) is None
    finally:
        logger.remove(sink)
    assert len(said) == 1
    assert "run opentelemetry-instrument prismenv" in said[0]


def test_a_wish_for_spans_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    try:
        reference = ModelReference("simulated", "perfect")
        assert find_tracing(lambda _: reference, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}) is None
    finally:
        logger.remove(sink)
    assert "pip install 'prismenv[otel]'" in said[0]
