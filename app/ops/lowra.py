"""Output channels in 1, 2 or 4 bits, kept in an INT4 matrix: an experiment (LowRA)."""

from __future__ import annotations

from app.gpu.graph import Graph, Tensor, grid_1d, persistent
from app.gpu.kernels import Kernel
from app.ops.matrix import Matrix
from app.ops.quantize import SOURCE_PRELUDES


def new_channels(matrix: Matrix) -> Tensor:
    """Return what `lowra` keeps of a matrix's channels: (num_rows, 3), f32, without a buffer."""
    label = f"{matrix.words.storage.label}.channels"
    return persistent(label, (matrix.num_rows, 3), "scratch")


def lowra(
    graph: Graph,
    source: Tensor,
    matrix: Matrix,
    channels: Tensor,
    *,
    type: str,
    num_rows: int,
    first_row: int,
    offset: int,
    head_dim: int = 0,
    is_measuring: bool,
) -> None:
    """Measure what channels would lose in 1, 2 and 4 bits, or quantize them.

    Args:
        graph: Where to record.
        source: The rows' bytes, u32, and one word more.
        matrix: Destination, INT4; untouched while measuring.
        channels: (num_rows, 3), f32. Measuring writes the squared errors in 1, 2 and 4 bits;
            quantizing reads a channel's bits from its first number.
        type: F32, F16 or BF16.
        num_rows: Rows in `source`.
        first_row: Which row of the tensor the first one is.
        offset: Row of the matrix where the tensor starts (stacked modules).
        head_dim: Size of a head where rows are permuted for interleaved RoPE, else 0.
        is_measuring: Which of the two.

    Reference: app.reference.lowra.
    """
    graph.dispatch(
        Kernel("lowra", (SOURCE_PRELUDES[type], "half_exact"), (("MEASURE", int(is_measuring)),)),
        (source, matrix.words, matrix.scales, channels),
        grid_1d(num_rows * 64, 64),
        (num_rows, first_row, matrix.num_columns, matrix.stride, offset, head_dim),
        flops=float(num_rows * matrix.num_columns * (256 if is_measuring else 128)),
    )
