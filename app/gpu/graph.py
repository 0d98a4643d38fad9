"""Record a fixed sequence of dispatches once; replay it every step.

Tensors are symbolic while a graph is recorded: shapes are known, buffers are not. Only
when recording is done does `app.gpu.memory` lay transient tensors out, so that the bytes
of a run are known before the first is allocated.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from app.errors import ShapeError
from app.gpu.device import Buffer
from app.gpu.kernels import Kernel
from app.gpu.tuning import SOFTWARE, Tuning

Dtype = Literal["f32", "u32", "i32"]
Part = Literal["weights", "adapter", "optimizer", "activations", "scratch"]

BINDING_ALIGNMENT_BYTES = 256


@dataclass(eq=False)
class Storage:
    """Bytes that tensors live in: a buffer of its own, or a slot the plan assigns.

    Attributes:
        part: Which line of the memory plan it counts to.
        is_transient: Holds a value only between its first and last use in one replay.
    """

    label: str
    size_bytes: int
    part: Part
    is_transient: bool
    buffer: Buffer | None = None


@dataclass(eq=False, frozen=True)
class Tensor:
    """A contiguous row-major array inside a storage."""

    shape: tuple[int, ...]
    storage: Storage
    dtype: Dtype = "f32"
    offset_bytes: int = 0

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Number of bytes; every dtype has four an element."""
        return 4 * self.size

    def rows(self, start: int, stop: int) -> Tensor:
        """Return rows start..stop of the first axis, sharing the storage.

        Raises:
            ShapeError: the slice is empty, out of range, or starts off a 256-byte boundary,
                which WebGPU cannot bind.
        """
        row_bytes = self.size_bytes // self.shape[0]
        offset = self.offset_bytes + start * row_bytes
        if not 0 <= start < stop <= self.shape[0] or offset % BINDING_ALIGNMENT_BYTES:
            raise ShapeError(
                f"rows {start} to {stop} of {self.storage.label} {self.shape} cannot be bound: "
                f"they must be inside and start at a multiple of {BINDING_ALIGNMENT_BYTES} bytes"
            )
        return Tensor((stop - start, *self.shape[1:]), self.storage, self.dtype, offset)

    def reshape(self, *shape: int) -> Tensor:
        """Return the same elements under another shape of equal size."""
        if math.prod(shape) != self.size:
            raise ShapeError(f"{self.storage.label} has {self.size} elements, not {shape}")
        return Tensor(shape, self.storage, self.dtype, self.offset_bytes)


def persistent(label: str, shape: tuple[int, ...], part: Part, dtype: Dtype = "f32") -> Tensor:
    """Return a tensor that keeps its value between replays, in a storage of its own."""
    storage = Storage(label, 4 * math.prod(shape), part, is_transient=False)
    return Tensor(shape, storage, dtype)


@dataclass(frozen=True)
class Node:
    """One recorded dispatch, before buffers exist."""

    kernel: Kernel
    bindings: tuple[Tensor, ...]
    params: bytes
    workgroups: tuple[int, int, int]
    flops: float


@dataclass(eq=False)
class Graph:
    """A list of dispatches over symbolic tensors."""

    label: str
    tuning: Tuning = SOFTWARE
    nodes: list[Node] = field(default_factory=list)

    def empty(self, label: str, *shape: int, dtype: Dtype = "f32") -> Tensor:
        """Return a transient tensor: valid from its first write to its last use."""
        storage = Storage(label, 4 * math.prod(shape), "activations", is_transient=True)
        return Tensor(tuple(shape), storage, dtype)

    def dispatch(
        self,
        kernel: Kernel,
        bindings: Sequence[Tensor],
        workgroups: tuple[int, int, int],
        params: Sequence[int | float] = (),
        flops: float = 0.0,
    ) -> None:
        """Record one launch.

        Args:
            kernel: What to run.
            bindings: Tensors for @binding(0), (1), …; the params uniform comes after them.
            workgroups: Grid, in workgroups.
            params: Scalars of the shader's Params struct in order: int → u32, float → f32.
            flops: Estimated floating-point operations, used to size submits.
        """
        packed = b"".join(
            struct.pack("<f" if isinstance(value, float) else "<I", value) for value in params
        )
        self.nodes.append(Node(kernel, tuple(bindings), packed, workgroups, flops))

    @property
    def flops(self) -> float:
        """Estimated floating-point operations of one replay."""
        return sum(node.flops for node in self.nodes)


def ceil_div(value: int, divisor: int) -> int:
    """Return value / divisor, rounded up."""
    return -(-value // divisor)


def grid_1d(count: int, workgroup_size: int) -> tuple[int, int, int]:
    """Return a grid for `count` invocations, folded into two axes beyond 65,535 workgroups.

    Shaders find their index as (workgroup.y * num_workgroups.x + workgroup.x) * size + local.
    """
    total = max(1, ceil_div(count, workgroup_size))
    height = ceil_div(total, 65535)
    return (ceil_div(total, height), height, 1)
