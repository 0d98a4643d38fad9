"""Read and write safetensors files, more strictly than the reference implementation.

Layout: u64 (little-endian) header length, a JSON header, the tensors' bytes. The header maps
each name to {"dtype", "shape", "data_offsets"}; `__metadata__` maps strings to strings. The
tensors must tile the bytes after the header exactly. Beyond the reference, repeated names,
unknown fields, padding other than trailing spaces and absurd dimensions are refused too.
Whether the values are finite is for the caller to check.
Source: github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from app.errors import FormatError
from app.io.safetensors_header import (
    ITEM_BYTES,
    METADATA_KEY,
    check_metadata,
    header_length,
    read_header,
)
from app.io.source import ByteSource
from app.io.stored_tensor import StoredTensor
from app.messages import say

_WRITE_DTYPES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16"}

_EXACT_ITEM_BYTES = {"F32": 4, "F64": 8, "U32": 4}
EXACT_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "U32": np.dtype("<u4"),
}
"""What checkpoints hold, whose arrays are read back as they were written."""

FloatArray = npt.NDArray[np.float32]


def read_safetensors(data: bytes) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """Return the tensors as float32 and the metadata.

    F32 arrays are copies, F16 and BF16 are widened without loss.

    Raises:
        FormatError: truncated, corrupted, a header that lies about the data, or a dtype other
            than F32, F16 and BF16.
    """
    header_size = header_length(data[:8], len(data))
    entries, metadata = read_header(data[8 : 8 + header_size], len(data) - 8 - header_size)
    body = memoryview(data)[8 + header_size :]
    tensors = {
        entry.name: _to_float32(body[entry.begin : entry.end], entry.dtype, entry.shape)
        for entry in entries
    }
    return tensors, metadata


async def locate_safetensors(source: ByteSource) -> dict[str, StoredTensor]:
    """Return where each tensor of a file lies; the tensors' bytes are not read.

    Raises:
        FormatError: as `read_safetensors`, beginning with the file's name.
    """
    try:
        return (await _locate(source, ITEM_BYTES))[0]
    except FormatError as error:
        raise FormatError(say("{name}: {error}", name=source.name, error=error)) from error


async def locate_exact_safetensors(
    source: ByteSource,
) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return where each array of a file lies whose bytes are to be taken as they are; metadata.

    Raises:
        FormatError: as `read_safetensors`; the dtypes are F32, F64 and U32.
    """
    return await _locate(source, _EXACT_ITEM_BYTES)


async def _locate(
    source: ByteSource, item_bytes: Mapping[str, int]
) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Return where each tensor lies, and the metadata."""
    header_size = header_length(await source.read(0, min(8, source.size_bytes)), source.size_bytes)
    body = 8 + header_size
    raw = await source.read(8, header_size)
    entries, metadata = read_header(raw, source.size_bytes - body, item_bytes)
    located = {
        entry.name: StoredTensor(
            entry.name, entry.shape, entry.dtype, body + entry.begin, entry.end - entry.begin
        )
        for entry in entries
    }
    return located, metadata


def write_safetensors(
    tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str], *, is_exact: bool = False
) -> bytes:
    """Return a file with the tensors (float32 or float16) in order of name, and the metadata.

    With `is_exact` they are float32, float64 or uint32, as checkpoints are.

    Raises:
        FormatError: an array of another dtype, a reserved name, or metadata that is not text.
    """
    header: dict[str, Any] = {METADATA_KEY: check_metadata(dict(metadata))} if metadata else {}
    dtypes = {item: name for name, item in EXACT_DTYPES.items()} if is_exact else _WRITE_DTYPES
    parts: list[bytes] = []
    offset = 0
    for name in sorted(tensors):
        array = tensors[name]
        dtype = dtypes.get(array.dtype)
        if dtype is None or name == METADATA_KEY:
            raise FormatError(
                f"cannot write tensor {name!r} of dtype {array.dtype}: give float32 or float16, "
                f"and a name other than {METADATA_KEY}"
            )
        raw = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        span = [offset, offset + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": span}
        parts.append(raw)
        offset += len(raw)
    return b"".join([_framed(header), *parts])


def safetensors_header(
    tensors: Iterable[tuple[str, Literal["F32", "F16", "F64", "U32"], tuple[int, ...]]],
    metadata: Mapping[str, str],
) -> bytes:
    """Return what a file begins with; the tensors' bytes follow in the order given here.

    Args:
        tensors: (name, dtype, shape) of each.
        metadata: Text by text.

    Raises:
        FormatError: metadata that is not text.
    """
    header: dict[str, Any] = {METADATA_KEY: check_metadata(dict(metadata))} if metadata else {}
    offset = 0
    for name, dtype, shape in tensors:
        span = [offset, offset + prod(shape) * (ITEM_BYTES | _EXACT_ITEM_BYTES)[dtype]]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": span}
        offset = span[1]
    return _framed(header)


def _framed(header: Mapping[str, Any]) -> bytes:
    """Return a header as JSON behind its length, padded to eight bytes."""
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text


def _to_float32(raw: memoryview, dtype: str, shape: tuple[int, ...]) -> FloatArray:
    if dtype == "BF16":
        # bfloat16 is the upper half of a float32.
        wide = np.frombuffer(raw, dtype="<u2").astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32).reshape(shape)
    source = np.dtype("<f4") if dtype == "F32" else np.dtype("<f2")
    with np.errstate(invalid="ignore"):
        # Signalling NaNs pass; whether values are finite is the caller's to check.
        return np.frombuffer(raw, dtype=source).astype(np.float32).reshape(shape)
