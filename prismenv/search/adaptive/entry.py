"""The adaptive policy as it is registered; what needs NumPy is imported once it is built."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prismenv.contracts.policy import PolicyContext, PolicyEntry, SearchPolicy

THREADS = "OPENBLAS_NUM_THREADS"
_NAMES = (THREADS, "OMP_NUM_THREADS", "GOTO_NUM_THREADS")


def build_adaptive(context: PolicyContext) -> SearchPolicy:
    """The policy over the context's nodes.

    Raises ConfigurationException where there is no node, or more cells than the model can hold.
    """
    with _one_thread():
        from prismenv.search.adaptive.policy import AdaptivePolicy

    return AdaptivePolicy(context)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have NumPy's linear algebra, if this is its first import, use one thread, unless the user said how many.

    Matrices of some hundred rows gain nothing by more of them, lose much where sandboxes keep the processors busy, and
    sums in another order are not the same to the last bit. OpenBLAS reads the variable when it is loaded.
    """
    if "numpy" in sys.modules or any(name in os.environ for name in _NAMES):
        yield
        return
    os.environ[THREADS] = "1"
    try:
        yield
    finally:
        del os.environ[THREADS]


ADAPTIVE = PolicyEntry(
    "adaptive", "Asks for what tells most about `search.objective`, by a statistical model of ability.", build_adaptive
)
