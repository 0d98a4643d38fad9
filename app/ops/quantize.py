"""Quantize float weights into the engine's packed layouts, rows at a time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from app.gpu.graph import Graph, Tensor, ceil_div, grid_1d
from app.gpu.kernels import Kernel
from app.ops.adam8bit import dynamic_map
from app.ops.matrix import GROUP_SIZE, NF4_BLOCK, NF4_TILE, Matrix

SOURCE_PRELUDES = {"F32": "source_f32", "F16": "source_f16", "BF16": "source_bf16"}
"""Types that can be quantized, and what reads them."""


def nf4_map() -> npt.NDArray[np.float32]:
    """Return what an NF4 matrix's scales must start with before `quantize_nf4` runs: (256,)."""
    return dynamic_map(is_signed=True)


def row_alignment(matrix: Matrix, head_dim: int) -> int:
    """Return what the rows given to one call must be a multiple of, but for a tensor's last."""
    return math.lcm(NF4_TILE, head_dim or 1) if matrix.format == "nf4" else 2


def quantize(
    graph: Graph,
    source: Tensor,
    matrix: Matrix,
    *,
    type: str,
    num_rows: int,
    first_row: int,
    offset: int,
    head_dim: int = 0,
    is_symmetric: bool = False,
) -> None:
    """Write rows of float weights into an INT4, INT8 or NF4 matrix.

    Args:
        graph: Where to record.
        source: The rows' bytes, u32, and one word more.
        matrix: Destination; its format says how. An NF4 one's scales start with `nf4_map()`.
        type: F32, F16 or BF16.
        num_rows: Rows in `source`; a multiple of `row_alignment` unless they end the tensor.
        first_row: Which row of the tensor the first one is; a multiple of `row_alignment`.
        offset: Row of the matrix where the tensor starts (stacked modules); of an NF4 one a
            multiple of 16, as whole heads and whole groups of 32 columns always are.
        head_dim: Size of a head where rows are permuted for interleaved RoPE, else 0.
        is_symmetric: INT4 with min = −8·scale, as in Q4_0.

    Reference: app.reference.quantize.
    """
    preludes = (SOURCE_PRELUDES[type], "half_exact")
    bindings = (source, matrix.words, matrix.scales)
    flops = float(num_rows * matrix.num_columns * 32)
    if matrix.format != "nf4":
        into = (*preludes, "into_packed", "step_nearest")
        kernel = Kernel("quantize_int8", into)
        if matrix.format == "int4":
            kernel = Kernel("quantize_int4", into, (("SYMMETRIC", int(is_symmetric)),))
        groups = matrix.num_columns // GROUP_SIZE
        params = (num_rows, first_row, groups, matrix.stride, offset, head_dim)
        graph.dispatch(kernel, bindings, grid_1d(num_rows * groups, 64), params, flops)
        return
    blocks = ceil_div(matrix.num_columns, NF4_BLOCK)
    graph.dispatch(
        Kernel("quantize_nf4", preludes),
        bindings,
        (ceil_div(num_rows, NF4_TILE), ceil_div(blocks, NF4_TILE), 1),
        (
            num_rows,
            matrix.num_columns,
            blocks,
            matrix.stride,
            offset + first_row,
            head_dim,
            _share_of_last(num_rows),
            _share_of_last(blocks),
        ),
        flops=2 * flops,
    )


def _share_of_last(count: int) -> float:
    """Return 1 / the size of the last tile, rounded to float32."""
    return float(np.float32(1 / (count % NF4_TILE or NF4_TILE)))
