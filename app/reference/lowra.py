"""Weights in 1, 2 or 4 bits by output channel, in numpy (after LowRA, arXiv:2502.08141)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.reference.quantize import Grouped, to_half

BLOCK = 64
BITS = (1, 2, 4)

FloatArray = npt.NDArray[np.float32]


def fit_block(values: FloatArray, bits: int) -> tuple[np.float32, np.float32]:
    """Return scale and min of the 2^bits levels of a block, rounded to f16.

    1 bit: the means of what lies below and above the mean. 2 bits: even levels over that share
    of the range (1, 0.9, … 0.6, around its middle) with the least squared error. 4 bits: over
    all of it.
    """
    low, width = values.min(), values.max() - values.min()
    if bits == 1:
        is_above = values > values.mean()
        bottom = values[~is_above].mean()
        top = values[is_above].mean() if is_above.any() else bottom
        return _halves(top - bottom, bottom)
    if bits == 4:
        return _halves(width / 15, low)
    cuts = [width * np.float32(1 - 0.1 * tenths) for tenths in (10, 9, 8, 7, 6)]
    candidates = [_halves((width - cut) / 3, low + cut / 2) for cut in cuts]
    return min(candidates, key=lambda pair: _error(values, pair[0], pair[1], bits))


def channel_errors(weights: FloatArray) -> npt.NDArray[np.float64]:
    """Return the squared error of each row in 1, 2 and 4 bits: (rows, 3)."""
    columns = [
        np.square(quantize_lowra(weights, np.full(len(weights), bits)).values() - weights).sum(1)
        for bits in BITS
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def quantize_lowra(weights: FloatArray, bits: npt.NDArray[np.int64]) -> Grouped:
    """Return the codes of rows in their bits; scale and min of a block stand for its groups of 32.

    Args:
        weights: (rows, columns), columns a multiple of 32.
        bits: (rows,), each 1, 2 or 4.
    """
    rows, columns = weights.shape
    codes = np.zeros((rows, columns), np.int16)
    scale = np.zeros((rows, columns // 32), np.float16)
    minimum = np.zeros_like(scale)
    for row in range(rows):
        for first in range(0, columns, BLOCK):
            values = weights[row, first : first + BLOCK]
            step, low = fit_block(values, int(bits[row]))
            codes[row, first : first + BLOCK] = _codes(values, step, low, int(bits[row]))
            groups = np.s_[row, first // 32 : (first + BLOCK) // 32]
            scale[groups], minimum[groups] = step, low
    return Grouped(codes, scale, minimum)


def _halves(scale: np.float32, minimum: np.float32) -> tuple[np.float32, np.float32]:
    pair = to_half(np.array([scale, minimum], np.float32)).astype(np.float32)
    return pair[0], pair[1]


def _codes(
    values: FloatArray, step: np.float32, low: np.float32, bits: int
) -> npt.NDArray[np.int16]:
    if step == 0:
        return np.zeros(values.shape, np.int16)
    steps = np.floor((values - low) / step + np.float32(0.5))
    codes: npt.NDArray[np.int16] = np.clip(steps, 0, 2**bits - 1).astype(np.int16)
    return codes


def _error(values: FloatArray, step: np.float32, low: np.float32, bits: int) -> float:
    off = values - low - step * _codes(values, step, low, bits)
    return float(np.square(off).sum())
