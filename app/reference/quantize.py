"""Quantizing weights in numpy: INT4, INT8 and NF4, to the last bit as the kernels do it.

All arithmetic is float32 (differences, products and comparisons, each rounded once), so that
codes and scales are the same on every device.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

GROUP = 32
NF4_BLOCK = 64
TILE = 16
"""Rows and blocks whose NF4 scales are quantized together."""

# fmt: off
NF4_VALUES = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
], np.float32)
# fmt: on
"""The 16 values: quantiles of a normal distribution, with an exact zero (arXiv:2305.14314)."""

NF4_ZERO = 7

SHORT_BITS = 7
"""Of an INT4 scale: times a zero point of four bits it has the eleven that f16 holds."""

FloatArray = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]
Halves = npt.NDArray[np.float16]


class Grouped(NamedTuple):
    """Integers q (rows, columns) with scale and min of each group (rows, groups): scale·q + min."""

    codes: npt.NDArray[np.int16]
    scale: Halves
    minimum: Halves

    def values(self) -> FloatArray:
        """Return the weights that these stand for."""
        scale, minimum = (
            np.repeat(part.astype(np.float32), GROUP, axis=1) for part in (self.scale, self.minimum)
        )
        return scale * self.codes.astype(np.float32) + minimum


class Nf4(NamedTuple):
    """NF4 codes (rows, columns) and the codes of the blocks' scales (rows, blocks).

    scale = offset + size · map[code], with offset and size (row tiles, block tiles).
    """

    codes: Codes
    scale_codes: Codes
    offset: FloatArray
    size: FloatArray

    def scales(self, code_values: FloatArray) -> FloatArray:
        """Return the decoded scales, (rows, blocks)."""
        rows, blocks = self.scale_codes.shape
        offset, size = (
            np.repeat(np.repeat(part, TILE, axis=0), TILE, axis=1)[:rows, :blocks]
            for part in (self.offset, self.size)
        )
        return offset + size * code_values[self.scale_codes]

    def values(self, code_values: FloatArray) -> FloatArray:
        """Return the weights that these stand for."""
        scales = np.repeat(self.scales(code_values), NF4_BLOCK, axis=1)
        return NF4_VALUES[self.codes] * scales[:, : self.codes.shape[1]]


def to_half(values: FloatArray) -> Halves:
    """Return the nearest f16, cut at ±65504."""
    with np.errstate(under="ignore"):
        return np.clip(values, -65504, 65504).astype(np.float16)


def quantize_int4(weights: FloatArray, *, is_symmetric: bool) -> Grouped:
    """Return INT4 codes 0..15 of groups of 32 columns.

    Asymmetric: scale = (max(w, 0) − min(w, 0)) / 15, rounded to SHORT_BITS significant bits, and
    min = −zero·scale with zero of 0..15 the step nearest to −min(w, 0): that product is exact in
    f16, so that weight 0 is code `zero` and stays 0. Symmetric: scale = extreme / −8 and
    min = −8·scale, with extreme the (first) weight of largest magnitude. Scale and min are rounded
    to f16, then q is the nearest step, halfway between two the upper.

    Args:
        weights: (rows, columns), columns a multiple of 32.
        is_symmetric: Which of the two.
    """
    groups = weights.reshape(len(weights), -1, GROUP)
    if is_symmetric:
        place = np.abs(groups).argmax(axis=2, keepdims=True)
        scale = to_half(np.take_along_axis(groups, place, axis=2)[..., 0] * np.float32(-0.125))
        minimum = to_half(scale.astype(np.float32) * np.float32(-8))
    else:
        low, high = np.minimum(groups.min(axis=2), 0), np.maximum(groups.max(axis=2), 0)
        scale = to_half(_short((high - low) * np.float32(1 / 15)))
        zero = _steps(-low, scale.astype(np.float32), 15)
        minimum = to_half((-zero).astype(np.float32) * scale.astype(np.float32))
    height = groups - minimum.astype(np.float32)[..., None]
    wide = scale.astype(np.float32)[..., None]
    codes = _steps(np.where(wide < 0, -height, height), np.abs(wide), 15)
    return Grouped(codes.reshape(weights.shape), scale, minimum)


def quantize_int8(weights: FloatArray) -> Grouped:
    """Return INT8 codes −127..127 of groups of 32 columns: scale = max|w| / 127, in f16."""
    groups = weights.reshape(len(weights), -1, GROUP)
    scale = to_half(np.abs(groups).max(axis=2) * np.float32(1 / 127))
    codes = _steps(np.abs(groups), scale.astype(np.float32)[..., None], 127)
    signed = np.where(groups < 0, -codes, codes).astype(np.int16)
    return Grouped(signed.reshape(weights.shape), scale, np.zeros_like(scale))


def quantize_nf4(weights: FloatArray, code_values: FloatArray) -> Nf4:
    """Return NF4 codes of blocks of 64 columns, with scales in 8 bits.

    Of a tile of 16 rows × 16 blocks the scales max|w| lose their mean and become the nearest
    codes of the dynamic map times the largest distance. (QLoRA takes the mean of a whole tensor
    and runs of 256 scales; a tile can be finished before the rest of the tensor has arrived.)

    Args:
        weights: (rows, columns), columns a multiple of 32.
        code_values: (256,), the signed dynamic map of `app.ops.adam8bit.dynamic_map`.
    """
    rows, columns = weights.shape
    blocks = -(-columns // NF4_BLOCK)
    padded = np.pad(weights, ((0, 0), (0, blocks * NF4_BLOCK - columns)))
    split = padded.reshape(rows, blocks, NF4_BLOCK)
    largest = np.abs(split).max(axis=2)
    bounds = ((NF4_VALUES[:-1].astype(np.float64) + NF4_VALUES[1:]) / 2).astype(np.float32)
    above = split[..., None] > bounds * largest[..., None, None]
    codes = np.where(largest[..., None] == 0, NF4_ZERO, above.sum(axis=3)).astype(np.uint8)
    tiles = -(-rows // TILE), -(-blocks // TILE)
    scale_codes = np.zeros((rows, blocks), np.uint8)
    offset, size = np.zeros(tiles, np.float32), np.zeros(tiles, np.float32)
    for row in range(tiles[0]):
        for block in range(tiles[1]):
            part = np.s_[TILE * row : TILE * (row + 1), TILE * block : TILE * (block + 1)]
            found = _quantize_scales(largest[part], code_values)
            scale_codes[part], offset[row, block], size[row, block] = found
    return Nf4(codes.reshape(rows, -1)[:, :columns], scale_codes, offset, size)


def _short(values: FloatArray) -> FloatArray:
    """Return positive values rounded to SHORT_BITS significant bits, halfway between two up."""
    dropped = 24 - SHORT_BITS
    bits = values.view(np.uint32) + np.uint32(1 << (dropped - 1))
    return (bits >> dropped << dropped).view(np.float32)


def _steps(height: FloatArray, step: FloatArray, top: int) -> npt.NDArray[np.int16]:
    """Return the largest q of 0..top with height ≥ (q − ½)·step."""
    ratio = np.divide(height, step, out=np.zeros_like(height), where=step != 0)
    q = np.floor(ratio + np.float32(0.5))
    # The division and the sum were rounded: the products are exact and decide.
    q -= height < (q - np.float32(0.5)) * step
    q += (height >= (q + np.float32(0.5)) * step) & (step != 0)
    return np.clip(q, 0, top).astype(np.int16)


def _quantize_scales(
    scales: FloatArray, code_values: FloatArray
) -> tuple[Codes, np.float32, np.float32]:
    """Return the codes of a tile's scales, their mean and the largest distance from it."""
    rows, blocks = scales.shape
    full = np.zeros((TILE, TILE), np.float32)
    full[:blocks, :rows] = scales.T
    total = full.reshape(-1)
    while total.size > 1:
        half = total.size // 2
        total = total[:half] + total[half:]
    mean = total[0] * np.float32(1 / rows) * np.float32(1 / blocks)
    distance = scales - mean
    size = np.abs(distance).max()
    middles = np.float32(0.5) * (code_values[:-1] + code_values[1:]) * size
    return np.searchsorted(middles, distance, side="left").astype(np.uint8), mean, size
