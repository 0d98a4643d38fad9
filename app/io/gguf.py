"""Read the header of a GGUF file (versions 2 and 3), strictly and without the weights.

Layout, all little-endian: magic, u32 version, u64 tensor count, u64 metadata count, the
metadata (string key, u32 type, value), the tensor table (string name, u32 dimensions, u64
each, u32 type, u64 offset), padding, tensor data. Every count and length is compared with
the bytes that remain before anything of that size is made, and tensors must lie one after
the other without holes.
Source: github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import struct
from math import prod
from typing import Any

import numpy as np

from app.errors import FormatError
from app.io.gguf_model import model_config_from_gguf
from app.io.gguf_types import (
    ARRAY,
    BOOL,
    DEFAULT_ALIGNMENT,
    MAGIC,
    MAX_DIMENSIONS,
    MAX_NAME_BYTES,
    SCALAR_FORMATS,
    STRING,
    TENSOR_TYPES,
    UINT32,
    VERSIONS,
    GgufFile,
    padded,
)
from app.io.source import ByteSource
from app.io.stored_tensor import StoredTensor

__all__ = ["GgufFile", "model_config_from_gguf", "read_gguf"]

SLICE_BYTES = 4 << 20
MAX_HEADER_BYTES = 128 << 20
"""Far above any real vocabulary; keeps a lying header from filling Python's heap."""

MAX_COUNT = 1 << 16
MAX_STRINGS = 1 << 21
"""Tensors or metadata keys, and strings in an array: again far above any real file, so that
reading a hostile one ends within seconds."""

MAX_ALIGNMENT = 1 << 16
MAX_KEY_BYTES = 1 << 16
_MIN_METADATA_BYTES = 8 + 1 + 4 + 1
_MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8
_LENGTH = struct.Struct("<Q")


async def read_gguf(source: ByteSource) -> GgufFile:
    """Read metadata and the tensor table.

    Raises:
        FormatError: not GGUF, truncated, corrupted, or a lying header; says which.
    """
    cursor = _Cursor(source)
    version, num_tensors, num_values = await _read_preamble(cursor)
    metadata: dict[str, Any] = {}
    for _ in range(num_values):
        key = await cursor.string("a metadata key", MAX_KEY_BYTES)
        if not key or key in metadata:
            raise cursor.corrupted(f"metadata key {key!r} is {'repeated' if key else 'empty'}")
        number = await cursor.number("I")
        if key == "general.alignment" and number != UINT32:
            raise cursor.corrupted(f"general.alignment has value type {number}, not {UINT32}")
        metadata[key] = await _read_value(cursor, key, number)
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise cursor.corrupted(f"general.alignment is {alignment}, not a power of 2")
    listed = [await _read_tensor(cursor, index) for index in range(num_tensors)]
    data_offset = padded(cursor.position, alignment)
    tensors = _place_tensors(cursor, listed, data_offset, alignment)
    return GgufFile(version, metadata, tensors, alignment, data_offset, source.name)


class _Cursor:
    """Position in a header whose bytes are fetched slice by slice as they are needed."""

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.data = b""
        self.position = 0

    @property
    def remaining(self) -> int:
        """Bytes of the file after the position, fetched or not."""
        return self.source.size_bytes - self.position

    def corrupted(self, what: str) -> FormatError:
        return FormatError(
            f"{self.source.name} is not a sound GGUF file: {what} (near byte {self.position}). "
            "It is damaged or was written wrongly: fetch it again or take another file"
        )

    async def need(self, size: int, what: str) -> None:
        """Make the next `size` bytes available in `data`."""
        end = self.position + size
        if end <= len(self.data):
            return
        if end > self.source.size_bytes:
            raise FormatError(
                f"{self.source.name} is truncated or damaged: {what} needs {size} bytes at byte "
                f"{self.position}, but the file ends at {self.source.size_bytes}: fetch it again"
            )
        if end > MAX_HEADER_BYTES:
            raise self.corrupted(f"its header goes beyond {MAX_HEADER_BYTES} bytes at {what}")
        wanted = max(end, len(self.data) + SLICE_BYTES, 2 * len(self.data))
        wanted = min(wanted, self.source.size_bytes, MAX_HEADER_BYTES)
        self.data += await self.source.read(len(self.data), wanted - len(self.data))

    async def take(self, size: int, what: str) -> bytes:
        await self.need(size, what)
        start = self.position
        self.position += size
        return self.data[start : self.position]

    async def number(self, letter: str, what: str = "a number") -> Any:
        (value,) = struct.unpack("<" + letter, await self.take(struct.calcsize("<" + letter), what))
        return value

    async def string(self, what: str, limit: int = MAX_HEADER_BYTES) -> str:
        length = await self.number("Q", what)
        if length > limit:
            raise self.corrupted(f"{what} claims {length} bytes, more than {limit}")
        raw = await self.take(length, what)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self.corrupted(f"{what} is not UTF-8") from error


async def _read_preamble(cursor: _Cursor) -> tuple[int, int, int]:
    magic = await cursor.take(4, "the magic number")
    if magic != MAGIC:
        raise FormatError(
            f"{cursor.source.name} is not a GGUF file: it starts with {magic!r}, not {MAGIC!r}. "
            "Choose a .gguf model"
        )
    version = await cursor.number("I", "the version")
    if version not in VERSIONS:
        kind = "big-endian" if version & 0xFFFF == 0 else f"version {version}"
        raise FormatError(
            f"{cursor.source.name} is a {kind} GGUF file: only little-endian versions 2 and 3 "
            "are read, convert it again with a current tool"
        )
    num_tensors = await cursor.number("Q", "the tensor count")
    num_values = await cursor.number("Q", "the metadata count")
    room = cursor.remaining
    if num_values * _MIN_METADATA_BYTES + num_tensors * _MIN_TENSOR_BYTES > room:
        raise cursor.corrupted(
            f"it claims {num_tensors} tensors and {num_values} metadata keys, "
            f"which do not fit in the {room} bytes that follow"
        )
    if max(num_tensors, num_values) > MAX_COUNT:
        raise cursor.corrupted(
            f"it has {num_tensors} tensors and {num_values} metadata keys, the limit is {MAX_COUNT}"
        )
    return version, num_tensors, num_values


async def _read_value(cursor: _Cursor, key: str, number: int) -> Any:
    if number in SCALAR_FORMATS:
        return await cursor.number(SCALAR_FORMATS[number], key)
    if number == STRING:
        return await cursor.string(key)
    if number == BOOL:
        return _check_bools(cursor, key, await cursor.take(1, key))[0]
    if number != ARRAY:
        raise cursor.corrupted(f"{key} has the unknown value type {number}")
    item_type = await cursor.number("I", key)
    count = await cursor.number("Q", key)
    if item_type == STRING:
        return await _read_strings(cursor, key, count)
    if item_type == BOOL:
        return np.array(_check_bools(cursor, key, await cursor.take(count, key)), dtype=np.bool_)
    if item_type not in SCALAR_FORMATS:
        kind = "nested arrays" if item_type == ARRAY else f"the unknown value type {item_type}"
        raise cursor.corrupted(f"{key} is an array of {kind}")
    dtype = np.dtype("<" + SCALAR_FORMATS[item_type])
    return np.frombuffer(await cursor.take(count * dtype.itemsize, key), dtype=dtype)


def _check_bools(cursor: _Cursor, key: str, raw: bytes) -> list[bool]:
    if raw.strip(b"\0\1"):
        raise cursor.corrupted(f"{key} has a truth value that is neither 0 nor 1")
    return [bool(value) for value in raw]


async def _read_strings(cursor: _Cursor, key: str, count: int) -> list[str]:
    """Read an array of strings: the vocabulary, so this loop is the time of the whole header."""
    if count * _LENGTH.size > cursor.remaining:
        raise cursor.corrupted(
            f"{key} claims {count} strings, which do not fit in the {cursor.remaining} bytes left"
        )
    if count > MAX_STRINGS:
        raise cursor.corrupted(f"{key} has {count} strings, the limit is {MAX_STRINGS}")
    strings: list[str] = []
    append, unpack_from = strings.append, _LENGTH.unpack_from
    data, position, available = cursor.data, cursor.position, len(cursor.data)
    try:
        while len(strings) < count:
            start = position + 8
            end = start + unpack_from(data, position)[0] if start <= available else start
            if end > available or start > available:
                cursor.position = position
                await cursor.need(end - position, key)
                data, available = cursor.data, len(cursor.data)
                continue
            append(data[start:end].decode())
            position = end
    except UnicodeDecodeError as error:
        cursor.position = position
        raise cursor.corrupted(f"{key}[{len(strings)}] is not UTF-8") from error
    cursor.position = position
    return strings


async def _read_tensor(cursor: _Cursor, index: int) -> tuple[str, tuple[int, ...], int, int]:
    """Return name, row-major shape, type number and offset within the data."""
    name = await cursor.string(f"the name of tensor {index}", MAX_NAME_BYTES - 1)
    num_dimensions = await cursor.number("I", name)
    if not 1 <= num_dimensions <= MAX_DIMENSIONS:
        raise cursor.corrupted(f"tensor {name!r} has {num_dimensions} dimensions")
    raw = await cursor.take(8 * num_dimensions, name)
    shape = tuple(reversed(struct.unpack(f"<{num_dimensions}Q", raw)))
    type_number = await cursor.number("I", name)
    offset = await cursor.number("Q", name)
    return name, shape, type_number, offset


def _place_tensors(
    cursor: _Cursor,
    listed: list[tuple[str, tuple[int, ...], int, int]],
    data_offset: int,
    alignment: int,
) -> dict[str, StoredTensor]:
    """Check types, sizes and positions; return the tensors by name."""
    tensors: dict[str, StoredTensor] = {}
    expected = 0
    for name, shape, type_number, offset in listed:
        if not name or name in tensors:
            raise cursor.corrupted(f"tensor name {name!r} is {'repeated' if name else 'empty'}")
        layout = TENSOR_TYPES.get(type_number)
        if layout is None:
            raise FormatError(
                f"tensor {name!r} of {cursor.source.name} has the unknown type {type_number}: "
                "take a file in F16, Q8_0, Q4_0 or Q4_1"
            )
        # Python's integers do not overflow, so this one product is safe to compare.
        count = prod(shape)
        if not 0 < count < 2**63 or shape[-1] % layout.block_weights:
            raise cursor.corrupted(
                f"tensor {name!r} has shape {shape}: its rows must be whole {layout.name} blocks "
                f"of {layout.block_weights}, none empty"
            )
        if offset != expected:
            raise cursor.corrupted(f"tensor {name!r} starts at {offset}, not at {expected}")
        size = count // layout.block_weights * layout.block_bytes
        start = data_offset + offset
        if start + size > cursor.source.size_bytes:
            raise FormatError(
                f"{cursor.source.name} is truncated: tensor {name!r} needs bytes {start} to "
                f"{start + size}, but the file ends at {cursor.source.size_bytes}: fetch it again"
            )
        tensors[name] = StoredTensor(name, shape, layout.name, start, size)
        expected += padded(size, alignment)
    return tensors
