"""Rotary position embedding, applied in place to the query and key columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, grid_1d
from app.gpu.kernels import Kernel


def rope_table(num_positions: int, head_dim: int, theta: float) -> NDArray[np.float32]:
    """Return (cos, sin) of position · theta^(−2i/D), (positions, D/2, 2), made in float64."""
    frequencies = theta ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    angles = np.arange(num_positions, dtype=np.float64)[:, None] * frequencies
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)


def rope(
    graph: Graph,
    x: Tensor,
    positions: Tensor,
    table: Tensor,
    *,
    num_heads: int,
    head_dim: int,
    is_backward: bool = False,
) -> None:
    """Record the rotation of the first num_heads · head_dim columns of x, in place.

    Args:
        graph: Where to record.
        x: (rows, columns), f32: queries, keys, values side by side.
        positions: (rows,), u32.
        table: (positions, head_dim / 2, 2) from `rope_table`.
        num_heads: Query and key heads together.
        head_dim: Size of a head.
        is_backward: Rotate back: the gradient, since a rotation's inverse is its transpose.

    Raises:
        ShapeError: x has fewer columns than the heads need, or half a head is no whole vec4.

    Reference: app.reference.rope; arXiv:2104.09864.
    """
    rows, columns = x.shape
    if num_heads * head_dim > columns:
        raise ShapeError(f"{num_heads} heads of {head_dim} do not fit into {columns} columns")
    if head_dim % 8 or columns % 4:
        raise ShapeError(
            f"head_dim is {head_dim} and x has {columns} columns: multiples of 8 and 4 are needed"
        )
    pairs = rows * num_heads * head_dim // 2
    graph.dispatch(
        Kernel("rope"),
        (positions, table, x),
        grid_1d(pairs // 4, 64),
        (rows, columns // 4, num_heads, head_dim // 8, -1.0 if is_backward else 1.0),
        flops=6.0 * pairs,
    )
