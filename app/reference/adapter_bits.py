"""A and B in one or two bits, and the straight-through gradient of what they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.errors import ShapeError
from app.reference.arrays import Float64Array, RealArray, as_float64

if TYPE_CHECKING:
    import numpy.typing as npt

FITS = 2


def fit_scale(values: RealArray, bits: int) -> float:
    """Return the scale of values that share one.

    One bit: mean |w|, the least-squares scale of sign(w) (arXiv:1603.05279 §3).
    Two bits: from mean |w| / 2 on, twice s ← Σ|w|·|q| / Σq² with |q| = 3 where |w| ≥ 2·s, else 1
    (Lloyd's iteration). The lowest two bits of the f32 are cut off, so that 3·s is exact.

    Args:
        values: (n,).
        bits: 1 or 2.

    Raises:
        ShapeError: bits is neither 1 nor 2.
    """
    if bits not in (1, 2):
        raise ShapeError(f"codes have 1 or 2 bits, not {bits}")
    size = np.abs(as_float64(values))
    scale = float(size.mean())
    if bits == 2:
        scale /= 2
        for _ in range(FITS):
            q = np.where(size >= 2 * scale, 3.0, 1.0)
            scale = float((size * q).sum() / (q * q).sum())
    cut = np.float32(scale).view(np.uint32) & np.uint32(0xFFFFFFFC)
    return float(cut.view(np.float32))


def encode(values: RealArray, scale: float, bits: int) -> npt.NDArray[np.uint8]:
    """Return the code of each value: w ≈ scale · (2·code - 2^bits + 1); 0 counts as positive."""
    values = as_float64(values)
    level = (np.abs(values) >= 2 * scale).astype(np.uint8) if bits == 2 else np.uint8(0)
    half = np.uint8(1 << (bits - 1))
    return np.where(values >= 0, half + level, half - 1 - level).astype(np.uint8)


def decode(codes: npt.NDArray[np.uint8], scale: float, bits: int) -> Float64Array:
    """Return what codes stand for: scale · (2·code - 2^bits + 1)."""
    return np.asarray(scale * (2.0 * codes - (1 << bits) + 1))


def quantize(values: RealArray, bits: int) -> Float64Array:
    """Return values that share a scale as their codes give them back."""
    scale = fit_scale(values, bits)
    return decode(encode(values, scale, bits), scale, bits)


def quantize_adapter(a: RealArray, b: RealArray, bits: int) -> tuple[Float64Array, Float64Array]:
    """Return A and B of one module as the forward sees them.

    A scale belongs to a row of A and to a column of B: to one rank each.

    Args:
        a: (rank, in).
        b: (out, rank).
        bits: 1 or 2.
    """
    return (
        np.stack([quantize(row, bits) for row in a]),
        np.stack([quantize(column, bits) for column in b.T], axis=1),
    )


def straight_through(gradient: RealArray, values: RealArray, bits: int) -> Float64Array:
    """Return the gradient of values that share a scale, from that of what they were rounded to.

    dL/dw = dL/dŵ, but 0 where |w| > 2^bits · scale and w · dL/dŵ < 0: a step would take w further
    past the last level (arXiv:1308.3432; clipping arXiv:1602.02830, on one side only).
    """
    gradient, values = as_float64(gradient), as_float64(values)
    is_outside = np.abs(values) > (1 << bits) * fit_scale(values, bits)
    return np.where(is_outside & (values * gradient < 0), 0.0, gradient)


def straight_through_adapter(
    da: RealArray, db: RealArray, a: RealArray, b: RealArray, bits: int
) -> tuple[Float64Array, Float64Array]:
    """Return the gradients of one module's A and B, from those of their rounded values."""
    return (
        np.stack([straight_through(*pair, bits) for pair in zip(da, a, strict=True)]),
        np.stack([straight_through(*pair, bits) for pair in zip(db.T, b.T, strict=True)], axis=1),
    )
