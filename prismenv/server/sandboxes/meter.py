"""What Prometheus is told of a sandbox's service. Labels are words that are known here, never what a client made up."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 60, 300)


class SandboxMeter:
    """The counters of one service, in a registry of their own."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._runs = Counter(
            "prismenv_sandbox_runs", "What was judged and run, by outcome.", ("call", "outcome"), registry=registry
        )
        self._seconds = Histogram(
            "prismenv_sandbox_run_seconds", "How long it took.", ("call",), buckets=_SECONDS, registry=registry
        )
        self._waits = Histogram(
            "prismenv_sandbox_wait_seconds", "How long it waited for its turn.", buckets=_SECONDS, registry=registry
        )
        self._requests = Counter(
            "prismenv_http_requests", "Requests by path and status.", ("path", "status"), registry=registry
        )

    def gauge(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A number that is read when somebody asks for it."""
        Gauge(f"prismenv_sandbox_{name}", about, registry=self._registry).set_function(value)

    def waited(self, seconds: float) -> None:
        """One had its turn."""
        self._waits.observe(seconds)

    def ran(self, call: str, outcome: str, seconds: float) -> None:
        """One is done, or was given up (`cancelled`) or refused."""
        self._runs.labels(call, outcome).inc()
        self._seconds.labels(call).observe(seconds)

    def requested(self, path: str, status: int) -> None:
        """A request was answered; `path` is the route's."""
        self._requests.labels(path, str(status)).inc()

    def page(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
