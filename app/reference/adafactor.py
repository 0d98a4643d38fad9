"""Adafactor (arXiv:1804.04235), by the rule of transformers.Adafactor."""

from __future__ import annotations

import numpy as np

from app.reference.arrays import Float64Array, RealArray, as_float64

EPS = 1e-30


def adafactor(
    param: RealArray,
    grad: RealArray,
    rows: RealArray,
    columns: RealArray,
    *,
    step: int,
    learning_rate: float,
    weight_decay: float,
    clip_scale: float = 1.0,
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """One update of one matrix, without relative step and parameter scale.

    g = clip_scale · grad,  β = 1 - t^(-0.8)
    rows ← β·rows + (1-β)·mean over columns of (g² + 1e-30), columns likewise over rows
    u = g / √(rows/mean(rows) ⊗ columns),  param ← param·(1 - lr·decay) - lr·u/max(1, rms(u))

    Args:
        param: (m, n); grad like it.
        grad: Gradient before clipping.
        rows: (m,) zeros before step 1.
        columns: (n,) zeros before step 1.
        step: t, 1 for the first update.
        learning_rate: lr of this step.
        weight_decay: Decoupled.
        clip_scale: From `app.reference.adamw.clip_scale`.

    Returns:
        The new param, rows and columns.
    """
    grad = clip_scale * as_float64(grad)
    beta = 1 - float(step) ** -0.8
    squares = grad * grad + EPS
    rows = beta * as_float64(rows) + (1 - beta) * squares.mean(axis=1)
    columns = beta * as_float64(columns) + (1 - beta) * squares.mean(axis=0)
    update = grad / np.sqrt(rows / rows.mean())[:, None] / np.sqrt(columns)
    update /= max(1.0, float(np.sqrt((update * update).mean())))
    return (
        as_float64(param) * (1 - learning_rate * weight_decay) - learning_rate * update,
        rows,
        columns,
    )
