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
from app.io.gguf_cursor import HeaderCursor
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
from app.messages import say

__all__ = ["GgufFile", "model_config_from_gguf", "read_gguf"]

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
    cursor = HeaderCursor(source)
    version, num_tensors, num_values = await _read_preamble(cursor)
    metadata: dict[str, Any] = {}
    for _ in range(num_values):
        key = await cursor.string(say("a metadata key"), MAX_KEY_BYTES)
        if not key:
            raise cursor.corrupted(say("metadata key '' is empty"))
        if key in metadata:
            raise cursor.corrupted(say("metadata key {key} is repeated", key=repr(key)))
        number = await cursor.number("I")
        if key == "general.alignment" and number != UINT32:
            raise cursor.corrupted(
                say(
                    "general.alignment has value type {number}, not {expected}",
                    number=number,
                    expected=UINT32,
                )
            )
        metadata[key] = await _read_value(cursor, key, number)
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if not 1 <= alignment <= MAX_ALIGNMENT or alignment & (alignment - 1):
        raise cursor.corrupted(
            say("general.alignment is {alignment}, not a power of 2", alignment=alignment)
        )
    listed = [await _read_tensor(cursor, index) for index in range(num_tensors)]
    data_offset = padded(cursor.position, alignment)
    tensors = _place_tensors(cursor, listed, data_offset, alignment)
    return GgufFile(version, metadata, tensors, alignment, data_offset, source.name)


async def _read_preamble(cursor: HeaderCursor) -> tuple[int, int, int]:
    magic = await cursor.take(4, say("the magic number"))
    if magic != MAGIC:
        raise FormatError(
            say(
                "{name} is not a GGUF file: it starts with {magic}, not {expected}. "
                "Choose a .gguf model",
                name=cursor.source.name,
                magic=repr(magic),
                expected=repr(MAGIC),
            )
        )
    version = await cursor.number("I", say("the version"))
    if version not in VERSIONS:
        is_big_endian = version & 0xFFFF == 0
        kind = say("big-endian") if is_big_endian else say("version {version}", version=version)
        raise FormatError(
            say(
                "{name} is a {kind} GGUF file: only little-endian versions 2 and 3 "
                "are read, convert it again with a current tool",
                name=cursor.source.name,
                kind=kind,
            )
        )
    num_tensors = await cursor.number("Q", say("the tensor count"))
    num_values = await cursor.number("Q", say("the metadata count"))
    room = cursor.remaining
    if num_values * _MIN_METADATA_BYTES + num_tensors * _MIN_TENSOR_BYTES > room:
        raise cursor.corrupted(
            say(
                "it claims {num_tensors} tensors and {num_values} metadata keys, "
                "which do not fit in the {room} bytes that follow",
                num_tensors=num_tensors,
                num_values=num_values,
                room=room,
            )
        )
    if max(num_tensors, num_values) > MAX_COUNT:
        raise cursor.corrupted(
            say(
                "it has {num_tensors} tensors and {num_values} metadata keys, the limit is {limit}",
                num_tensors=num_tensors,
                num_values=num_values,
                limit=MAX_COUNT,
            )
        )
    return version, num_tensors, num_values


async def _read_value(cursor: HeaderCursor, key: str, number: int) -> Any:
    if number in SCALAR_FORMATS:
        return await cursor.number(SCALAR_FORMATS[number], key)
    if number == STRING:
        return await cursor.string(key)
    if number == BOOL:
        return _check_bools(cursor, key, await cursor.take(1, key))[0]
    if number != ARRAY:
        raise cursor.corrupted(
            say("{key} has the unknown value type {number}", key=key, number=number)
        )
    item_type = await cursor.number("I", key)
    count = await cursor.number("Q", key)
    if item_type == STRING:
        return await _read_strings(cursor, key, count)
    if item_type == BOOL:
        return np.array(_check_bools(cursor, key, await cursor.take(count, key)), dtype=np.bool_)
    if item_type not in SCALAR_FORMATS:
        if item_type == ARRAY:
            raise cursor.corrupted(say("{key} is an array of nested arrays", key=key))
        raise cursor.corrupted(
            say(
                "{key} is an array of the unknown value type {item_type}",
                key=key,
                item_type=item_type,
            )
        )
    dtype = np.dtype("<" + SCALAR_FORMATS[item_type])
    return np.frombuffer(await cursor.take(count * dtype.itemsize, key), dtype=dtype)


def _check_bools(cursor: HeaderCursor, key: str, raw: bytes) -> list[bool]:
    if raw.strip(b"\0\1"):
        raise cursor.corrupted(say("{key} has a truth value that is neither 0 nor 1", key=key))
    return [bool(value) for value in raw]


async def _read_strings(cursor: HeaderCursor, key: str, count: int) -> list[str]:
    """Read an array of strings: the vocabulary, so this loop is the time of the whole header."""
    if count * _LENGTH.size > cursor.remaining:
        raise cursor.corrupted(
            say(
                "{key} claims {number} strings, which do not fit in the {remaining} bytes left",
                key=key,
                number=count,
                remaining=cursor.remaining,
            )
        )
    if count > MAX_STRINGS:
        raise cursor.corrupted(
            say(
                "{key} has {number} strings, the limit is {limit}",
                key=key,
                number=count,
                limit=MAX_STRINGS,
            )
        )
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
        raise cursor.corrupted(say("{what} is not UTF-8", what=f"{key}[{len(strings)}]")) from error
    cursor.position = position
    return strings


async def _read_tensor(cursor: HeaderCursor, index: int) -> tuple[str, tuple[int, ...], int, int]:
    """Return name, row-major shape, type number and offset within the data."""
    name = await cursor.string(say("the name of tensor {index}", index=index), MAX_NAME_BYTES - 1)
    num_dimensions = await cursor.number("I", name)
    if not 1 <= num_dimensions <= MAX_DIMENSIONS:
        raise cursor.corrupted(
            say(
                "tensor {name} has {num_dimensions} dimensions",
                name=repr(name),
                num_dimensions=num_dimensions,
            )
        )
    raw = await cursor.take(8 * num_dimensions, name)
    shape = tuple(reversed(struct.unpack(f"<{num_dimensions}Q", raw)))
    type_number = await cursor.number("I", name)
    offset = await cursor.number("Q", name)
    return name, shape, type_number, offset


def _place_tensors(
    cursor: HeaderCursor,
    listed: list[tuple[str, tuple[int, ...], int, int]],
    data_offset: int,
    alignment: int,
) -> dict[str, StoredTensor]:
    """Check types, sizes and positions; return the tensors by name."""
    tensors: dict[str, StoredTensor] = {}
    expected = 0
    for name, shape, type_number, offset in listed:
        if not name:
            raise cursor.corrupted(say("tensor name '' is empty"))
        if name in tensors:
            raise cursor.corrupted(say("tensor name {name} is repeated", name=repr(name)))
        layout = TENSOR_TYPES.get(type_number)
        if layout is None:
            raise FormatError(
                say(
                    "tensor {tensor} of {name} has the unknown type {type_number}: "
                    "take a file in F16, Q8_0, Q4_0 or Q4_1",
                    tensor=repr(name),
                    name=cursor.source.name,
                    type_number=type_number,
                )
            )
        # Python's integers do not overflow, so this one product is safe to compare.
        count = prod(shape)
        if not 0 < count < 2**63 or shape[-1] % layout.block_weights:
            raise cursor.corrupted(
                say(
                    "tensor {name} has shape {shape}: its rows must be whole {layout} blocks "
                    "of {block_weights}, none empty",
                    name=repr(name),
                    shape=shape,
                    layout=layout.name,
                    block_weights=layout.block_weights,
                )
            )
        if offset != expected:
            raise cursor.corrupted(
                say(
                    "tensor {name} starts at {offset}, not at {expected}",
                    name=repr(name),
                    offset=offset,
                    expected=expected,
                )
            )
        size = count // layout.block_weights * layout.block_bytes
        start = data_offset + offset
        if start + size > cursor.source.size_bytes:
            raise FormatError(
                say(
                    "{name} is truncated: tensor {tensor} needs bytes {start} to "
                    "{end}, but the file ends at {size_bytes}: fetch it again",
                    name=cursor.source.name,
                    tensor=repr(name),
                    start=start,
                    end=start + size,
                    size_bytes=cursor.source.size_bytes,
                )
            )
        tensors[name] = StoredTensor(name, shape, layout.name, start, size)
        expected += padded(size, alignment)
    return tensors
