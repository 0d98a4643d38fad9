"""Check the header of a safetensors file: app/io/safetensors.py says what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from typing import Any, NamedTuple

from app.errors import FormatError, json_problem
from app.io.strict_json import parse_json
from app.messages import say

MAX_HEADER_BYTES = 100_000_000
"""The limit of the reference implementation."""

METADATA_KEY = "__metadata__"

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
"""Dtypes of models and adapters, and the size of a value."""

_OTHER_DTYPE = re.compile("BOOL|[UI](?:8|16|32|64)|F64|C64|F[468](?:_E[0-9]M[0-9])?")
"""Dtypes that exist elsewhere, so that the message can tell them from nonsense."""

_FIELDS = {"dtype", "shape", "data_offsets"}
_MAX_EXTENT = 1 << 40
_MAX_DIMENSIONS = 8

_HEADER_DEPTH = 3
"""An object of entries, each an object with arrays of numbers."""


class Entry(NamedTuple):
    """A tensor as the header has it; begin and end count in the bytes after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def header_length(raw: bytes, file_size: int) -> int:
    """Return the length of the header, checked against the bytes that follow it.

    Raises:
        FormatError: they do not fit together.
    """
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


def read_header(
    raw: bytes, body_size: int, item_bytes: Mapping[str, int] = ITEM_BYTES
) -> tuple[list[Entry], dict[str, str]]:
    """Return the checked entries and the metadata.

    Args:
        raw: The header.
        body_size: Bytes after it.
        item_bytes: The dtypes that are read, and the size of a value.

    Raises:
        FormatError: not such JSON, another dtype, or tensors that do not tile the bytes.
    """
    header = _parse_header(raw)
    metadata = check_metadata(header.pop(METADATA_KEY, {}))
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
        raise _corrupted(
            say("its header is not valid JSON ({error})", error=json_problem(error))
        ) from error
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


def check_metadata(value: Any) -> dict[str, str]:
    """Return metadata that is text by text. Raises FormatError for other values."""
    if not isinstance(value, dict):
        raise _corrupted(say("its {key} is not an object of strings", key=METADATA_KEY))
    for key, item in value.items():
        if not (_is_text(key) and _is_text(item)):
            raise _corrupted(say("its metadata {key} is not text", key=_shown(str(key))))
    return value


def _check_entry(name: str, value: Any, item_bytes: Mapping[str, int]) -> Entry:
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
    return Entry(name, dtype, tuple(shape), begin, end)


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _extent(shape: list[int]) -> int:
    """Product of the dimensions, as if none were zero: numpy overflows on huge empty arrays."""
    return prod(max(size, 1) for size in shape)


def _check_tiling(entries: list[Entry], body_size: int) -> None:
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
