"""Lower triangular matrices, which NumPy treats like any others."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_SMALL = 80  # rows; below it the usual inverse is as quick


def inverse_of_lower(lower: Array) -> Array:
    """The inverse of a lower triangular matrix, by halves: nearly all of it is products, the quickest of all."""
    size = len(lower)
    if size < _SMALL:
        return np.asarray(np.linalg.inv(lower))
    half = size // 2
    found = np.zeros_like(lower)
    found[:half, :half] = inverse_of_lower(lower[:half, :half])
    found[half:, half:] = inverse_of_lower(lower[half:, half:])
    found[half:, :half] = -found[half:, half:] @ (lower[half:, :half] @ found[:half, :half])
    return found
