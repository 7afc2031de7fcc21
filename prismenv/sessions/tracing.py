"""Spans of OpenTelemetry for questions to models, by its conventions for generative AI.

A span is one question with all its repetitions. It says which model was asked how, what that used and how it ended;
what was asked and answered is not in it. Nothing is imported and nothing done unless a program around this one has set
up a tracer provider, as `opentelemetry-instrument` does.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from loguru import logger

from prismenv.contracts.transport import ModelReference
from prismenv.words.chat import ChatReply
from prismenv.words.errors import EnvironmentException

SWITCHES = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PORTS = {"http": 80, "https": 443}
_PARAMS = {  # model_params to the conventions' attributes, with the kind of value that they take
    "frequency_penalty": ("gen_ai.request.frequency_penalty", float),
    "max_completion_tokens": ("gen_ai.request.max_tokens", int),
    "max_tokens": ("gen_ai.request.max_tokens", int),
    "n": ("gen_ai.request.choice.count", int),
    "presence_penalty": ("gen_ai.request.presence_penalty", float),
    "reasoning_effort": ("gen_ai.request.reasoning.level", str),
    "seed": ("gen_ai.request.seed", int),
    "temperature": ("gen_ai.request.temperature", float),
    "top_k": ("gen_ai.request.top_k", int),
    "top_p": ("gen_ai.request.top_p", float),
}


@dataclass(frozen=True, slots=True)
class Inference:
    """What is known of a question before it is asked. `prompt` is the template's name."""

    role: str
    session_id: str
    prompt: str
    params: Mapping[str, Any]
    streamed: bool


class Tracing:
    """Makes the spans; `reference` gives the model of a role."""

    def __init__(self, tracer: Any, reference: Callable[[str], ModelReference]) -> None:
        from opentelemetry import trace

        self._tracer = tracer
        self._reference = reference
        self._client = trace.SpanKind.CLIENT
        self._error = trace.StatusCode.ERROR

    @contextmanager
    def inference(self, asked: Inference) -> Iterator[Callable[[ChatReply], None]]:
        """A span around one question. Call what is given with the reply; an exception is the span's error."""
        reference = self._reference(asked.role)
        with self._tracer.start_as_current_span(
            f"chat {reference.model}",
            kind=self._client,
            attributes=_asked(asked, reference),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield lambda reply: span.set_attributes(_answered(reply))
            except BaseException as error:
                kind = error.code if isinstance(error, EnvironmentException) else type(error).__name__
                span.set_attribute("error.type", kind)
                span.set_status(self._error, kind)
                raise


def find_tracing(reference: Callable[[str], ModelReference], environ: Mapping[str, str] = os.environ) -> Tracing | None:
    """Tracing where somebody has set up a tracer provider in this process, else None."""
    wished = [name for name in SWITCHES if environ.get(name, "none") not in ("", "none")]
    if "opentelemetry.trace" not in sys.modules and not wished:
        return None
    try:
        from opentelemetry import trace
    except ImportError:
        logger.warning("{} is set, and spans need the extra `otel`: pip install 'prismenv[otel]'", wished[0])
        return None
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        if wished:
            logger.warning("{} is set, and nothing exports spans: run opentelemetry-instrument prismenv …", wished[0])
        return None
    return Tracing(trace.get_tracer("prismenv"), reference)


def _asked(asked: Inference, reference: ModelReference) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": reference.provider,
        "gen_ai.request.model": reference.model,
        "gen_ai.agent.name": asked.role,
        "gen_ai.conversation.id": asked.session_id,
        "gen_ai.prompt.name": f"{asked.role}.{asked.prompt}",
    }
    for name, (attribute, kind) in _PARAMS.items():
        value = asked.params.get(name)
        if isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool):
            attributes[attribute] = kind(value)
    if attributes.get("gen_ai.request.choice.count") == 1:
        del attributes["gen_ai.request.choice.count"]
    stop = asked.params.get("stop")
    if stop:
        attributes["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else [str(one) for one in stop]
    if asked.streamed:
        attributes["gen_ai.request.stream"] = True
    if reference.url is not None:
        parts = urlsplit(reference.url)
        attributes["server.address"] = parts.hostname or ""
        attributes["server.port"] = parts.port or _PORTS.get(parts.scheme, 0)
    return attributes


def _answered(reply: ChatReply) -> dict[str, Any]:
    usage = reply.usage
    attributes: dict[str, Any] = {
        "gen_ai.response.finish_reasons": [reply.finish_reason],
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }
    if isinstance(model := reply.details.get("model"), str):
        attributes["gen_ai.response.model"] = model
    if usage.estimated:
        attributes["prismenv.usage.estimated"] = True
    if usage.cost_usd is not None:
        attributes["prismenv.usage.cost_usd"] = usage.cost_usd
    return attributes
