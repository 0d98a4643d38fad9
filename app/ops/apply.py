"""Take what an optimizer decided off a weight, in the format in which it is stored."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, grid_1d
from app.gpu.kernels import Kernel
from app.ops.matrix import GROUP_SIZE, Matrix


def apply_f32(graph: Graph, update: Tensor, weights: Tensor, delta: Tensor) -> None:
    """Record w ← w·(1 − lr·decay) − delta, and delta ← 0.

    Args:
        graph: Where to record.
        update: (8,), f32, from `app.ops.update`; where it says skip only delta is cleared.
        weights: Any shape of a multiple of 4 elements: f32, or words that hold its bits.
        delta: From `app.ops.delta`; as many elements.

    Raises:
        ShapeError: weights and delta differ in size.

    Reference: app.reference.adamw.
    """
    if weights.size != delta.size or weights.size % 4:
        raise ShapeError(f"weights are {weights.shape} but the update {delta.shape}")
    graph.dispatch(
        Kernel("apply_f32"),
        (update, weights, delta),
        grid_1d(delta.size // 4, 64),
        (delta.size // 4,),
        flops=3.0 * delta.size,
    )


def apply_to_matrix(
    graph: Graph, update: Tensor, matrix: Matrix, delta: Tensor, *, key: int
) -> None:
    """Record W ← W·(1 − lr·decay) − delta in the matrix's own format, and delta ← 0.

    f16 and INT4 are rounded stochastically: by a hash of key, step and element, so that the same
    key gives the same run. An INT4 group gets a new scale and minimum.

    Args:
        graph: Where to record.
        update: (8,), f32, from `app.ops.update`; where it says skip only delta is cleared.
        matrix: f32, f16 or int4.
        delta: (num_columns, stride), from `app.ops.delta`.
        key: Below 2³²; of the run and this matrix.

    Raises:
        ShapeError: the matrix has another format, or delta another shape.

    Reference: app.reference.stochastic.
    """
    shape = (matrix.num_columns, matrix.stride)
    if delta.shape != shape or matrix.format not in ("f32", "f16", "int4"):
        raise ShapeError(
            f"a {matrix.format} matrix {shape} cannot take an update {delta.shape}: give one of "
            "f32, f16, int4 and an update of its shape"
        )
    preludes = ("half_exact", "round_stochastic")
    if matrix.format == "f32":
        apply_f32(graph, update, matrix.words, delta)
    elif matrix.format == "f16":
        graph.dispatch(
            Kernel("apply_f16", preludes),
            (update, matrix.words, delta),
            grid_1d(matrix.words.size, 64),
            (matrix.words.size, matrix.stride, key),
            flops=30.0 * delta.size,
        )
    else:
        groups = delta.size // GROUP_SIZE
        graph.dispatch(
            Kernel("apply_int4", preludes),
            (update, matrix.words, matrix.scales, delta),
            grid_1d(groups, 64),
            (groups, matrix.stride, key),
            flops=60.0 * delta.size,
        )
