"""Rotary position embedding (arXiv:2104.09864) in HuggingFace's half-split order."""

from __future__ import annotations

import numpy as np

from app.reference.arrays import Float64Array, IntArray, RealArray, as_float64


def rope_tables(
    positions: IntArray, head_dim: int, theta: float
) -> tuple[Float64Array, Float64Array]:
    """Cosines and sines of the rotation angles.

    angle[t, i] = positions[t] · theta^(-2i / head_dim)  in radians, i < head_dim / 2

    Args:
        positions: (T,) integers, 0 for the first token of a sequence.
        head_dim: Even.
        theta: Base of the wavelengths.

    Returns:
        cos and sin, (T, head_dim / 2) each.
    """
    half = np.arange(head_dim // 2, dtype=np.float64)
    angles = as_float64(positions)[:, None] * theta ** (-2 * half / head_dim)
    return np.cos(angles), np.sin(angles)


def rope(x: RealArray, positions: IntArray, *, theta: float) -> Float64Array:
    """Rotate each pair (x[i], x[i + head_dim/2]) by the angle of its position.

    y[i] = x[i]·cos - x[i + D/2]·sin,  y[i + D/2] = x[i + D/2]·cos + x[i]·sin

    Args:
        x: (T, heads, head_dim) queries or keys.
        positions: (T,) integers.
        theta: Base of the wavelengths.

    Returns:
        y, shaped like x.
    """
    cos, sin = rope_tables(positions, x.shape[-1], theta)
    return _rotate(x, cos, sin)


def rope_backward(dy: RealArray, positions: IntArray, *, theta: float) -> Float64Array:
    """Gradient of `rope` with respect to x: the rotation by the opposite angle.

    Args:
        dy: (T, heads, head_dim), gradient of y.
        positions: (T,) integers.
        theta: Base of the wavelengths.

    Returns:
        dx, shaped like dy.
    """
    cos, sin = rope_tables(positions, dy.shape[-1], theta)
    return _rotate(dy, cos, -sin)


def _rotate(x: RealArray, cos: Float64Array, sin: Float64Array) -> Float64Array:
    first, second = np.split(as_float64(x), 2, axis=-1)
    cos, sin = cos[:, None, :], sin[:, None, :]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
