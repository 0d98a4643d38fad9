"""The array types of the numpy twins: anything real comes in, float64 goes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

RealArray = npt.NDArray[Any]
"""Input of a twin: float16, float32 or float64."""

Float64Array = npt.NDArray[np.float64]
"""Output of a twin."""

IntArray = npt.NDArray[np.integer[Any]]
"""Token ids and positions."""


def as_float64(array: RealArray) -> Float64Array:
    """Return the array in float64, without a copy where it is already."""
    return np.asarray(array, dtype=np.float64)
