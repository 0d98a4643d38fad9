"""Checkpoints that are too large to be held: written array by array, a slice at a time.

The file is that of `app.io.checkpoint_format`. Its hash stands in the header, before what it is
the hash of: it is put there when all else is written. Then the file is read back and compared
before it gets its name, and CURRENT names it last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from app.errors import CheckpointError
from app.io.checkpoint import KEPT, keep_named, make_room, not_kept
from app.io.checkpoint_format import (
    Checkpoint,
    LazyArray,
    array_mark,
    checkpoint_metadata,
    document_text,
)
from app.io.checkpoint_store import CheckpointFile, CheckpointStore
from app.io.safetensors import safetensors_header
from app.messages import say

_NO_HASH = "0" * 64

Kind = Literal["F32", "F64", "U32"]
_KINDS: dict[str, Kind] = {"float32": "F32", "float64": "F64", "uint32": "U32"}

OnWritten = Callable[[float | None], None]
"""Told which share of a checkpoint is written; None while all of it is read back."""


async def stream_checkpoint(
    store: CheckpointStore,
    checkpoint: Checkpoint,
    summary: Mapping[str, Any] | None = None,
    on_written: OnWritten = lambda _: None,
    most: int = KEPT,
) -> None:
    """Keep a checkpoint as `save_checkpoint` does, with one slice of an array in memory.

    The one before it stays where there is room for two; else it goes once this one is whole.

    Args:
        store: Where.
        checkpoint: What.
        summary: For `read_summary`, JSON.
        on_written: Told how far it is.
        most: How many to keep at most, of the same run.

    Raises:
        CheckpointError: it could not be kept; what was there before still is.
    """
    try:
        num_kept = min(most, await make_room(store, checkpoint.size_bytes))
        file = await store.create(checkpoint.name)
        try:
            await _write(file, checkpoint, on_written)
            on_written(None)
            if not await file.keep():
                raise CheckpointError(
                    say("the checkpoint reads back otherwise than it was written")
                )
        except BaseException:
            with suppress(OSError):
                await file.drop()
            raise
        await keep_named(store, checkpoint, summary, num_kept)
    except OSError as error:
        raise not_kept(checkpoint, error) from error


async def _write(file: CheckpointFile, checkpoint: Checkpoint, on_written: OnWritten) -> None:
    held = {name: LazyArray.of(array) for name, array in checkpoint.arrays.items()}
    arrays = dict(sorted({**held, **checkpoint.lazy}.items()))
    text = document_text(checkpoint)

    def header(sha256: str) -> bytes:
        listed = ((name, _KINDS[np.dtype(a.dtype).name], a.shape) for name, a in arrays.items())
        return safetensors_header(listed, checkpoint_metadata(text, sha256))

    digest = hashlib.sha256(text.encode())
    begin = end = len(header(_NO_HASH))
    for name, array in arrays.items():
        digest.update(array_mark(name, array.shape, array.dtype))
        async for _, data in array.slices():
            digest.update(data)
            await file.write(end, data)
            end += len(data)
            on_written((end - begin) / max(checkpoint.size_bytes, 1))
    await file.write(0, header(digest.hexdigest()))
