"""Stochastic rounding by a counter-based hash: equal to the kernels to the last bit.

All arithmetic is that of f32 and u32, one rounding an operation, as the shaders do it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint32]
Float32Array = npt.NDArray[np.float32]

GROUP_SIZE = 32
LARGEST = 65504.0
SMALLEST_NORMAL = np.float32(2.0**-14)


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


def requantize_int4(
    values: Float32Array, random: Bits
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Quantize groups of 32 along the last axis, codes rounded stochastically.

    Args:
        values: (..., 32) f32.
        random: Bits for each.

    Returns:
        codes (..., 32) of 0..15, scale (...) and minimum (...): value ≈ scale·code + minimum, on
        average exactly.
    """
    scale16, minimum16 = fit_int4(values.min(axis=-1), values.max(axis=-1))
    scale = scale16.astype(np.float32)[..., None]
    minimum = minimum16.astype(np.float32)[..., None]
    with np.errstate(all="ignore"):
        ratio = np.where(scale > 0, (values - minimum) / scale, np.float32(0))
    code = np.clip(np.nan_to_num(ratio), 0, 15).astype(np.uint32)
    above = minimum + (code + 1).astype(np.float32) * scale
    code = code + ((code < 15) & (above <= values))
    here = minimum + code.astype(np.float32) * scale
    code = code - ((code > 0) & (here > values)).astype(np.uint32)
    rest = values - (minimum + code.astype(np.float32) * scale)
    code = code + ((code < 15) & (uniform_of(random) * scale < rest))
    return np.where(scale > 0, code, 0).astype(np.uint32), scale16, minimum16
