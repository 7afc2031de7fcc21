"""What Prometheus is told of environments. Labels are names that are known here, never what a client made up."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 60, 300)


class EnvironmentMeter:
    """The counters of one server, in a registry of their own."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._found: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}
        self._calls = Counter(
            "prismenv_environment_calls",
            "Calls by environment, kind and what became of them.",
            ("environment", "call", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "prismenv_environment_call_seconds",
            "From a call to its answer.",
            ("environment", "call"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._requests = Counter(
            "prismenv_http_requests", "Requests by path and status.", ("path", "status"), registry=self._registry
        )

    def gauge(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A number that is read when somebody asks for it."""
        Gauge(f"prismenv_environment_{name}", about, registry=self._registry).set_function(value)

    def called(self, environment: str, call: str, outcome: str, seconds: float) -> None:
        """A call was answered; `outcome` is `ok` or the code of an error."""
        key = (environment, call, outcome)
        found = self._found.get(key)
        if found is None:  # looking one up by its labels costs more than counting
            found = self._found[key] = self._calls.labels(*key), self._seconds.labels(environment, call)
        found[0].inc()
        found[1].observe(seconds)

    def requested(self, path: str, status: int) -> None:
        """A request was answered; `path` is the route's."""
        self._requests.labels(path, str(status)).inc()

    def page(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
