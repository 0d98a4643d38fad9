"""Checkpoints that are too large to be held: written to a directory array by array.

The file is that of `app.io.checkpoint`, which reads it. Its hash stands in the header, before what
it is the hash of: it is put there when all else is written. Then the file is read back, a slice
at a time, and compared with what was written before it gets its name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from app.errors import CheckpointError
from app.io.checkpoint import (
    Checkpoint,
    DirectoryStore,
    array_mark,
    checkpoint_metadata,
    document_text,
    keep_named,
    not_kept,
)
from app.io.safetensors import safetensors_header
from app.messages import say

SLICE_BYTES = 32 << 20
_NO_HASH = "0" * 64

Kind = Literal["F32", "F64", "U32"]
_KINDS: dict[str, Kind] = {"float32": "F32", "float64": "F64", "uint32": "U32"}


@dataclass(frozen=True)
class LazyArray:
    """An array that is read when it is wanted.

    Attributes:
        dtype: float32, float64 or uint32.
        shape: What `read` returns.
    """

    dtype: npt.DTypeLike
    shape: tuple[int, ...]
    read: Callable[[], Awaitable[npt.NDArray[Any]]]


async def stream_checkpoint(
    store: DirectoryStore,
    checkpoint: Checkpoint,
    lazy: Mapping[str, LazyArray],
    summary: Mapping[str, Any] | None = None,
) -> None:
    """Keep a checkpoint as `save_checkpoint` does, with one array at a time in memory.

    Args:
        store: Where.
        checkpoint: What; of its arrays those that are in memory already.
        lazy: The others.
        summary: For `read_summary`, JSON.

    Raises:
        CheckpointError: it could not be kept; what was there before still is.
    """
    path = store.path / checkpoint.name
    part = path.with_name(f"{path.name}.part")
    try:
        store.path.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w+b") as file:
                written = await _write(file, checkpoint, lazy)
                file.flush()
                os.fsync(file.fileno())
                if _hash_of(file) != written:
                    raise CheckpointError(
                        say("the checkpoint reads back otherwise than it was written")
                    )
            os.replace(part, path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        await keep_named(store, checkpoint, summary)
    except OSError as error:
        raise not_kept(checkpoint, error) from error


async def _write(file: BinaryIO, checkpoint: Checkpoint, lazy: Mapping[str, LazyArray]) -> str:
    """Write a checkpoint; return the hash of the whole file."""
    names = sorted({*checkpoint.arrays, *lazy})
    shapes = {name: item.shape for name, item in lazy.items()}
    shapes |= {name: array.shape for name, array in checkpoint.arrays.items()}
    dtypes = {name: np.dtype(item.dtype) for name, item in lazy.items()}
    dtypes |= {name: array.dtype for name, array in checkpoint.arrays.items()}
    text = document_text(checkpoint)

    def header(sha256: str) -> bytes:
        listed = ((name, _KINDS[dtypes[name].name], shapes[name]) for name in names)
        return safetensors_header(listed, checkpoint_metadata(text, sha256))

    file.write(header(_NO_HASH))
    digest, body = hashlib.sha256(text.encode()), hashlib.sha256()
    for name in names:
        array = await lazy[name].read() if name in lazy else checkpoint.arrays[name]
        digest.update(array_mark(name, array))
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for start in range(0, flat.size, SLICE_BYTES):
            data = flat[start : start + SLICE_BYTES].data
            digest.update(data)
            body.update(data)
            file.write(data)
    head = header(digest.hexdigest())
    file.seek(0)
    file.write(head)
    return _both(head, body.hexdigest())


def _hash_of(file: BinaryIO) -> str:
    """Return the same of what lies in a file."""
    file.seek(0)
    size = file.read(8)
    head = size + file.read(int.from_bytes(size, "little"))
    body = hashlib.sha256()
    while data := file.read(SLICE_BYTES):
        body.update(data)
    return _both(head, body.hexdigest())


def _both(head: bytes, body: str) -> str:
    return hashlib.sha256(head + body.encode()).hexdigest()
