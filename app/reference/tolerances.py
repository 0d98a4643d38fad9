"""How far a kernel may be from its float64 twin, each bound with its reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Tolerance:
    """|actual - expected| ≤ atol + rtol·|expected|, element by element."""

    rtol: float
    atol: float


ELEMENTWISE = Tolerance(1e-5, 1e-6)
"""A few f32 operations in a row: each rounds by 6e-8 relative, and WGSL's exp, sin, cos and
inverseSqrt may be off by several of those."""

MATMUL = Tolerance(1e-4, 1e-5)
"""A sum of K f32 products errs by about √K · 6e-8 of the terms' size, 2e-6 at K = 1536; the
rest is room for sums that cancel."""

REDUCTION = MATMUL
"""Sums over rows, columns or the vocabulary: the same argument as MATMUL."""

BACKWARD = Tolerance(1e-3, 1e-4)
"""Several products in a row, each taking in the rounding of the one before, and differences of
nearly equal numbers (softmax - onehot, dp - delta)."""

EXACT = Tolerance(0.0, 0.0)
"""Bit for bit: integer work, dequantization of values that f32 holds, copies."""


def nmse(actual: npt.ArrayLike, expected: npt.ArrayLike) -> float:
    """Normalised mean squared error, Σ(actual - expected)² / Σ expected² in float64.

    Args:
        actual: Any shape.
        expected: Shaped like actual.

    Returns:
        0 when both are all zeros, infinity when only expected is or when either is not finite.
    """
    got, wanted = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        error, power = float(np.sum((got - wanted) ** 2)), float(np.sum(wanted**2))
    if not np.isfinite(error):
        return float("inf")
    if power == 0:
        return 0.0 if error == 0 else float("inf")
    return error / power
