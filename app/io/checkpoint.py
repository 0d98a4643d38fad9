"""Checkpoints of a run: whole or not at all, wherever they are kept.

A checkpoint is one safetensors file: arrays, and in its metadata a JSON document and a hash of
both. It is written under a name of its own, read back and compared; only then does the small
file CURRENT name it. The two newest are kept, so that there is always a good one. What turns out
to be torn or changed is skipped, with a sentence, for the one before it. docs/formats.md has the
layout.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from app.errors import CheckpointError, FormatError
from app.io.checkpoint_format import (
    MAX_DEPTH,
    VERSION,
    Checkpoint,
    decode_checkpoint,
    encode_checkpoint,
)
from app.io.checkpoint_store import PART, CheckpointStore
from app.io.strict_json import parse_json
from app.messages import say

CURRENT = "CURRENT"
KEPT = 2

_NAME = re.compile(r"checkpoint-([0-9a-f]{8})-(\d{8,})\.safetensors")


async def save_checkpoint(
    store: CheckpointStore, checkpoint: Checkpoint, summary: Mapping[str, Any] | None = None
) -> None:
    """Keep a checkpoint beside the one before it of the same run; older ones go.

    Args:
        store: Where.
        checkpoint: What.
        summary: For `read_summary`, JSON.

    Raises:
        CheckpointError: it could not be kept; what was there before still is.
    """
    data = encode_checkpoint(checkpoint)
    name = checkpoint.name
    try:
        await store.write(name, data)
        if await store.read(name) != data:
            await store.remove(name)
            raise CheckpointError(say("the checkpoint reads back otherwise than it was written"))
        await keep_named(store, checkpoint, summary)
    except OSError as error:
        with suppress(OSError):
            if name not in await _listed(store):
                await store.remove(name)
        raise not_kept(checkpoint, error) from error


def not_kept(checkpoint: Checkpoint, error: OSError) -> CheckpointError:
    """Return the error that says why a checkpoint could not be written."""
    return CheckpointError(
        say(
            "the checkpoint of step {step} could not be kept ({error})",
            step=checkpoint.step,
            error=error.strerror or error,
        )
    )


async def keep_named(
    store: CheckpointStore,
    checkpoint: Checkpoint,
    summary: Mapping[str, Any] | None,
    num_kept: int = KEPT,
) -> None:
    """Let CURRENT name a checkpoint that lies there, and those before; older ones go.

    Args:
        store: Where.
        checkpoint: The newest.
        summary: For `read_summary`.
        num_kept: How many stay, of the same run.

    Raises:
        OSError: what was named before still is.
    """
    name = checkpoint.name
    before = [item for item in await _listed(store) if _run_of(item) == checkpoint.run]
    names = [name, *(item for item in before if item != name)][:num_kept]
    told = {"version": VERSION, "checkpoints": names, "summary": dict(summary or {})}
    manifest = json.dumps(told) + "\n"
    await store.write(CURRENT, manifest.encode())
    await _remove_but(store, names)


async def make_room(store: CheckpointStore, size_bytes: int) -> int:
    """Make room for a checkpoint where there is none: all but the newest go.

    Returns:
        How many to keep once it is written: both where the next will have room as well.

    Raises:
        OSError: they cannot be removed.
    """
    room_bytes = await store.room_bytes()
    if room_bytes is None:
        return KEPT
    if room_bytes < size_bytes:
        await _remove_but(store, (await _listed(store))[:1])
    return KEPT if room_bytes >= 2 * size_bytes else 1


async def tidy_checkpoints(store: CheckpointStore) -> None:
    """Remove what writes left behind that never ended; CURRENT names all that is whole."""
    with suppress(OSError):
        is_named = await store.read(CURRENT) is not None
        await _remove_but(store, await _listed(store) if is_named else [])


async def _remove_but(store: CheckpointStore, names: Sequence[str]) -> None:
    for item in await store.names():
        if _NAME.fullmatch(item.removesuffix(PART)) and item not in names:
            await store.remove(item)


async def load_checkpoint(
    store: CheckpointStore,
    on_skipped: Callable[[str], None] = lambda _: None,
    is_lazy: Callable[[str], bool] = lambda _: False,
) -> Checkpoint | None:
    """Return the newest checkpoint that is sound, None where there is none at all.

    Args:
        store: Where they are.
        on_skipped: Told in a sentence of each that is not sound.
        is_lazy: Which arrays, by name, are left where they lie; they are checked all the same.

    Raises:
        CheckpointError: there are checkpoints, and none is sound; or they cannot be read.
    """
    try:
        names = await _listed(store)
        for name in names:
            try:
                source = await store.open(name)
                if source is None:
                    raise FormatError(say("the file is missing"))
                return await decode_checkpoint(source, is_lazy)
            except FormatError as error:
                on_skipped(f"{name} is skipped: {error}")
    except OSError as error:
        raise CheckpointError(
            say("cannot read the checkpoints: {value}", value=error.strerror or error)
        ) from error
    if not names:
        return None
    raise CheckpointError(
        say(
            "none of the checkpoints ({names}) is sound: begin the run anew", names=", ".join(names)
        )
    )


async def read_summary(store: CheckpointStore) -> dict[str, Any] | None:
    """Return what was said of the newest checkpoint, which is not read itself; None: no such."""
    try:
        data = await store.read(CURRENT)
        manifest = parse_json(data or b"{}", max_depth=MAX_DEPTH)
        return dict(manifest["summary"]) if manifest["checkpoints"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


async def clear_checkpoints(store: CheckpointStore) -> None:
    """Remove all checkpoints; what cannot be removed stays."""
    with suppress(OSError):
        for name in (CURRENT, *await store.names()):
            if name == CURRENT or _NAME.fullmatch(name.removesuffix(PART)):
                await store.remove(name)


async def _listed(store: CheckpointStore) -> list[str]:
    """Return the checkpoints that CURRENT names; all that are there where it cannot be read."""
    data = await store.read(CURRENT)
    with suppress(ValueError, TypeError, KeyError):
        if data is not None:
            manifest = parse_json(data, max_depth=MAX_DEPTH)
            names = [str(name) for name in manifest["checkpoints"]]
            if manifest["version"] == VERSION and all(map(_NAME.fullmatch, names)):
                return names
    found = [name for name in await store.names() if _NAME.fullmatch(name)]
    return sorted(found, key=_step_of, reverse=True)


def _run_of(name: str) -> str:
    match = _NAME.fullmatch(name)
    return match[1] if match else ""


def _step_of(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[2]) if match else 0
