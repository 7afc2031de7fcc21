"""The model of ability as a whole: what was measured, what is believed, and when it learns anew."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prismenv.search.adaptive.cells import AbilityCell
from prismenv.search.adaptive.credit import CreditLine, learn_line
from prismenv.search.adaptive.evidence import Answer, CellEvidence
from prismenv.search.adaptive.learning import sweep
from prismenv.search.adaptive.posterior import Posterior
from prismenv.search.adaptive.prior import USUAL, Prior, build_prior, paired

Array = NDArray[np.float64]
_FIRST_REFIT = 8
_GROWTH = 1.15  # of the number of results between two refits, so that a run has only log n of them
_SWEEPS = 2


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
        self._told = 0
        self._refit_at = _FIRST_REFIT

    def tell(self, row: int, answers: Sequence[Answer]) -> None:
        """Take the answers of one node."""
        found = self.evidence[row]
        for answer in answers:
            found.add(answer)
        count, total = np.array([found.credits]), np.array([found.credit_sum])
        t, v = self.credit.sites(count, total)
        self.posterior.observe(row, found.effective_solved, found.trials, (float(t[0]), float(v[0])))
        self._told += 1
        if self._told >= self._refit_at:
            self.refit()
            self._refit_at = max(self._told + 4, round(self._told * _GROWTH))

    def refit(self) -> None:
        """Learn the prior's variances and the line of partial credit anew, and mend all beliefs."""
        for _ in range(_SWEEPS):
            t, v = self.posterior.sites
            if not t.any():
                return
            self.deviations = sweep(self._prior, self.deviations, t, v)
            self.posterior.set_prior(self._prior.mean, self._prior.covariance(self.deviations))
            self._learn_credit()
            self.posterior.refit()

    def _learn_credit(self) -> None:
        count = np.array([found.credits for found in self.evidence])
        total = np.array([found.credit_sum for found in self.evidence])
        squares = np.array([found.credit_squares for found in self.evidence])
        self.credit = learn_line(count, total, squares, self.posterior.mean, self.posterior.variance)
        self.posterior.set_partial(*self.credit.sites(count, total))
