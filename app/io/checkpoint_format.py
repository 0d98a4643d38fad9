"""The file of a checkpoint: docs/formats.md has the layout.

It is a safetensors file: arrays, and in its metadata a JSON document and a hash of both. Arrays
are read in slices, so that none but those that are wanted in memory ever is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import FormatError, json_problem
from app.io.safetensors import EXACT_DTYPES, locate_exact_safetensors, write_safetensors
from app.io.source import ByteSource, HostBytes
from app.io.strict_json import parse_json
from app.messages import say

VERSION = 1
MAX_DEPTH = 12
"""Of a checkpoint's document."""

SLICE_BYTES = 16 << 20
"""What is held of an array that is not held whole."""


@dataclass(frozen=True)
class LazyArray:
    """An array whose bytes are brought when they are wanted, a slice at a time.

    Attributes:
        dtype: float32, float64 or uint32.
        shape: Of the whole.
        read: (offset, size) in bytes → those bytes, in the host's own form or Python's.
    """

    dtype: npt.DTypeLike
    shape: tuple[int, ...]
    read: Callable[[int, int], Awaitable[HostBytes]]

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> LazyArray:
        """Return an array that is in memory like one that is not."""
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)

        async def read(offset: int, size: int) -> HostBytes:
            return flat[offset : offset + size].data

        return cls(array.dtype, array.shape, read)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole."""
        return self.size * np.dtype(self.dtype).itemsize

    async def whole(self) -> npt.NDArray[Any]:
        """Return all of it, in memory."""
        data = await self.read(0, self.size_bytes)
        return np.frombuffer(data, self.dtype).reshape(self.shape)

    async def slices(self) -> AsyncIterator[tuple[int, HostBytes]]:
        """Yield offset and bytes of one slice after the other."""
        for offset in range(0, self.size_bytes, SLICE_BYTES):
            yield offset, await self.read(offset, min(SLICE_BYTES, self.size_bytes - offset))


@dataclass(frozen=True)
class Checkpoint:
    """A run between two updates.

    Attributes:
        run: Eight hexadecimal digits that tell one run's checkpoints from another's.
        step: Updates made.
        document: JSON.
        arrays: Name → float32, float64 or uint32.
        lazy: The same, of arrays that are not in memory.
    """

    run: str
    step: int
    document: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]]
    lazy: Mapping[str, LazyArray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"checkpoint-{self.run}-{self.step:08d}.safetensors"

    @property
    def size_bytes(self) -> int:
        """Bytes of its arrays."""
        held = sum(array.nbytes for array in self.arrays.values())
        return held + sum(array.size_bytes for array in self.lazy.values())


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


def array_mark(name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> bytes:
    """Return what goes into the hash before the bytes of an array; arrays go by name."""
    return f"\n{name} {shape} {np.dtype(dtype).str}\n".encode()


def encode_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Return the file of a checkpoint that is in memory."""
    document = document_text(checkpoint)
    digest = hashlib.sha256(document.encode())
    for name, array in sorted(checkpoint.arrays.items()):
        digest.update(array_mark(name, array.shape, array.dtype))
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    metadata = checkpoint_metadata(document, digest.hexdigest())
    return write_safetensors(checkpoint.arrays, metadata, is_exact=True)


async def decode_checkpoint(source: ByteSource, is_lazy: Callable[[str], bool]) -> Checkpoint:
    """Return a checkpoint whose every bit is as it was written.

    Args:
        source: Its file, all of which is read once.
        is_lazy: Which arrays, by name, are left where they lie.

    Raises:
        FormatError: it is not as it was written.
    """
    stored, metadata = await locate_exact_safetensors(source)
    if metadata.get("format") != "lora-lab-checkpoint" or metadata.get("version") != str(VERSION):
        raise FormatError(say("it is no checkpoint of version {version}", version=VERSION))
    text = metadata.get("document", "")
    digest = hashlib.sha256(text.encode())
    arrays: dict[str, npt.NDArray[Any]] = {}
    lazy: dict[str, LazyArray] = {}
    for name, tensor in sorted(stored.items()):
        dtype = EXACT_DTYPES[tensor.type]
        digest.update(array_mark(name, tensor.shape, dtype))
        held = None if is_lazy(name) else bytearray(tensor.size_bytes)
        for at in range(0, tensor.size_bytes, SLICE_BYTES):
            size = min(SLICE_BYTES, tensor.size_bytes - at)
            data = await source.read(tensor.offset + at, size)
            digest.update(data)
            if held is not None:
                held[at : at + size] = data
        if held is None:
            lazy[name] = LazyArray(dtype, tensor.shape, _reader(source, tensor.offset))
        else:
            arrays[name] = np.frombuffer(held, dtype).reshape(tensor.shape)
    if metadata.get("sha256") != digest.hexdigest():
        raise FormatError(say("its contents are not what was written: the hash differs"))
    try:
        document = parse_json(text.encode(), max_depth=MAX_DEPTH)
        run, step = str(document.pop("run")), int(document.pop("step"))
        return Checkpoint(run, step, document, arrays, lazy)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(
            say("its document cannot be read ({error})", error=json_problem(error))
        ) from error


def _reader(source: ByteSource, begin: int) -> Callable[[int, int], Awaitable[HostBytes]]:
    return lambda offset, size: source.chunk(begin + offset, size)
