"""Central finite differences in float64: the check of every hand-written backward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.reference.arrays import Float64Array

EPS = 1e-6
"""Step of the differences. The truncation error is eps² and the rounding error 1e-16/eps,
both near 1e-10 for values around one."""


def numeric_gradient(loss: Callable[[], float], array: Float64Array) -> Float64Array:
    """Gradient of loss() with respect to every element of array.

    dloss/da ≈ (loss(a + eps) - loss(a - eps)) / (2·eps)

    Args:
        loss: Computes a scalar from the present contents of `array`.
        array: float64; changed in place during the call and left as it was.

    Returns:
        The gradient, shaped like array.
    """
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        gradient[index] = numeric_derivative(loss, array, index)
    return gradient


def numeric_derivative(
    loss: Callable[[], float], array: Float64Array, index: tuple[int, ...]
) -> float:
    """Return the derivative of loss() with respect to one element of array."""
    kept = array[index]
    array[index] = kept + EPS
    above = loss()
    array[index] = kept - EPS
    below = loss()
    array[index] = kept
    return (above - below) / (2 * EPS)
