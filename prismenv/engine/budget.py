"""What a run may spend, and when it has.

Nodes, tokens and money count over the whole run, resumed or not: what was spent stays spent. Wall seconds count from
the start of this sitting. A budget is looked at before a node starts; those that run are never cut off, so tokens and
money can end above the budget by what the running nodes still use.
"""

from prismenv.contracts.clock import Clock
from prismenv.contracts.recipe import BudgetSettings
from prismenv.words.usage import Usage


class Budget:
    """Counts what a run uses against what it may use."""

    def __init__(self, settings: BudgetSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._started_at = clock.monotonic()
        self.nodes = 0
        self.tokens = 0
        self.calls = 0
        self.cost_usd: float | None = 0.0  # None: a call's price was unknown
        self.unpriced_model: str | None = None  # the first model whose price was unknown

    @property
    def elapsed_seconds(self) -> float:
        """Wall seconds of this sitting."""
        return self._clock.monotonic() - self._started_at

    def start_node(self) -> None:
        """A node begins, or one of an earlier sitting is taken over."""
        self.nodes += 1

    def spend(self, usage: Usage) -> None:
        """A model call ended."""
        self.calls += usage.calls
        self.tokens += usage.tokens
        if usage.cost_usd is None:
            self.unpriced_model = self.unpriced_model or usage.model or "unknown"
            self.cost_usd = None
        elif self.cost_usd is not None:
            self.cost_usd += usage.cost_usd

    def reached(self) -> str | None:
        """Which budget is spent, with its figures; None while a further node may start."""
        limits = self._settings
        if limits.nodes is not None and self.nodes >= limits.nodes:
            return f"budget.nodes: {self.nodes} of {limits.nodes}"
        if limits.tokens is not None and self.tokens >= limits.tokens:
            return f"budget.tokens: {self.tokens} of {limits.tokens}"
        if limits.wall_seconds is not None and self.elapsed_seconds >= limits.wall_seconds:
            return f"budget.wall_seconds: {self.elapsed_seconds:.1f} of {limits.wall_seconds:g}"
        if limits.cost_usd is not None and self.cost_usd is not None and self.cost_usd >= limits.cost_usd:
            return f"budget.cost_usd: {self.cost_usd:.4f} of {limits.cost_usd:g}"
        return None

    def unenforceable(self) -> str | None:
        """Why the budget cannot be held, None when it can: money is limited and a price is unknown."""
        if self._settings.cost_usd is None or self.unpriced_model is None:
            return None
        return (
            f"budget.cost_usd cannot be held: the price of model {self.unpriced_model!r} is unknown. Take the budget "
            "out, limit budget.tokens instead, or use a model whose provider tells its price"
        )
