"""RMSNorm: each row scaled to unit root mean square, then by a weight (arXiv:1910.07467)."""

from __future__ import annotations

import numpy as np

from app.reference.arrays import Float64Array, RealArray, as_float64


def rms_norm(x: RealArray, weight: RealArray, *, eps: float) -> tuple[Float64Array, Float64Array]:
    """Normalise each row.

    y = x · rstd · weight,  rstd = 1/√(mean(x²) + eps)

    Args:
        x: (..., hidden_size).
        weight: (hidden_size,).
        eps: Added to the mean square, dimensionless.

    Returns:
        y, shaped like x, and rstd, (...), needed by `rms_norm_backward`.
    """
    x = as_float64(x)
    rstd = 1 / np.sqrt(np.mean(x * x, axis=-1) + eps)
    return x * rstd[..., None] * as_float64(weight), rstd


def rms_norm_backward(
    dy: RealArray, x: RealArray, weight: RealArray, rstd: RealArray
) -> Float64Array:
    """Gradient of `rms_norm` with respect to x.

    With g = dy · weight and x̂ = x · rstd:  dx = rstd · (g - x̂ · mean(g · x̂))

    Args:
        dy: (..., hidden_size), gradient of y.
        x: (..., hidden_size), as given to `rms_norm`.
        weight: (hidden_size,).
        rstd: (...), as returned by `rms_norm`.

    Returns:
        dx, shaped like x.
    """
    rstd = as_float64(rstd)[..., None]
    scaled = as_float64(dy) * as_float64(weight)
    normed = as_float64(x) * rstd
    projection: Float64Array = np.mean(scaled * normed, axis=-1, keepdims=True)
    return rstd * (scaled - normed * projection)


def rms_norm_gain_backward(dy: RealArray, x: RealArray, rstd: RealArray) -> Float64Array:
    """Gradient of `rms_norm` with respect to its weight: Σ over rows of dy∘x·rstd.

    Args:
        dy: (T, hidden_size), gradient of y.
        x: (T, hidden_size), as given to `rms_norm`.
        rstd: (T,), as returned by `rms_norm`.

    Returns:
        (hidden_size,).
    """
    normed = as_float64(x) * as_float64(rstd)[:, None]
    gradient: Float64Array = (as_float64(dy) * normed).sum(axis=0)
    return gradient
