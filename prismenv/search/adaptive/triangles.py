"""Lower triangular matrices, which NumPy treats like any others."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_SMALL = 48  # rows; below it the usual way is as quick


def solve_lower(lower: Array, right: Array) -> Array:
    """x with `lower` x = `right` (a matrix), by halves: nearly all of it is products, the quickest of all."""
    size = len(lower)
    if size < _SMALL:
        return np.asarray(np.linalg.inv(lower) @ right)
    half = size // 2
    first = solve_lower(lower[:half, :half], right[:half])
    return np.vstack([first, solve_lower(lower[half:, half:], right[half:] - lower[half:, :half] @ first)])
