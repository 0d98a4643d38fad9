"""The product with its left operand rounded to eight bits, as `linear_dot8.wgsl` defines it."""

from __future__ import annotations

import numpy as np

from app.reference.arrays import Float64Array, RealArray, as_float64

GROUP_SIZE = 32
LARGEST = 127
SMALLEST = 1e-36
"""A group whose largest magnitude is below counts as zeros: 127 over it has to be finite."""


def quantize_rows(x: RealArray) -> tuple[Float64Array, Float64Array]:
    """Round each 32 elements of a row to multiples of a scale of their own.

    scale = max|x| / 127,  q = x·127/max|x| to the nearest integer, ties to the even one

    Args:
        x: (T, K), finite, K a multiple of 32.

    Returns:
        q, (T, K), integers in -127..127; scale, (T, K / 32), 0 for a group of zeros.
    """
    groups = as_float64(x).reshape(len(x), -1, GROUP_SIZE)
    peak = np.abs(groups).max(axis=-1, keepdims=True)
    is_zero = peak < SMALLEST
    scale = np.where(is_zero, 0.0, peak / LARGEST)
    q = np.rint(groups * np.where(is_zero, 0.0, LARGEST / np.where(is_zero, 1.0, peak)))
    return q.reshape(x.shape), scale[..., 0]


def rounded(x: RealArray) -> Float64Array:
    """Return what the rounded rows stand for, scale·q, (T, K).

    With it every term of `app.reference.linear` is that of the rounded product: a group's
    scale_x·(scale·Σ q·q_x + min·Σ q_x) is Σ (scale·q + min)·(scale_x·q_x).
    """
    q, scale = quantize_rows(x)
    return q * np.repeat(scale, GROUP_SIZE, axis=-1)


def linear_dot8(
    x: RealArray,
    weight: RealArray,
    lora_a: RealArray | None = None,
    lora_b: RealArray | None = None,
    scaling: float = 0.0,
    residual: RealArray | None = None,
) -> Float64Array:
    """Project each row, rounded; the adapter takes it as it is.

    y = x̂·Wᵀ + scaling · (x·Aᵀ)·Bᵀ + residual

    Args:
        x: (T, K), x̂ being `rounded(x)`.
        weight: W, (N, K).
        lora_a: A, (rank, K), or None for no adapter.
        lora_b: B, (N, rank), or None for no adapter.
        scaling: alpha / rank, dimensionless.
        residual: (T, N), or None for zero.

    Returns:
        y, (T, N).
    """
    y = rounded(x) @ as_float64(weight).T
    if lora_a is not None and lora_b is not None:
        y += scaling * ((as_float64(x) @ as_float64(lora_a).T) @ as_float64(lora_b).T)
    if residual is not None:
        y += as_float64(residual)
    return y
