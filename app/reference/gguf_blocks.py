"""GGUF block formats in numpy: the specification of the repack kernels.

Every quantized format here holds 32 consecutive weights of one row in a block:

    Q4_0  f16 scale,          16 bytes of nibbles   w = scale · (q - 8)
    Q4_1  f16 scale, f16 min, 16 bytes of nibbles   w = scale · q + min
    Q8_0  f16 scale,          32 signed bytes       w = scale · q

Byte j of the nibbles holds weight j in its low half and weight j + 16 in its high half.
F32, F16 and BF16 (the upper half of a float32) are plain arrays.
Quantization follows ggml's reference rounding to the bit, with the multiply and add of the
4-bit formats fused as on the machines that published files are made on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import FormatError, ShapeError

BLOCK_WEIGHTS = 32
BLOCK_BYTES = {"Q4_0": 18, "Q4_1": 20, "Q8_0": 34}
PLAIN_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


def quantize_blocks(array: npt.ArrayLike, type: str) -> bytes:
    """Encode weights as GGUF tensor data.

    Args:
        array: (..., columns) values, taken as float32; columns a multiple of 32 for Q types.
        type: "F32", "F16", "BF16", "Q4_0", "Q4_1" or "Q8_0".

    Raises:
        FormatError: the type is not one of these.
        ShapeError: the rows do not divide into blocks of 32.
    """
    values = np.asarray(array, dtype=np.float32)
    if type in PLAIN_DTYPES:
        return _cast(values, PLAIN_DTYPES[type]).tobytes()
    if type == "BF16":
        return to_bfloat16(values).tobytes()
    _check_type(type)
    if values.ndim == 0 or values.shape[-1] % BLOCK_WEIGHTS:
        raise ShapeError(
            f"cannot quantize shape {values.shape} to {type}: the last dimension must be a "
            f"multiple of {BLOCK_WEIGHTS}"
        )
    blocks = np.ascontiguousarray(values).reshape(-1, BLOCK_WEIGHTS)
    if type == "Q4_0":
        return _quantize_q4_0(blocks).tobytes()
    if type == "Q4_1":
        return _quantize_q4_1(blocks).tobytes()
    return _quantize_q8_0(blocks).tobytes()


def dequantize_blocks(data: bytes | memoryview, type: str, shape: Sequence[int]) -> FloatArray:
    """Decode GGUF tensor data to float32 of the given (row-major) shape.

    Raises:
        FormatError: the type is not known here.
        ShapeError: the data has not exactly the bytes that the shape needs.
    """
    count = int(np.prod(shape, dtype=np.int64))
    if type in PLAIN_DTYPES:
        dtype = PLAIN_DTYPES[type]
        _check_size(data, count * dtype.itemsize, type, shape)
        return np.frombuffer(data, dtype=dtype).astype(np.float32).reshape(shape)
    if type == "BF16":
        _check_size(data, 2 * count, type, shape)
        return from_bfloat16(np.frombuffer(data, "<u2")).reshape(shape)
    _check_type(type)
    if count % BLOCK_WEIGHTS:
        raise ShapeError(f"shape {tuple(shape)} does not divide into {type} blocks of 32 weights")
    _check_size(data, count // BLOCK_WEIGHTS * BLOCK_BYTES[type], type, shape)
    blocks = np.frombuffer(data, dtype=np.uint8).reshape(-1, BLOCK_BYTES[type])
    scale = _halves(blocks[:, :2])
    if type == "Q4_0":
        weights = scale * (_unpack_nibbles(blocks[:, 2:]) - np.float32(8))
    elif type == "Q4_1":
        weights = scale * _unpack_nibbles(blocks[:, 4:]) + _halves(blocks[:, 2:4])
    else:
        weights = scale * blocks[:, 2:].view(np.int8).astype(np.float32)
    return weights.reshape(shape)


def to_bfloat16(values: FloatArray) -> npt.NDArray[np.uint16]:
    """Return the bits of the nearest bfloat16 values, ties to even."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype("<u2")


def from_bfloat16(bits: npt.NDArray[np.uint16]) -> FloatArray:
    """Return bfloat16 values as float32, exactly."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def permute_rows(weight: FloatArray, heads: int, head_dim: int) -> FloatArray:
    """Reorder q or k rows from HuggingFace order to GGUF order (llama architecture).

    HuggingFace rotates row i of a head with row i + head_dim/2 (half-split), GGUF rotates
    row 2i with row 2i + 1 (interleaved). Works on any (heads · head_dim, ...) array, so also
    on the LoRA B of q and k.
    """
    return _swap_rows(weight, (heads, 2, head_dim // 2), head_dim)


def unpermute_rows(weight: FloatArray, heads: int, head_dim: int) -> FloatArray:
    """Reorder q or k rows from GGUF order to HuggingFace order; undoes `permute_rows`."""
    return _swap_rows(weight, (heads, head_dim // 2, 2), head_dim)


def _swap_rows(weight: FloatArray, split: tuple[int, int, int], head_dim: int) -> FloatArray:
    if head_dim % 2 or weight.shape[0] != split[0] * head_dim:
        raise ShapeError(
            f"{weight.shape[0]} rows are not {split[0]} heads of {head_dim} (even) rows each"
        )
    split_weight = weight.reshape(*split, *weight.shape[1:])
    return np.ascontiguousarray(split_weight.swapaxes(1, 2)).reshape(weight.shape)


def _quantize_q4_0(blocks: FloatArray) -> ByteArray:
    # The extreme value keeps its sign and lands on q = 0, so that it is represented exactly.
    position = np.abs(blocks).argmax(axis=1)[:, None]
    scale = np.take_along_axis(blocks, position, axis=1) / np.float32(-8)
    shifted = blocks.astype(np.float64) * _reciprocal(scale).astype(np.float64) + 8.5
    return np.hstack([_half_bytes(scale), _pack_nibbles(shifted)])


def _quantize_q4_1(blocks: FloatArray) -> ByteArray:
    low = blocks.min(axis=1, keepdims=True)
    scale = (blocks.max(axis=1, keepdims=True) - low) / np.float32(15)
    shifted = (blocks - low).astype(np.float64) * _reciprocal(scale).astype(np.float64) + 0.5
    return np.hstack([_half_bytes(scale), _half_bytes(low), _pack_nibbles(shifted)])


def _quantize_q8_0(blocks: FloatArray) -> ByteArray:
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    scaled = (blocks * _reciprocal(scale)).astype(np.float64)
    # C's roundf: halves go away from zero (numpy's round goes to even).
    rounded = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int8)
    return np.hstack([_half_bytes(scale), rounded.view(np.uint8)])


def _reciprocal(scale: FloatArray) -> FloatArray:
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


def _half_bytes(values: FloatArray) -> ByteArray:
    return _cast(values, PLAIN_DTYPES["F16"]).view(np.uint8)


def _cast(values: FloatArray, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    # Small values become subnormal halves or zero, as they should.
    with np.errstate(under="ignore"):
        return values.astype(dtype)


def _halves(two_bytes: ByteArray) -> FloatArray:
    return np.ascontiguousarray(two_bytes).view("<f2").astype(np.float32)


def _pack_nibbles(shifted: npt.NDArray[np.float64]) -> ByteArray:
    # A fused multiply-add rounds once, to float32, before the fraction is cut off.
    nibbles = np.clip(np.trunc(shifted.astype(np.float32)), 0, 15).astype(np.uint8)
    return nibbles[:, :16] | (nibbles[:, 16:] << np.uint8(4))


def _unpack_nibbles(packed: ByteArray) -> FloatArray:
    return np.hstack([packed & np.uint8(15), packed >> np.uint8(4)]).astype(np.float32)


def _check_type(type: str) -> None:
    if type not in BLOCK_BYTES:
        known = ", ".join([*PLAIN_DTYPES, "BF16", *BLOCK_BYTES])
        raise FormatError(f"block type {type} is not known here: choose from {known}")


def _check_size(data: bytes | memoryview, expected: int, type: str, shape: Sequence[int]) -> None:
    found = data.nbytes if isinstance(data, memoryview) else len(data)
    if found != expected:
        raise ShapeError(f"{type} data of shape {tuple(shape)} has {found} bytes, not {expected}")
