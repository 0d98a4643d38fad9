"""Bring a file's tensors onto the GPU, slice by slice; no slice passes through Python's heap.

While one slice is repacked the next is being read. A slice holds whole tensors, or rows of one
that is larger than a slice; all of it is repacked by one program.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.gpu.device import Device, Program
from app.gpu.graph import Graph, Storage, Tensor
from app.gpu.memory import Allocation, build_programs, padded, plan_memory
from app.io.source import ByteSource, HostBytes, part_of
from app.io.stored_tensor import StoredTensor
from app.models.llama import LoadPlan, MatrixPart
from app.ops.lowra import lowra
from app.ops.matrix import repack
from app.ops.quantize import nf4_map, quantize, row_alignment

CHUNK_BYTES = 8 << 20
"""Of a slice. At most four are about at once: one being read, one handed to the GPU, two there."""


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of one tensor of the file.

    Attributes:
        target: The matrix they become part of, or the vector they are.
        offset_bytes: Where they lie in the file.
        staging_bytes: Where they lie in the staging buffer, if they are of a matrix.
    """

    tensor: StoredTensor
    target: MatrixPart | Tensor
    first_row: int
    num_rows: int
    offset_bytes: int
    size_bytes: int
    staging_bytes: int = 0


@dataclass
class Slice:
    """A byte range of the file, and what lies there."""

    offset_bytes: int
    size_bytes: int = 0
    staging_bytes: int = 0
    pieces: list[Piece] = field(default_factory=list)

    def graph(self, staging: Storage, *, is_measuring: bool = False) -> Graph:
        """Record the repacking or quantizing of all matrix rows from the staging buffer."""
        graph = Graph("repack")
        for piece in self.pieces:
            part = piece.target
            if isinstance(part, MatrixPart):
                # One word more: unaligned blocks are read as two neighbouring words.
                words = -(-piece.size_bytes // 4) + 1
                source = Tensor((words,), staging, "u32", piece.staging_bytes)
                place = {"num_rows": piece.num_rows, "first_row": piece.first_row}
                place |= {"offset": part.offset, "head_dim": part.head_dim}
                type, is_symmetric = piece.tensor.type, part.is_symmetric
                if part.channels is not None:
                    lowra(
                        graph,
                        source,
                        part.matrix,
                        part.channels,
                        type=type,
                        is_measuring=is_measuring,
                        **place,
                    )
                elif part.is_quantized:
                    quantize(
                        graph, source, part.matrix, type=type, is_symmetric=is_symmetric, **place
                    )
                else:
                    repack(graph, source, part.matrix, gguf_type=type, **place)
        return graph


def cut(plan: LoadPlan) -> list[Slice]:
    """Divide what has to be uploaded into slices, in the order of the file."""
    slices: list[Slice] = []
    for piece in sorted(_pieces(plan), key=lambda piece: piece.offset_bytes):
        end = piece.offset_bytes + piece.size_bytes
        if not slices or end - slices[-1].offset_bytes > CHUNK_BYTES:
            slices.append(Slice(piece.offset_bytes))
        current = slices[-1]
        current.size_bytes = end - current.offset_bytes
        fields = piece.__dict__ | {"staging_bytes": current.staging_bytes}
        current.pieces.append(Piece(**fields))
        if isinstance(piece.target, MatrixPart):
            current.staging_bytes += padded(piece.size_bytes + 4)
    return slices


def _pieces(plan: LoadPlan) -> Iterator[Piece]:
    for tensor, target in plan.vectors:
        yield Piece(tensor, target, 0, 1, tensor.offset, tensor.size_bytes)
    for part in plan.matrices:
        tensor, total_rows = part.source, part.source.shape[0]
        row_bytes = tensor.size_bytes // total_rows
        # An even number of rows, so that every piece starts at a whole word.
        unit = row_alignment(part.matrix, part.head_dim) if part.is_quantized else 2
        step = max(unit, CHUNK_BYTES // row_bytes // unit * unit)
        for first in range(0, total_rows, step):
            rows = min(step, total_rows - first)
            offset = tensor.offset + first * row_bytes
            yield Piece(tensor, part, first, rows, offset, rows * row_bytes)


async def upload(
    device: Device,
    source: ByteSource,
    plan: LoadPlan,
    on_progress: Callable[[int, int], None],
    *,
    is_measuring: bool = False,
) -> None:
    """Fill the weights of a plan, whose buffers are there, from the file.

    Args:
        device: Where the weights are.
        source: The file.
        plan: What lies where in it.
        on_progress: Called with (bytes uploaded, bytes in all) after each slice.
        is_measuring: Only measure the channels of its matrices.

    Raises:
        FormatError: the file cannot be read any further.
        GpuError: the device failed.
    """
    for matrix in {part.matrix for part in plan.matrices}:
        if matrix.format == "nf4":
            device.write(matrix.scales.storage.buffer, 0, nf4_map())
    slices = cut(plan)
    staging = Storage("staging", max(item.staging_bytes for item in slices), "scratch", False)
    graphs = [item.graph(staging, is_measuring=is_measuring) for item in slices]
    reading = _read_ahead(source, slices[0])
    allocation = Allocation.create(device, plan_memory(graphs))
    try:
        programs = await build_programs(device, graphs, allocation)
        total, done = plan.source_bytes, 0
        for index, item in enumerate(slices):
            data = await reading
            if index + 1 < len(slices):
                reading = _read_ahead(source, slices[index + 1])
                await asyncio.sleep(0)  # let it begin
            await _upload_slice(device, source, item, data, staging, programs[index])
            done += sum(piece.size_bytes for piece in item.pieces)
            on_progress(done, total)
    finally:
        reading.cancel()
        await device.wait()
        allocation.destroy()


def _read_ahead(source: ByteSource, item: Slice) -> asyncio.Future[HostBytes]:
    return asyncio.ensure_future(source.chunk(item.offset_bytes, item.size_bytes))


async def _upload_slice(
    device: Device,
    source: ByteSource,
    item: Slice,
    data: HostBytes,
    staging: Storage,
    program: Program,
) -> None:
    """Queue the writes of a slice and its repacking.

    The staging buffer may still be read by the slice before: writes and submits run in order.
    """
    for piece in item.pieces:
        start = piece.offset_bytes - item.offset_bytes
        part = part_of(data, start, start + piece.size_bytes)
        if isinstance(piece.target, MatrixPart):
            device.write(staging.buffer, piece.staging_bytes, part)
        elif piece.tensor.type == "F32":
            device.write(piece.target.storage.buffer, 0, part)
        else:
            raw = await source.read(piece.offset_bytes, piece.size_bytes)
            device.write(piece.target.storage.buffer, 0, _widened(raw, piece.tensor.type))
    await device.run(program)


def _widened(raw: bytes, type: str) -> NDArray[np.float32]:
    """Return a vector of F16 or BF16 as float32."""
    if type == "F16":
        return np.frombuffer(raw, "<f2").astype(np.float32)
    # bfloat16 is the upper half of a float32.
    return (np.frombuffer(raw, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
