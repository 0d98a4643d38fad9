"""Where one tensor of a model file lies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file whose bytes stay there.

    `shape` is row-major, (out_features, in_features) for a projection. `type` is a GGUF type
    name (F32, F16, BF16, Q4_1 …). `offset` counts from the start of the source.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    size_bytes: int
