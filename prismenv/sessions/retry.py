"""When a call to a model or a service is made again, and how long to wait before."""

from dataclasses import dataclass

from prismenv.words.seeding import derive_seed

WORTH_IT = frozenset({"rate_limited", "timed_out", "unavailable"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `tries` calls in all; waits double from `first_seconds` to `longest_seconds`."""

    tries: int = 3
    first_seconds: float = 0.5
    longest_seconds: float = 30.0

    def wait_seconds(self, failures: int, seed: int, asked_seconds: float | None = None) -> float:
        """How long to wait after `failures` failed calls: half to one and a half of the step, by `seed`.

        `asked_seconds` is what the other side asked for (Retry-After), None when it asked for nothing. It is never
        shortened: who does not want to wait that long must not ask again.
        """
        step = self.first_seconds * float(2 ** (failures - 1))
        jitter = 0.5 + derive_seed(seed, "retry", failures) % 1024 / 1024
        return max(min(self.longest_seconds, step * jitter), asked_seconds or 0.0)
