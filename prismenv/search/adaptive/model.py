"""The model of ability as a whole: what was measured, what is believed, and when it learns anew.

Learning anew is many steps, each of at most about cells^3 multiplications. A told result takes as many of them as keep
it short, so that on large maps learning spreads over some results, during which all beliefs are usable. How many
depends on the cells measured alone: what is believed after so many results is the same on any machine.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from prismenv.search.adaptive.cells import AbilityCell
from prismenv.search.adaptive.correlation import USUAL as CORRELATION
from prismenv.search.adaptive.correlation import learn_correlation
from prismenv.search.adaptive.credit import CreditLine, learn_line
from prismenv.search.adaptive.evidence import Answer, CellEvidence
from prismenv.search.adaptive.learning import sweep
from prismenv.search.adaptive.moments import expected_chance
from prismenv.search.adaptive.posterior import Posterior
from prismenv.search.adaptive.prior import USUAL, Prior, build_prior, paired

Array = NDArray[np.float64]
_FIRST_REFIT = 8
_GROWTH = 1.15  # of the number of results between two refits, so that a run has only log n of them
_SWEEPS = 2
_WORK = 2e7  # multiplications that one told result spends on learning: about 3 ms
_MOST_STEPS = 16
_DONE = object()


class AbilityModel:
    """Beliefs about every cell of one model, or of two that are alike.

    With `reference` a second model's cells follow those of the first: cell i of the reference is row i + len(cells).
    """

    def __init__(self, cells: Sequence[AbilityCell], *, reference: bool = False) -> None:
        self.cells = tuple(cells)
        prior = build_prior(self.cells)
        self._prior: Prior = paired(prior) if reference else prior
        self.deviations: Array = np.array(USUAL)
        self.posterior = Posterior(self._prior.mean, self._prior.covariance(self.deviations))
        self.evidence = [CellEvidence() for _ in self._prior.mean]
        self.credit = CreditLine()
        self.correlation = CORRELATION
        self._told = 0
        self._refit_at = _FIRST_REFIT
        self._steps: Iterator[None] | None = None  # of learning anew, while it does

    def tell(self, row: int, answers: Sequence[Answer]) -> None:
        """Take the answers of one node."""
        found = self.evidence[row]
        for answer in answers:
            found.add(answer)
        count, total = np.array([found.credits]), np.array([found.credit_sum])
        t, v = self.credit.sites(count, total)
        self.posterior.observe(row, found.effective_solved, found.trials, (float(t[0]), float(v[0])))
        self._told += 1
        if self._steps is None and self._told >= self._refit_at:
            self.relearn()
        for _ in range(self._pace()):
            self._step()

    def _pace(self) -> int:
        """How many steps one result may take."""
        size, seen = len(self.evidence), int(np.count_nonzero(self.posterior.trials))
        each = size * seen * (size + seen) / 2 + 80 * size**2
        return max(min(int(_WORK / each), _MOST_STEPS), 1)

    @property
    def learning(self) -> bool:
        """True while it learns anew."""
        return self._steps is not None

    def relearn(self) -> None:
        """Begin to learn anew, or begin again: the results that are told next take its steps."""
        self._steps = self._learn()

    def settle(self) -> None:
        """Learn anew at once and to the end."""
        self.relearn()
        while self.learning:
            self._step()

    def _step(self) -> None:
        if self._steps is not None and next(self._steps, _DONE) is _DONE:
            self._steps = None
            self._refit_at = max(self._told + 4, round(self._told * _GROWTH))

    def _learn(self) -> Iterator[None]:
        """The prior's variances, the correlation within problems and the line of partial credit, then all beliefs."""
        for _ in range(_SWEEPS):
            t, v = self.posterior.sites
            if not t.any():
                return
            self.deviations = yield from sweep(self._prior, self.deviations, t, v)
            self.posterior.set_prior(self._prior.mean, self._prior.covariance(self.deviations))
            yield
            self._learn_correlation()
            self._learn_credit()
            yield from self.posterior.refit()
            yield

    def _learn_correlation(self) -> None:
        patterns = [found.patterns for found in self.evidence]
        if not any(patterns):
            return
        chance = expected_chance(self.posterior.mean, self.posterior.variance)
        spread = np.square(chance * (1 - chance)) * self.posterior.variance
        self.correlation = learn_correlation(patterns, chance, spread)
        for found in self.evidence:
            found.recount(self.correlation)
        self.posterior.set_counts(
            np.array([found.effective_solved for found in self.evidence]),
            np.array([found.trials for found in self.evidence]),
        )

    def _learn_credit(self) -> None:
        count = np.array([found.credits for found in self.evidence])
        total = np.array([found.credit_sum for found in self.evidence])
        squares = np.array([found.credit_squares for found in self.evidence])
        self.credit = learn_line(count, total, squares, self.posterior.mean, self.posterior.variance)
        self.posterior.set_partial(*self.credit.sites(count, total))
