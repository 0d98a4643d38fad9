"""Adapters in one or two bits: pack their values, and pass gradients straight through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from app.gpu.graph import Graph, Tensor, ceil_div, persistent
from app.gpu.kernels import Kernel
from app.io.low_bit import dequantize_rows, pack_rows, quantize_rows, unpack_rows
from app.ops.low_rank import NO_BOUND

FloatArray = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint32]


def words_of_row(columns: int, bits: int) -> int:
    """Return the u32 words that a packed row's codes take."""
    return ceil_div(columns * bits, 32)


def packed_words(rows: int, columns: int, scales: int, bits: int) -> int:
    """Return the words of packed rows and of the scales behind them."""
    return rows * words_of_row(columns, bits) + scales


def pack_factors(parts: Sequence[FloatArray], bits: int) -> Words:
    """Return the packed form of one matrix, computed on the host.

    Args:
        parts: (rows, columns) each: side by side, one scale for each row of each part. A is one
            part; of stacked modules' B each Bᵀ is one.
        bits: 1 or 2.

    Returns:
        The words of all rows' codes, then the scales, part after part.
    """
    found = [quantize_rows(part, bits) for part in parts]
    codes = np.concatenate([codes for codes, _ in found], axis=1)
    words = np.ascontiguousarray(pack_rows(codes, bits, align_bytes=4))
    scales = np.concatenate([scales for _, scales in found])
    return np.concatenate([words.view("<u4").reshape(-1), scales.view(np.uint32)])


def unpack_factors(words: Words, rows: int, columns: Sequence[int], bits: int) -> list[FloatArray]:
    """Return what `pack_factors` packed, rounded as it is: (rows, columns[i]) each."""
    size = rows * words_of_row(sum(columns), bits)
    packed = words[:size].reshape(rows, -1).view(np.uint8)
    codes = unpack_rows(packed, sum(columns), bits)
    scales = words[size : size + rows * len(columns)].view(np.float32).reshape(-1, rows)
    parts = np.split(codes, np.cumsum(columns)[:-1], axis=1)
    return [dequantize_rows(part, s, bits) for part, s in zip(parts, scales, strict=True)]


@dataclass(frozen=True)
class PackedRow:
    """Elements that lie in one packed row; those of a module share a scale.

    Attributes:
        start: Index of the first element in the flat array.
        stride: Elements from one to the next.
        columns: How many.
        first_bound: Column where the second module begins.
        second_bound: Column where the third module begins.
        word: Index of the first word of the codes.
        scale: Index of the first module's scale.
        scale_stride: Words from one module's scale to the next.
    """

    start: int
    stride: int
    columns: int
    first_bound: int
    second_bound: int
    word: int
    scale: int
    scale_stride: int

    def modules(self) -> list[slice]:
        """Return the columns of each module."""
        edges = [0, self.first_bound, self.second_bound, NO_BOUND]
        edges = [min(edge, self.columns) for edge in edges]
        return [slice(a, b) for a, b in pairwise(edges) if a < b]


@dataclass(frozen=True, eq=False)
class PackedRows:
    """All packed rows of an adapter.

    Attributes:
        bits: Of a code: 1 or 2.
        table: (rows, 8), u32, for the kernels; first `initial_values`.
    """

    bits: int
    table: Tensor
    _initial: npt.NDArray[np.uint32]

    @classmethod
    def create(cls, rows: Sequence[PackedRow], bits: int) -> PackedRows:
        """Return the table, whose buffer comes with the memory plan."""
        values = np.array([astuple(row) for row in rows], np.uint32)
        return cls(bits, persistent("packed rows", values.shape, "scratch", "u32"), values)

    def initial_values(self) -> list[tuple[Tensor, npt.NDArray[Any]]]:
        """Return what must be written before the first update."""
        return [(self.table, self._initial)]


def adapter_bits(graph: Graph, values: Tensor, packed: Tensor, rows: PackedRows) -> None:
    """Record packed ← codes and scales of the values.

    ŵ = scale · (2·code - 2^bits + 1); the scales: see wgsl/adapter_bits.wgsl. Where all values of
    a row are zero, so is its scale and what it stands for.

    Args:
        graph: Where to record.
        values: (size,), f32, flat.
        packed: (words,), u32, written.
        rows: Where the values lie and their codes go.

    Reference: app.reference.adapter_bits.
    """
    graph.dispatch(
        Kernel("adapter_bits", ("adapter_rows",), (("BITS", rows.bits),)),
        (rows.table, values, packed),
        (rows.table.shape[0], 1, 1),
        flops=12.0 * values.size,
    )


def adapter_bits_backward(
    graph: Graph, gradients: Tensor, values: Tensor, packed: Tensor, rows: PackedRows
) -> None:
    """Record dL/dw ← dL/dŵ, clipped: 0 where |w| > 2^bits · scale and a step would enlarge it.

    Args:
        graph: Where to record.
        gradients: (size,), f32, flat, in place.
        values: (size,), f32, flat.
        packed: (words,), u32, what the values were packed to.
        rows: As for `adapter_bits`.

    Reference: app.reference.adapter_bits.straight_through; arXiv:1308.3432.
    """
    graph.dispatch(
        Kernel("adapter_bits_backward", ("adapter_rows",), (("BITS", rows.bits),)),
        (rows.table, values, packed, gradients),
        (rows.table.shape[0], 1, 1),
        flops=4.0 * values.size,
    )
