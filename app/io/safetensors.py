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
import re
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from app.errors import FormatError
from app.io.source import ByteSource
from app.io.stored_tensor import StoredTensor
from app.io.strict_json import parse_json
from app.messages import say

MAX_HEADER_BYTES = 100_000_000
"""The limit of the reference implementation."""

METADATA_KEY = "__metadata__"

_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_OTHER_DTYPE = re.compile("BOOL|[UI](?:8|16|32|64)|F64|C64|F[468](?:_E[0-9]M[0-9])?")
"""Dtypes that exist elsewhere, so that the message can tell them from nonsense."""

_WRITE_DTYPES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16"}

_EXACT_ITEM_BYTES = {"F32": 4, "F64": 8, "U32": 4}
_EXACT_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "U32": np.dtype("<u4"),
}
"""What checkpoints hold, whose arrays are read back as they were written."""
_FIELDS = {"dtype", "shape", "data_offsets"}
_MAX_EXTENT = 1 << 40
_MAX_DIMENSIONS = 8

_HEADER_DEPTH = 3
"""An object of entries, each an object with arrays of numbers."""

FloatArray = npt.NDArray[np.float32]


class _Entry(NamedTuple):
    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_safetensors(data: bytes) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """Return the tensors as float32 and the metadata.

    F32 arrays are copies, F16 and BF16 are widened without loss.

    Raises:
        FormatError: truncated, corrupted, a header that lies about the data, or a dtype other
            than F32, F16 and BF16.
    """
    header_size = _header_size(data[:8], len(data))
    entries, metadata = _read_header(data[8 : 8 + header_size], len(data) - 8 - header_size)
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
        header_size = _header_size(
            await source.read(0, min(8, source.size_bytes)), source.size_bytes
        )
        body = 8 + header_size
        entries, _ = _read_header(await source.read(8, header_size), source.size_bytes - body)
    except FormatError as error:
        raise FormatError(say("{name}: {error}", name=source.name, error=error)) from error
    return {
        entry.name: StoredTensor(
            entry.name, entry.shape, entry.dtype, body + entry.begin, entry.end - entry.begin
        )
        for entry in entries
    }


def read_exact_safetensors(data: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Return the arrays as they are, to the last bit, and the metadata.

    Raises:
        FormatError: as `read_safetensors`; the dtypes are F32, F64 and U32.
    """
    header_size = _header_size(data[:8], len(data))
    entries, metadata = _read_header(
        data[8 : 8 + header_size], len(data) - 8 - header_size, _EXACT_ITEM_BYTES
    )
    body = memoryview(data)[8 + header_size :]
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, dtype, shape, begin, end in entries:
        flat: npt.NDArray[Any] = np.frombuffer(body[begin:end], dtype=_EXACT_DTYPES[dtype])
        arrays[name] = flat.reshape(shape)
    return arrays, metadata


def write_safetensors(
    tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str], *, is_exact: bool = False
) -> bytes:
    """Return a file with the tensors (float32 or float16) in order of name, and the metadata.

    With `is_exact` they are float32, float64 or uint32, for `read_exact_safetensors`.

    Raises:
        FormatError: an array of another dtype, a reserved name, or metadata that is not text.
    """
    header: dict[str, Any] = {METADATA_KEY: _check_metadata(dict(metadata))} if metadata else {}
    dtypes = {item: name for name, item in _EXACT_DTYPES.items()} if is_exact else _WRITE_DTYPES
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
    header: dict[str, Any] = {METADATA_KEY: _check_metadata(dict(metadata))} if metadata else {}
    offset = 0
    for name, dtype, shape in tensors:
        span = [offset, offset + prod(shape) * (_ITEM_BYTES | _EXACT_ITEM_BYTES)[dtype]]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": span}
        offset = span[1]
    return _framed(header)


def _framed(header: Mapping[str, Any]) -> bytes:
    """Return a header as JSON behind its length, padded to eight bytes."""
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text


def _header_size(raw: bytes, file_size: int) -> int:
    """Return the length of the header, checked against the bytes that follow it."""
    if len(raw) < 8:
        raise _corrupted(
            say("it has {number} bytes and the header length alone takes 8", number=len(raw))
        )
    header_size = int.from_bytes(raw, "little")
    if header_size > MAX_HEADER_BYTES:
        raise _corrupted(
            say(
                "its header claims {header_size} bytes, the limit is {limit}",
                header_size=header_size,
                limit=MAX_HEADER_BYTES,
            )
        )
    if header_size > file_size - 8:
        raise _corrupted(
            say(
                "its header claims {header_size} bytes and {follow} follow: it is truncated",
                header_size=header_size,
                follow=file_size - 8,
            )
        )
    return header_size


def _read_header(
    raw: bytes, body_size: int, item_bytes: Mapping[str, int] = _ITEM_BYTES
) -> tuple[list[_Entry], dict[str, str]]:
    """Return the checked entries and the metadata."""
    header = _parse_header(raw)
    metadata = _check_metadata(header.pop(METADATA_KEY, {}))
    entries = [_check_entry(name, value, item_bytes) for name, value in header.items()]
    _check_tiling(entries, body_size)
    return entries, metadata


def _corrupted(what: str) -> FormatError:
    return FormatError(
        say(
            "the safetensors file is damaged or was written wrongly: {what}. "
            "Export or fetch it again",
            what=what,
        )
    )


def _shown(name: str) -> str:
    """Return a name for a message, cut where the file brings something huge."""
    text = repr(name)
    return text if len(text) <= 120 else text[:117] + "..."


def _parse_header(raw: bytes) -> dict[str, Any]:
    """Parse the JSON header into a dict, refusing what JSON parsers usually let pass."""
    if not (raw.startswith(b"{") and raw.rstrip(b" ").endswith(b"}")):
        raise _corrupted(say("its header is not a JSON object padded with spaces"))
    try:
        header: dict[str, Any] = parse_json(
            raw,
            max_depth=_HEADER_DEPTH,
            object_pairs_hook=_unique_pairs,
            parse_int=_parse_size,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except FormatError:
        raise
    except ValueError as error:
        raise _corrupted(say("its header is not valid JSON ({error})", error=error)) from error
    return header


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for name, value in pairs:
        if name in unique:
            raise _corrupted(say("the name {name} appears twice in its header", name=_shown(name)))
        unique[name] = value
    return unique


def _parse_size(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise _corrupted(say("its header holds the number {text}, expected a size", text=text[:40]))
    return int(text)


def _refuse_number(text: str) -> None:
    raise _corrupted(
        say("its header holds the number {text}, expected a whole one", text=text[:40])
    )


def _is_text(value: Any) -> bool:
    """Whether a value is a string that UTF-8 can hold (no lone surrogates from escapes)."""
    return isinstance(value, str) and value.encode(errors="replace").decode() == value


def _check_metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _corrupted(say("its {key} is not an object of strings", key=METADATA_KEY))
    for key, item in value.items():
        if not (_is_text(key) and _is_text(item)):
            raise _corrupted(say("its metadata {key} is not text", key=_shown(str(key))))
    return value


def _check_entry(name: str, value: Any, item_bytes: Mapping[str, int]) -> _Entry:
    shown = _shown(name)
    if not _is_text(name):
        raise _corrupted(say("the name {name} is not text", name=shown))
    if not isinstance(value, dict) or value.keys() != _FIELDS:
        raise _corrupted(
            say(
                "the entry of {name} has not exactly the fields {fields}",
                name=shown,
                fields=sorted(_FIELDS),
            )
        )
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in item_bytes:
        known = list(item_bytes)
        if isinstance(dtype, str) and _OTHER_DTYPE.fullmatch(dtype):
            raise FormatError(
                say(
                    "tensor {name} of the safetensors file has dtype {dtype}, expected "
                    "{known} or {last}: convert it first",
                    name=shown,
                    dtype=dtype,
                    known=", ".join(known[:-1]),
                    last=known[-1],
                )
            )
        raise _corrupted(
            say("{name} has the unknown dtype {dtype}", name=shown, dtype=_shown(str(dtype)))
        )
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS or _extent(shape) > _MAX_EXTENT:
        raise _corrupted(say("{name} has the shape {shape}", name=shown, shape=_shown(str(shape))))
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise _corrupted(
            say(
                "{name} has the data_offsets {offsets}, expected two",
                name=shown,
                offsets=_shown(str(offsets)),
            )
        )
    begin, end = offsets
    expected = prod(shape) * item_bytes[dtype]
    if end - begin != expected:
        raise _corrupted(
            say(
                "{name} has shape {shape} in {dtype}, which takes {expected} bytes, "
                "but its data_offsets span {span}",
                name=shown,
                shape=tuple(shape),
                dtype=dtype,
                expected=expected,
                span=end - begin,
            )
        )
    return _Entry(name, dtype, tuple(shape), begin, end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _extent(shape: list[int]) -> int:
    """Product of the dimensions, as if none were zero: numpy overflows on huge empty arrays."""
    return prod(max(size, 1) for size in shape)


def _check_tiling(entries: list[_Entry], body_size: int) -> None:
    """Every byte of the data belongs to exactly one tensor."""
    position = 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != position:
            raise _corrupted(
                say(
                    "there is {kind} before {name}: it starts at {begin}, expected {position}",
                    kind=say("a hole") if entry.begin > position else say("an overlap"),
                    name=_shown(entry.name),
                    begin=entry.begin,
                    position=position,
                )
            )
        position = entry.end
    if position != body_size:
        is_short = position > body_size
        raise _corrupted(
            say(
                "its tensors take {position} bytes and {body_size} are there: {kind}",
                position=position,
                body_size=body_size,
                kind=say("it is truncated") if is_short else say("there are bytes of no tensor"),
            )
        )


def _to_float32(raw: memoryview, dtype: str, shape: tuple[int, ...]) -> FloatArray:
    if dtype == "BF16":
        # bfloat16 is the upper half of a float32.
        wide = np.frombuffer(raw, dtype="<u2").astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32).reshape(shape)
    source = np.dtype("<f4") if dtype == "F32" else np.dtype("<f2")
    with np.errstate(invalid="ignore"):
        # Signalling NaNs pass; whether values are finite is the caller's to check.
        return np.frombuffer(raw, dtype=source).astype(np.float32).reshape(shape)
