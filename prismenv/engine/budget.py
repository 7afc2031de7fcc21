"""What a run may spend, and when it has.

Theory of operation. Nodes, tokens and money count over the whole run, resumed or not: what was spent stays spent. Wall
seconds count from the start of this sitting. Tokens and money stop before they are exceeded, at two places. Before a
node starts, what the dearest node so far took is set aside for it and for each that runs, so that nodes are mostly not
begun that could not be finished. Before a call goes out, the ledger reserves what the call may use; a call that is
refused ends its node without a result, and the run with it: the node is measured when the run goes on with more.
"""

from collections.abc import Sequence

from prismenv.contracts.clock import Clock
from prismenv.contracts.recipe import BudgetSettings
from prismenv.words.ledger import Ledger
from prismenv.words.usage import Usage


class _Foresight:
    """What nodes take of one thing: how much the dearest took, and what those that run may still take."""

    def __init__(self) -> None:
        self._dearest = 0.0
        self.ended = 0.0  # spent by nodes that ended

    def end(self, amount: float) -> None:
        """A node ended that took so much."""
        self._dearest = max(self._dearest, amount)
        self.ended += amount

    def next_node(self, spent: float, running: int) -> float:
        """What the nodes that run and one more may still take, of which `spent` went out already."""
        under_way = max(spent - self.ended, 0.0)
        return max(self._dearest * running - under_way, 0.0) + self._dearest


class Budget:
    """Counts what a run uses against what it may use. `ledger` None: calls are not held back one by one."""

    def __init__(self, settings: BudgetSettings, clock: Clock, ledger: Ledger | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._started_at = clock.monotonic()
        self._tokens_ahead, self._cost_ahead = _Foresight(), _Foresight()
        self._running = 0
        self._kept_calls = 0  # of nodes that are stored
        self.nodes = 0
        self.tokens = 0
        self.calls = 0
        self.cached = 0  # of the calls, those that were answered from the cache
        self.cost_usd: float | None = 0.0  # None: a call's price was unknown
        self.unpriced_model: str | None = None  # the first model whose price was unknown

    @property
    def elapsed_seconds(self) -> float:
        """Wall seconds of this sitting."""
        return self._clock.monotonic() - self._started_at

    def start_node(self) -> None:
        """A node begins."""
        self.nodes += 1
        self._running += 1

    def end_node(self, calls: Sequence[Usage]) -> None:
        """A node ended and is stored; what its calls used is counted by `spend`."""
        self._running -= 1
        self._keep(calls)

    def give_up_node(self) -> None:
        """A node was left without a result; it is to be measured again."""
        self.nodes -= 1
        self._running -= 1

    def take_over(self, calls: Sequence[Usage], *, nodes: int = 1) -> None:
        """A node of an earlier sitting, and what its calls used; with no node, what was used in vain."""
        self.nodes += nodes
        for usage in calls:
            self.spend(usage)
            if self._ledger is not None:
                self._ledger.take_over(usage)
        self._keep(calls)

    def _keep(self, calls: Sequence[Usage]) -> None:
        tokens = sum([usage.prompt_tokens + usage.completion_tokens for usage in calls])
        cost = sum([usage.cost_usd or 0.0 for usage in calls])
        self._kept_calls += sum([usage.calls for usage in calls])
        self._tokens_ahead.end(tokens)
        self._cost_ahead.end(cost)

    def spend(self, usage: Usage) -> None:
        """A model call ended."""
        self.calls += usage.calls
        self.cached += usage.cached
        self.tokens += usage.tokens
        if usage.cost_usd is None:
            self.unpriced_model = self.unpriced_model or usage.model or "unknown"
            self.cost_usd = None
        elif self.cost_usd is not None:
            self.cost_usd += usage.cost_usd

    def unkept(self) -> Usage:
        """What was spent for nodes that are not stored; its cost is unknown where any is."""
        cost = None if self.cost_usd is None else max(self.cost_usd - self._cost_ahead.ended, 0.0)
        tokens = max(self.tokens - int(self._tokens_ahead.ended), 0)
        return Usage(calls=max(self.calls - self._kept_calls, 0), prompt_tokens=tokens, cost_usd=cost)

    def reached(self) -> str | None:
        """Which budget is spent, with its figures; None while a further node may start."""
        limits = self._settings
        if limits.nodes is not None and self.nodes >= limits.nodes:
            return f"budget.nodes: {self.nodes} of {limits.nodes}"
        if limits.wall_seconds is not None and self.elapsed_seconds >= limits.wall_seconds:
            return f"budget.wall_seconds: {self.elapsed_seconds:.1f} of {limits.wall_seconds:g}"
        if self._ledger is not None and self._ledger.refusal is not None:
            return self._ledger.refusal
        return self._tokens_reached() or self._cost_reached()

    def _tokens_reached(self) -> str | None:
        most = self._settings.tokens
        if most is None:
            return None
        ahead = self._tokens_ahead.next_node(self.tokens, self._running)
        if self.tokens < most and self.tokens + ahead <= most:
            return None
        more = f", and a node may take {ahead:.0f}" if self.tokens < most else ""
        return f"budget.tokens: {self.tokens} of {most}{more}"

    def _cost_reached(self) -> str | None:
        most = self._settings.cost_usd
        if most is None or self.cost_usd is None:
            return None
        ahead = self._cost_ahead.next_node(self.cost_usd, self._running)
        if self.cost_usd < most and self.cost_usd + ahead <= most * (1 + 1e-9):
            return None
        return f"budget.cost_usd: {self.cost_usd:.4f} of {most:g}" + (
            f", and a node may cost {ahead:.4f}" if self.cost_usd < most else ""
        )

    def unenforceable(self) -> str | None:
        """Why the budget cannot be held, None when it can: money is limited and a price is unknown."""
        if self._settings.cost_usd is None or self.unpriced_model is None:
            return None
        return (
            f"budget.cost_usd cannot be held: the price of model {self.unpriced_model!r} is unknown. Give it in your "
            "configs/prices.yaml, take the budget out, limit budget.tokens instead, or use a model whose provider "
            "tells its price"
        )
