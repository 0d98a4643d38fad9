"""Rows of numbers in one or two bits each, with a scale a row: quantized, packed and back.

w ≈ scale · (2·code - 2^bits + 1). The same rule as wgsl/adapter_bits.wgsl, so that values which
were rounded once are found again exactly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]

FITS = 2
"""How often the scale of two-bit codes is fitted to them."""

_CUT = np.uint32(0xFFFFFFFC)


def quantize_rows(values: FloatArray, bits: int) -> tuple[Codes, FloatArray]:
    """Return the code of each value and the scale of each row.

    One bit: scale = mean |w|. Two bits: from mean |w| / 2 on, twice s ← Σ|w|·|q| / Σq² with
    |q| = 3 where |w| ≥ 2·s, else 1. Scales end in two zero bits, so that 3·scale is exact; that
    of a row of zeros is 0.

    Args:
        values: (rows, columns).
        bits: 1 or 2.

    Returns:
        codes (rows, columns) and scales (rows,).
    """
    size = np.abs(values.astype(np.float64))
    scales = size.mean(axis=1, keepdims=True)
    if bits == 2:
        scales /= 2
        for _ in range(FITS):
            q = np.where(size >= 2 * scales, 3.0, 1.0)
            scales = (size * q).sum(axis=1, keepdims=True) / (q * q).sum(axis=1, keepdims=True)
    cut = (scales.astype(np.float32).view(np.uint32) & _CUT).view(np.float32)
    far = (size >= 2 * cut) if bits == 2 else np.zeros_like(size, np.bool_)
    half = 1 << (bits - 1)
    codes = np.where(values >= 0, half + far, half - 1 - far)
    return codes.astype(np.uint8), cut[:, 0]


def dequantize_rows(codes: Codes, scales: FloatArray, bits: int) -> FloatArray:
    """Return what codes and scales stand for, (rows, columns)."""
    levels = 2 * codes.astype(np.float32) - np.float32((1 << bits) - 1)
    return np.asarray(scales[:, None] * levels, np.float32)


def pack_rows(codes: Codes, bits: int, align_bytes: int = 1) -> npt.NDArray[np.uint8]:
    """Return rows of bytes: the code of column n at bits `bits`·n, lowest first.

    Args:
        codes: (rows, columns).
        bits: 1 or 2.
        align_bytes: Rows are filled with zeros to a multiple of this.
    """
    each = (codes[:, :, None] >> np.arange(bits, dtype=np.uint8)) & 1
    packed = np.packbits(each.reshape(len(codes), -1), axis=1, bitorder="little")
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % align_bytes)))


def unpack_rows(packed: npt.NDArray[np.uint8], columns: int, bits: int) -> Codes:
    """Return the codes, (rows, columns), of packed rows."""
    each = np.unpackbits(packed, axis=1, count=columns * bits, bitorder="little")
    shifts = np.arange(bits, dtype=np.uint8)
    codes = (each.reshape(len(packed), columns, bits) << shifts).sum(axis=2)
    return np.asarray(codes, np.uint8)
