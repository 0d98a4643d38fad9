"""Write GGUF files (version 3): test models, tools, exports."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, NamedTuple

import numpy as np

from app.errors import FormatError
from app.io.gguf_types import (
    ARRAY,
    BOOL,
    DEFAULT_ALIGNMENT,
    FLOAT32,
    INT32,
    MAGIC,
    MAX_DIMENSIONS,
    MAX_NAME_BYTES,
    SCALAR_FORMATS,
    STRING,
    TENSOR_TYPES,
    TYPE_NUMBERS,
    UINT32,
    padded,
)

_ARRAY_TYPES = {np.dtype("<" + letter): number for number, letter in SCALAR_FORMATS.items()}


class TensorData(NamedTuple):
    """A tensor to write: row-major shape, type name, and its bytes in that type."""

    name: str
    shape: tuple[int, ...]
    type: str
    data: bytes


def write_gguf(
    metadata: Mapping[str, Any],
    tensors: Iterable[TensorData],
    *,
    alignment: int = DEFAULT_ALIGNMENT,
) -> bytes:
    """Return a GGUF file.

    Python values map to bool, uint32 (int32 below 0), float32, string and arrays of them; a
    numpy array keeps its own number type. `general.alignment` is added when it is not 32.

    Raises:
        FormatError: a value has no GGUF form, or a tensor's bytes do not fit its shape.
    """
    values = dict(metadata)
    if alignment != DEFAULT_ALIGNMENT:
        values["general.alignment"] = alignment
    listed = list(tensors)
    head = [MAGIC, struct.pack("<IQQ", 3, len(listed), len(values))]
    for key, value in values.items():
        number, data = _value(key, value)
        head += [_string(key), struct.pack("<I", number), data]
    body: list[bytes] = []
    offset = 0
    for tensor in listed:
        _check(tensor)
        head.append(_string(tensor.name))
        head.append(struct.pack("<I", len(tensor.shape)))
        head.append(struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape)))
        head.append(struct.pack("<IQ", TYPE_NUMBERS[tensor.type], offset))
        size = padded(len(tensor.data), alignment)
        body.append(tensor.data.ljust(size, b"\0"))
        offset += size
    header = b"".join(head)
    return b"".join([header.ljust(padded(len(header), alignment), b"\0"), *body])


def _check(tensor: TensorData) -> None:
    if tensor.type not in TYPE_NUMBERS:
        raise FormatError(
            f"tensor {tensor.name} has type {tensor.type}: choose from {', '.join(TYPE_NUMBERS)}"
        )
    if not 1 <= len(tensor.shape) <= MAX_DIMENSIONS or len(tensor.name.encode()) >= MAX_NAME_BYTES:
        raise FormatError(
            f"tensor {tensor.name} of shape {tensor.shape}: give 1 to {MAX_DIMENSIONS} dimensions "
            f"and a name of less than {MAX_NAME_BYTES} bytes"
        )
    layout = TENSOR_TYPES[TYPE_NUMBERS[tensor.type]]
    expected = prod(tensor.shape) // layout.block_weights * layout.block_bytes
    if tensor.shape[-1] % layout.block_weights or len(tensor.data) != expected:
        raise FormatError(
            f"tensor {tensor.name}: {len(tensor.data)} bytes given, shape {tensor.shape} in "
            f"{tensor.type} takes {expected} and rows of a multiple of {layout.block_weights}"
        )


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(key: str, value: Any) -> tuple[int, bytes]:
    """Return the GGUF type number of a value and its bytes."""
    if isinstance(value, bool):
        return BOOL, bytes([value])
    if isinstance(value, int):
        if not -(2**31) <= value < 2**32:
            raise FormatError(f"{key} is {value}: whole numbers are written in 32 bits")
        number, letter = (UINT32, "<I") if value >= 0 else (INT32, "<i")
        return number, struct.pack(letter, value)
    if isinstance(value, float):
        return FLOAT32, struct.pack("<f", value)
    if isinstance(value, str):
        return STRING, _string(value)
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype in _ARRAY_TYPES:
        head = struct.pack("<IQ", _ARRAY_TYPES[value.dtype], len(value))
        return ARRAY, head + value.astype(value.dtype.newbyteorder("<")).tobytes()
    if isinstance(value, list | tuple) and value:
        items = [_value(key, item) for item in value]
        numbers = {number for number, _ in items}
        if len(numbers) == 1 and ARRAY not in numbers:
            head = struct.pack("<IQ", numbers.pop(), len(items))
            return ARRAY, head + b"".join(data for _, data in items)
    raise FormatError(
        f"{key} is {type(value).__name__}: give a bool, number, string, non-empty list of one "
        "kind of these, or a one-dimensional numeric array"
    )
