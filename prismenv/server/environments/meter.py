"""What Prometheus is told of environments. Labels are names that are known here, never what a client made up."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 60, 300)
_BOUNDS = [*map(floatToGoString, _SECONDS), "+Inf"]


class _Calls(Collector):
    """Counts of calls, and how long they took, by environment, kind and outcome.

    The library's own counters take a lock for each number, three a call, which is a twentieth of what a step costs.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}
        self._times: dict[tuple[str, str], list[float]] = {}  # of each: how many in each bucket, and the sum

    def add(self, environment: str, call: str, outcome: str, seconds: float) -> None:
        key = (environment, call, outcome)
        self._counts[key] = self._counts.get(key, 0) + 1
        times = self._times.get(key[:2])
        if times is None:
            times = self._times[key[:2]] = [0] * (len(_BOUNDS) + 1)
        times[bisect_left(_SECONDS, seconds)] += 1
        times[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        about = "Calls by environment, kind and what became of them."
        counts = CounterMetricFamily("prismenv_environment_calls", about, labels=("environment", "call", "outcome"))
        for key, count in self._counts.items():
            counts.add_metric(key, count)
        yield counts
        took = HistogramMetricFamily(
            "prismenv_environment_call_seconds", "From a call to its answer.", labels=("environment", "call")
        )
        for labels, (*buckets, total) in self._times.items():
            took.add_metric(labels, list(zip(_BOUNDS, accumulate(buckets), strict=True)), total)
        yield took


class EnvironmentMeter:
    """The counters of one server, in a registry of their own."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = _Calls()
        self._registry.register(self._calls)
        self._requests = Counter(
            "prismenv_http_requests", "Requests by path and status.", ("path", "status"), registry=self._registry
        )

    def gauge(self, name: str, about: str, value: Callable[[], float]) -> None:
        """A number that is read when somebody asks for it."""
        Gauge(f"prismenv_environment_{name}", about, registry=self._registry).set_function(value)

    def called(self, environment: str, call: str, outcome: str, seconds: float) -> None:
        """A call was answered; `outcome` is `ok` or the code of an error."""
        self._calls.add(environment, call, outcome, seconds)

    def requested(self, path: str, status: int) -> None:
        """A request was answered; `path` is the route's."""
        self._requests.labels(path, str(status)).inc()

    def page(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
