"""AdamW with moments in eight bits: block-wise dynamic quantization (arXiv:2110.02861)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.reference.adamw import adamw
from app.reference.arrays import Float64Array, RealArray, as_float64

if TYPE_CHECKING:
    import numpy.typing as npt

    Codes = npt.NDArray[np.uint8]

BLOCK = 256


def quantize(values: RealArray, code_values: RealArray) -> tuple[Codes, Float64Array]:
    """Codes of blocks of 256 values, each block scaled by its largest magnitude.

    code = the index of the nearest code value to value / max|block|; halfway between two, the
    lower.

    Args:
        values: (size,).
        code_values: (256,), rising.

    Returns:
        (size,) uint8 and (⌈size / 256⌉,) the blocks' largest magnitudes.
    """
    values, code_values = as_float64(values), as_float64(code_values)
    scales = block_maxima(values)
    ratio = np.divide(
        values,
        np.repeat(scales, BLOCK)[: values.size],
        out=np.zeros_like(values),
        where=np.repeat(scales, BLOCK)[: values.size] > 0,
    )
    midpoints = (code_values[:-1] + code_values[1:]) / 2
    return np.searchsorted(midpoints, ratio, side="left").astype(np.uint8), scales


def block_maxima(values: RealArray) -> Float64Array:
    """Largest magnitude of each block of 256 values; the last block may be shorter."""
    padded = np.zeros(-(-values.size // BLOCK) * BLOCK)
    padded[: values.size] = np.abs(values)
    maxima: Float64Array = padded.reshape(-1, BLOCK).max(axis=1)
    return maxima


def dequantize(codes: Codes, scales: RealArray, code_values: RealArray) -> Float64Array:
    """Values of codes: code_values[code] · scale of the block."""
    return as_float64(code_values)[codes] * np.repeat(as_float64(scales), BLOCK)[: codes.size]


def adam8bit(
    param: RealArray,
    grad: RealArray,
    m: tuple[Codes, RealArray],
    v: tuple[Codes, RealArray],
    maps: tuple[RealArray, RealArray],
    *,
    step: int,
    learning_rate: float,
    weight_decay: float,
    clip_scale: float = 1.0,
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """One update of one flat parameter whose moments are stored as codes.

    The moments are dequantized, updated as `app.reference.adamw.adamw` does, used as they are
    for the parameter, and only then quantized again.

    Args:
        param: (size,); grad like it.
        grad: Gradient before clipping.
        m: Codes and block scales of the first moment.
        v: The same of the second.
        maps: Code values of m (signed) and of v (unsigned).
        step: t, 1 for the first update.
        learning_rate: lr of this step.
        weight_decay: Decoupled.
        clip_scale: From `app.reference.adamw.clip_scale`.

    Returns:
        The new param, m and v, not yet quantized.
    """
    return adamw(
        param,
        grad,
        dequantize(*m, maps[0]),
        dequantize(*v, maps[1]),
        step=step,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        clip_scale=clip_scale,
    )
