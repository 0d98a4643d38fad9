"""What the engine asks of a GPU, whichever host it runs on.

Two implementations stand behind this protocol: `app.gpu.browser` (WebGPU through
pyodide.ffi) and `app.gpu.native` (wgpu-py). The engine records dispatches into a graph
once (`app.gpu.graph`) and hands the finished list to `Device.create_program`; from then
on a training step is one `Device.run`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import DeviceLostError
from app.gpu.adapter import AdapterInfo, Limits
from app.gpu.kernels import KernelSource
from app.gpu.tuning import Tuning

Buffer = Any
"""A host's GPU buffer; only the device that made it looks inside."""

Pipeline = Any
"""A host's compiled compute pipeline."""

MAX_SUBMIT_MS = 80.0
"""GPU time aimed at per submit: watchdogs never fire and Stop is prompt."""

MAX_SUBMIT_DISPATCHES = 256

UNIFORM_SLOT_BYTES = 256
"""WebGPU's default minUniformBufferOffsetAlignment."""


@dataclass(frozen=True)
class Binding:
    """A byte range of a buffer."""

    buffer: Buffer
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class Dispatch:
    """One kernel launch with everything bound."""

    label: str
    pipeline: Pipeline
    bindings: tuple[Binding, ...]
    workgroups: tuple[int, int, int]
    flops: float


class Control(Protocol):
    """A person's wish to stop or pause, polled between submits."""

    @property
    def stopped(self) -> bool:
        """Whether to stop before the next submit."""
        ...

    async def wait_while_paused(self) -> None:
        """Return at once, or when the person resumes or stops."""
        ...


class Program(Protocol):
    """Dispatches ready for replay."""

    @property
    def num_dispatches(self) -> int:
        """Dispatches of one replay."""
        ...

    @property
    def flops(self) -> float:
        """Estimated floating-point operations of one replay."""
        ...


class Readback(Protocol):
    """A copy that was queued; `result` waits for the GPU and returns the bytes."""

    async def result(self) -> bytes:
        """Wait for the copy and return its bytes."""
        ...


class Device(Protocol):
    """A GPU device with its queue.

    Attributes:
        flops_per_ms: What it was measured to do, by which submits are sized.
        tuning: How operations are computed on it: priors until it is tuned.
    """

    info: AdapterInfo
    limits: Limits
    features: frozenset[str]
    allocated_bytes: int
    flops_per_ms: float
    tuning: Tuning

    def create_buffer(self, size_bytes: int, label: str) -> Buffer:
        """Return a zeroed buffer for storage, uniforms and copies.

        Raises:
            OutOfGpuMemoryError: the size exceeds the device's limit or its memory.
        """
        ...

    def destroy_buffer(self, buffer: Buffer) -> None:
        """Free a buffer now instead of when it is collected."""
        ...

    def write(self, buffer: Buffer, offset_bytes: int, data: Any) -> None:
        """Queue a write of bytes, a numpy array or a source's HostBytes.

        WebGPU writes whole words: a size that is not a multiple of 4 is padded with zeros.
        """
        ...

    async def read(self, buffer: Buffer, offset_bytes: int, size_bytes: int) -> bytes:
        """Wait for the GPU and return a slice of a buffer."""
        ...

    def stage(self, buffer: Buffer, offset_bytes: int, size_bytes: int) -> Readback:
        """Queue a copy for later reading: the way to read a loss without waiting for it."""
        ...

    async def compile(
        self, kernels: Sequence[KernelSource], on_progress: Callable[[int, int], None] | None = None
    ) -> list[Pipeline]:
        """Compile kernels, all at once where the host can; each distinct one only once.

        Raises:
            GpuError: with the label of the kernel and the compiler's message.
        """
        ...

    def create_program(self, dispatches: Sequence[Dispatch]) -> Program:
        """Prepare dispatches for replay: bind groups are made here, once."""
        ...

    async def run(self, program: Program, control: Control | None = None) -> bool:
        """Replay a program in submits of at most MAX_SUBMIT_MS each.

        Returns False where `control` asked to stop before the last submit.

        Raises:
            GpuError: the device reported an error; its message names the kernel.
            DeviceLostError: the device is gone.
        """
        ...

    async def wait(self) -> None:
        """Return when everything that was submitted has run."""
        ...

    async def calm(self) -> None:
        """Let all that failed be told and forgotten, so that what comes next is not blamed."""
        ...

    def on_lost(self, act: Callable[[DeviceLostError], None]) -> None:
        """Call `act` when the device goes away by itself, also where nobody waits for it.

        A host that only learns of it from a call that fails never does.
        """
        ...

    def destroy(self) -> None:
        """Give the device and all its buffers back."""
        ...


def split_points(flops: Sequence[float], flops_per_ms: float) -> list[int]:
    """Return the end index of each submit, so that each is about MAX_SUBMIT_MS of work.

    Args:
        flops: Work of each dispatch, in floating-point operations.
        flops_per_ms: What the device has been measured to do.
    """
    budget = flops_per_ms * MAX_SUBMIT_MS
    ends: list[int] = []
    start, work = 0, 0.0
    for index, cost in enumerate(flops):
        full = work + cost > budget or index - start >= MAX_SUBMIT_DISPATCHES
        if full and index > start:
            ends.append(index)
            start, work = index, 0.0
        work += cost
    if len(flops) > start:
        ends.append(len(flops))
    return ends
