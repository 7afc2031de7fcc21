"""Whether the sandbox works: the truth, a few seconds old at most."""

import anyio

from prismenv.contracts.clock import Clock
from prismenv.contracts.jail import Sandbox
from prismenv.words.verdict import Verdict

FRESH_SECONDS = 5.0
TRIAL_SECONDS = 30.0
SOLUTION = "def answer():\n    return 42"
TESTS = "def test_answer():\n    assert answer() == 42"


class SandboxHealth:
    """Judges a small solution when somebody asks, unless something else was judged just now."""

    def __init__(self, sandbox: Sandbox, clock: Clock) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._lock = anyio.Lock()
        self._looked_at = float("-inf")
        self._found = ""

    def judged(self, verdict: Verdict) -> None:
        """A verdict of somebody's: where it is one, the sandbox works."""
        if verdict.fault != "infrastructure":
            self._looked_at, self._found = self._clock.monotonic(), "ok"

    async def look(self, *, busy: bool) -> str:
        """`ok`, or what is wrong. Where it is `busy`, all its places taken, a trial would tell how long runs take."""
        if busy and self._found in ("", "ok"):
            return "ok"
        async with self._lock:  # many ask at once, and it is tried once
            if self._clock.monotonic() - self._looked_at > FRESH_SECONDS:
                self._found = f"no verdict within {TRIAL_SECONDS:g} s"
                with anyio.move_on_after(TRIAL_SECONDS):
                    verdict = await self._sandbox.judge(SOLUTION, TESTS)
                    self._found = "ok" if verdict.success else f"{verdict.outcome}: {verdict.message}"
                self._looked_at = self._clock.monotonic()
            return self._found
