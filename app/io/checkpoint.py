"""Checkpoints of a run: whole or not at all, wherever they are kept.

A checkpoint is one safetensors file: arrays, and in its metadata a JSON document and a hash of
both. It is written under a name of its own, read back and compared; only then does the small
file CURRENT name it. The two newest are kept, so that there is always a good one. What turns out
to be torn or changed is skipped, with a sentence, for the one before it. docs/formats.md has the
layout.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from app.errors import CheckpointError, FormatError
from app.io.safetensors import read_exact_safetensors, write_safetensors
from app.io.strict_json import parse_json
from app.messages import say

CURRENT = "CURRENT"
KEPT = 2
VERSION = 1

_NAME = re.compile(r"checkpoint-([0-9a-f]{8})-(\d{8,})\.safetensors")
_MAX_DEPTH = 12


class CheckpointStore(Protocol):
    """A folder for checkpoints: on disk, or in the browser's private file system."""

    async def names(self) -> list[str]:
        """Return the names of the files; none where there is no folder."""
        ...

    async def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None where there is no such file. Raises OSError."""
        ...

    async def write(self, name: str, data: bytes) -> None:
        """Write a file whole, replacing one of that name. Raises OSError: full, not allowed."""
        ...

    async def remove(self, name: str) -> None:
        """Remove a file, if it is there. Raises OSError."""
        ...


class DirectoryStore:
    """A directory on disk, made when first written to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def names(self) -> list[str]:
        """Return the names of the files."""
        return sorted(item.name for item in self.path.iterdir()) if self.path.is_dir() else []

    async def read(self, name: str) -> bytes | None:
        """Return a file's bytes."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    async def write(self, name: str, data: bytes) -> None:
        """Write under another name, flush to the disk, rename."""
        self.path.mkdir(parents=True, exist_ok=True)
        part = self.path / f"{name}.part"
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.path / name)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise

    async def remove(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Checkpoint:
    """A run between two updates.

    Attributes:
        run: Eight hexadecimal digits that tell one run's checkpoints from another's.
        step: Updates made.
        document: JSON.
        arrays: Name → float32, float64 or uint32.
    """

    run: str
    step: int
    document: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"checkpoint-{self.run}-{self.step:08d}.safetensors"


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
    data = _encode(checkpoint)
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
    store: CheckpointStore, checkpoint: Checkpoint, summary: Mapping[str, Any] | None
) -> None:
    """Let CURRENT name a checkpoint that lies there, and the one before; older ones go.

    Raises:
        OSError: what was named before still is.
    """
    name = checkpoint.name
    before = [item for item in await _listed(store) if _run_of(item) == checkpoint.run]
    names = [name, *(item for item in before if item != name)][:KEPT]
    told = {"version": VERSION, "checkpoints": names, "summary": dict(summary or {})}
    manifest = json.dumps(told) + "\n"
    await store.write(CURRENT, manifest.encode())
    for item in await store.names():
        if _NAME.fullmatch(item) and item not in names:
            await store.remove(item)


async def load_checkpoint(
    store: CheckpointStore, on_skipped: Callable[[str], None] = lambda _: None
) -> Checkpoint | None:
    """Return the newest checkpoint that is sound, None where there is none at all.

    Args:
        store: Where they are.
        on_skipped: Told in a sentence of each that is not sound.

    Raises:
        CheckpointError: there are checkpoints, and none is sound; or they cannot be read.
    """
    try:
        names = await _listed(store)
        for name in names:
            data = await store.read(name)
            try:
                if data is None:
                    raise FormatError(say("the file is missing"))
                return _decode(data)
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
        manifest = parse_json(data or b"{}", max_depth=_MAX_DEPTH)
        return dict(manifest["summary"]) if manifest["checkpoints"] else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


async def clear_checkpoints(store: CheckpointStore) -> None:
    """Remove all checkpoints; what cannot be removed stays."""
    with suppress(OSError):
        for name in (CURRENT, *await store.names()):
            if name == CURRENT or _NAME.fullmatch(name):
                await store.remove(name)


async def _listed(store: CheckpointStore) -> list[str]:
    """Return the checkpoints that CURRENT names; all that are there where it cannot be read."""
    data = await store.read(CURRENT)
    with suppress(ValueError, TypeError, KeyError):
        if data is not None:
            manifest = parse_json(data, max_depth=_MAX_DEPTH)
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


def document_text(checkpoint: Checkpoint) -> str:
    """Return a checkpoint's document as its file has it."""
    about = {"run": checkpoint.run, "step": checkpoint.step, **checkpoint.document}
    return json.dumps(about, allow_nan=False)


def checkpoint_metadata(document: str, sha256: str) -> dict[str, str]:
    """Return the metadata of a checkpoint's file."""
    return {
        "format": "lora-lab-checkpoint",
        "version": str(VERSION),
        "document": document,
        "sha256": sha256,
    }


def array_mark(name: str, array: npt.NDArray[Any]) -> bytes:
    """Return what goes into the hash before the bytes of an array; arrays go by name."""
    return f"\n{name} {array.shape} {array.dtype.str}\n".encode()


def _encode(checkpoint: Checkpoint) -> bytes:
    document = document_text(checkpoint)
    metadata = checkpoint_metadata(document, _digest(document, checkpoint.arrays))
    return write_safetensors(checkpoint.arrays, metadata, is_exact=True)


def _decode(data: bytes) -> Checkpoint:
    """Return a checkpoint whose every bit is as it was written.

    Raises:
        FormatError: it is not.
    """
    arrays, metadata = read_exact_safetensors(data)
    if metadata.get("format") != "lora-lab-checkpoint" or metadata.get("version") != str(VERSION):
        raise FormatError(say("it is no checkpoint of version {version}", version=VERSION))
    text = metadata.get("document", "")
    if metadata.get("sha256") != _digest(text, arrays):
        raise FormatError(say("its contents are not what was written: the hash differs"))
    try:
        document = parse_json(text.encode(), max_depth=_MAX_DEPTH)
        return Checkpoint(str(document.pop("run")), int(document.pop("step")), document, arrays)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(say("its document cannot be read ({error})", error=error)) from error


def _digest(document: str, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(document.encode())
    for name in sorted(arrays):
        digest.update(array_mark(name, arrays[name]))
        digest.update(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
