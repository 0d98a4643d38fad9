"""Stochastic rounding by a counter-based hash: equal to the kernels to the last bit.

All arithmetic is that of f32 and u32, one rounding an operation, as the shaders do it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint32]
Float32Array = npt.NDArray[np.float32]

GROUP_SIZE = 32
FARTHEST = 4095
"""Code up to which an update may reach outside a grid: code · scale is still exact in f32."""

AGAIN = 0x5BF03635
"""Tells the random bits of a second rounding from those of the first."""

LARGEST = 65504.0
SMALLEST_NORMAL = np.float32(2.0**-14)


class Int4Groups(NamedTuple):
    """Groups of 32 weights: value = scale · code + minimum.

    Attributes:
        codes: (..., 32) of 0..15.
        scale: (...).
        minimum: (...).
    """

    codes: Bits
    scale: npt.NDArray[np.float16]
    minimum: npt.NDArray[np.float16]


def mix_bits(value: npt.ArrayLike) -> Bits:
    """Hash of 32 bits: lowbias32 of github.com/skeeto/hash-prospector (public domain)."""
    x = np.atleast_1d(np.asarray(value)).astype(np.uint32)
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def random_bits(key: int, step: int, elements: Bits) -> Bits:
    """Return 32 random bits for each element: the same for the same key, step and element."""
    counter = (key + step * 0x9E3779B9) % 2**32
    return mix_bits(elements ^ mix_bits(counter))


def uniform_of(bits: Bits) -> Float32Array:
    """Return numbers of 0..1, 1 excluded, in steps of 2^-24."""
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def round_f16(values: Float32Array, random: Bits) -> npt.NDArray[np.float16]:
    """Round to f16, up or down with the chance that leaves the mean as it is.

    Args:
        values: f32, finite; cut at ±65504.
        random: Bits for each.

    Returns:
        float16, shaped like values.
    """
    bits = values.view(np.uint32)
    sign = ((bits >> np.uint32(16)) & np.uint32(0x8000)).astype(np.uint16)
    magnitude = np.minimum(np.abs(values), np.float32(LARGEST))
    is_normal = magnitude >= SMALLEST_NORMAL
    added = np.where(is_normal, magnitude, SMALLEST_NORMAL).view(np.uint32)
    added = added + (random >> np.uint32(19))
    normal = np.minimum((added - np.uint32(0x38000000)) >> np.uint32(13), np.uint32(0x7BFF))
    quanta = np.where(is_normal, np.float32(0), magnitude) * np.float32(2.0**24)
    whole = np.floor(quanta)
    small = whole.astype(np.uint32) + (uniform_of(random) < quanta - whole)
    return (np.where(is_normal, normal, small).astype(np.uint16) | sign).view(np.float16)


def half_below(values: Float32Array) -> npt.NDArray[np.float16]:
    """Return the largest f16 that is not above each value."""
    with np.errstate(all="ignore"):
        near = np.clip(values, -LARGEST, LARGEST).astype(np.float16)
        below = np.nextafter(near, np.float16(-np.inf))
        return np.where(near.astype(np.float32) <= values, near, below)


def fit_int4(
    low: Float32Array, high: Float32Array
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Return scale and minimum, in f16, of groups with these smallest and largest values.

    The minimum is the largest that is not above `low`, the scale the smallest with which
    minimum + 15·scale, in f32, is not below `high`.
    """
    minimum = half_below(low)
    start = minimum.astype(np.float32)
    with np.errstate(all="ignore"):
        scale = (np.maximum(high - start, 0) * np.float32(1 / 15)).astype(np.float16)
        bits = scale.view(np.uint16).astype(np.int32)

        def reaches(candidate: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
            value = candidate.astype(np.uint16).view(np.float16).astype(np.float32)
            enough: npt.NDArray[np.bool_] = start + np.float32(15) * value >= high
            return enough

        for _ in range(4):
            bits = bits - ((bits > 0) & reaches(np.maximum(bits - 1, 0)))
        for _ in range(4):
            bits = bits + ((bits < 0x7BFF) & ~reaches(bits))
    return bits.astype(np.uint16).view(np.float16), minimum


def round_to_grid(
    values: Float32Array,
    scale: Float32Array,
    minimum: Float32Array,
    random: Bits,
    lowest: int,
    highest: int,
) -> npt.NDArray[np.int32]:
    """Return the code below a value or the one above it, as often as it is near it.

    Args:
        values: (..., 32).
        scale: (..., 1), of f16's numbers; codes are 0 where it is.
        minimum: (..., 1), likewise.
        random: Bits for each value.
        lowest: Smallest code; at least −4095, so that code · scale is exact.
        highest: Largest code, at most 4095.
    """
    with np.errstate(all="ignore"):
        ratio = np.where(scale > 0, np.floor((values - minimum) / scale), np.float32(0))
    code = np.clip(np.nan_to_num(ratio), lowest, highest).astype(np.int32)
    above = minimum + (code + 1).astype(np.float32) * scale
    code = code + ((code < highest) & (above <= values)).astype(np.int32)
    here = minimum + code.astype(np.float32) * scale
    code = code - ((code > lowest) & (here > values)).astype(np.int32)
    rest = values - (minimum + code.astype(np.float32) * scale)
    code = code + ((code < highest) & (uniform_of(random) * scale < rest)).astype(np.int32)
    return np.where(scale > 0, code, 0).astype(np.int32)


def requantize_int4(values: Float32Array, random: Bits) -> Int4Groups:
    """Quantize groups of 32 along the last axis anew, codes rounded stochastically.

    Args:
        values: (..., 32) f32.
        random: Bits for each.
    """
    scale, minimum = fit_int4(values.min(axis=-1), values.max(axis=-1))
    wide, low = (part.astype(np.float32)[..., None] for part in (scale, minimum))
    codes = round_to_grid(values, wide, low, random, 0, 15)
    return Int4Groups(codes.astype(np.uint32), scale, minimum)


def update_int4(before: Int4Groups, values: Float32Array, random: Bits) -> Int4Groups:
    """Give groups new values, each on the grid it has for as long as that holds them.

    On its own grid a weight is off by one step as often as the update is a part of one, and else
    stays: a new grid for every update would round all 32 again, off by half a step or so each
    time. Where a code would be less than 0 or more than 15, the group is quantized anew.

    Args:
        before: What the groups hold now.
        values: (..., 32) f32: what they shall hold on average.
        random: Bits for each.
    """
    wide, low = (part.astype(np.float32)[..., None] for part in before[1:])
    codes = round_to_grid(values, wide, low, random, -FARTHEST, FARTHEST)
    on_grid = np.where(wide > 0, low + codes.astype(np.float32) * wide, values)
    anew = requantize_int4(on_grid, mix_bits(random ^ np.uint32(AGAIN)).reshape(random.shape))
    is_outside = (codes.min(axis=-1) < 0) | (codes.max(axis=-1) > 15) | (before.scale <= 0)
    return Int4Groups(
        np.where(is_outside[..., None], anew.codes, codes.astype(np.uint32)),
        np.where(is_outside, anew.scale, before.scale),
        np.where(is_outside, anew.minimum, before.minimum),
    )
