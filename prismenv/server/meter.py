"""What Prometheus is told. Labels are roles, outcomes and paths that are known here, never what a client made up.

Where several workers serve, whichever is asked tells the counters of all, each with the label `worker`: one's own as
they are, the others' as they last said them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from prismenv.words.outcome import Outcome

Samples = list[Any]  # of each metric: its name, help, type, and of each sample name, labels and value

SESSIONS = "Sessions that are open."
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Meter:
    """The counters of one service, in a registry of their own."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._interactions = Counter(
            "prismenv_llm_interactions",
            "Questions by what became of them.",
            ("role", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "prismenv_llm_interaction_seconds",
            "From the question to what became of it.",
            ("role",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._tokens = Counter(
            "prismenv_llm_tokens", "Tokens of answered questions.", ("role", "kind"), registry=self._registry
        )
        self._requests = Counter(
            "prismenv_http_requests", "Requests by path and status.", ("path", "status"), registry=self._registry
        )

    def gauge(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A number that is read when somebody asks for it."""
        Gauge(f"prismenv_llm_{name}", about, registry=self._registry).set_function(value)

    def asked(self, role: str, outcome: Outcome, seconds: float) -> None:
        """A question reached the model."""
        self._interactions.labels(role, "answered" if outcome.error is None else outcome.error.code).inc()
        self._seconds.labels(role).observe(seconds)
        told = outcome.answer or outcome.error
        usage = told.usage if told is not None else None
        if usage is not None:
            self._tokens.labels(role, "prompt").inc(usage.prompt_tokens)
            self._tokens.labels(role, "completion").inc(usage.completion_tokens)

    def given_up(self, role: str, why: str) -> None:
        """A question that began was cancelled."""
        self._interactions.labels(role, why).inc()

    def requested(self, path: str, status: int) -> None:
        """A request was answered; `path` is the route's, such as `/session/{session_id}`."""
        self._requests.labels(path, str(status)).inc()

    def samples(self) -> Samples:
        """All of it, as JSON."""
        return [
            [metric.name, metric.documentation, metric.type, [[one.name, one.labels, one.value] for one in kept]]
            for metric in self._registry.collect()
            if (kept := [one for one in metric.samples if not one.name.endswith("_created")])
        ]

    def page(self, sessions: int | None = None, workers: Mapping[str, Samples] | None = None) -> bytes:
        """All of it, in Prometheus' text format.

        With `workers`, what all of them said by name, and `sessions`, which they have together.
        """
        if workers is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        if sessions is not None:
            Gauge("prismenv_llm_sessions", SESSIONS, registry=together).set(sessions)
        together.register(_Workers(workers))
        return generate_latest(together)


class _Workers(Collector):
    """The samples of several workers, a metric once and a sample for each."""

    def __init__(self, workers: Mapping[str, Samples]) -> None:
        self._workers = workers

    def collect(self) -> Iterable[Metric]:
        metrics: dict[str, Metric] = {}
        for worker, samples in self._workers.items():
            for name, about, kind, values in samples:
                metric = metrics.setdefault(name, Metric(name, about, kind))
                for sample, labels, value in values:
                    metric.add_sample(sample, {**labels, "worker": worker}, value)
        return metrics.values()

    def describe(self) -> Iterator[Metric]:
        return iter(())
