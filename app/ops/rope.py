"""Rotary position embedding, applied in place to the query and key columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, grid_1d
from app.gpu.kernels import Kernel
from app.ops.lora import fused_kernel, is_fused, lora_hidden_backward
from app.ops.low_rank import LowRank


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
    _check(x, num_heads, head_dim)
    rows, columns = x.shape
    pairs = rows * num_heads * head_dim // 2
    graph.dispatch(
        Kernel("rope"),
        (positions, table, x),
        grid_1d(pairs // 4, 64),
        (rows, columns // 4, num_heads, head_dim // 8, -1.0 if is_backward else 1.0),
        flops=6.0 * pairs,
    )


def rope_backward_hidden(
    graph: Graph,
    x: Tensor,
    positions: Tensor,
    table: Tensor,
    low_rank: LowRank,
    *,
    num_heads: int,
    head_dim: int,
    scaling: float,
) -> Tensor:
    """Record the rotation back of x, in place, and `lora_hidden_backward` of it, in one launch.

    In two where the rank is not one that `app.ops.lora.is_fused` takes.

    Args:
        graph: Where to record.
        x: (rows, columns), f32: gradients of queries, keys, values side by side.
        positions: (rows,), u32.
        table: (positions, head_dim / 2, 2) from `rope_table`.
        low_rank: Adapter of the projection whose result x belongs to: its modules are whole heads.
        num_heads: Query and key heads together.
        head_dim: Size of a head.
        scaling: alpha / rank.

    Returns:
        g = scaling · x·B, (rows, modules · rank), each module with its own columns.

    Raises:
        ShapeError: as `rope`, or B does not match the columns of x.

    Reference: app.reference.rope, app.reference.linear.
    """
    if not is_fused(low_rank):
        shape = {"num_heads": num_heads, "head_dim": head_dim}
        rope(graph, x, positions, table, **shape, is_backward=True)
        return lora_hidden_backward(graph, x, low_rank, scaling=scaling)
    _check(x, num_heads, head_dim)
    rows, columns = x.shape
    rank, modules = low_rank.rank, low_rank.num_modules
    if low_rank.lora_b.shape[0] != columns:
        raise ShapeError(f"x has {columns} columns but lora_b is {low_rank.lora_b.shape}")
    if any(edge % head_dim for edge in (*low_rank.bounds, columns)):
        raise ShapeError(
            f"modules begin at {low_rank.bounds} of {columns} columns: whole heads of "
            f"{head_dim} are needed"
        )
    g = graph.empty("lora_hidden_gradient", rows, modules * rank)
    kernel, workgroups = fused_kernel(graph, "rope_backward_hidden", rows, low_rank)
    graph.dispatch(
        kernel,
        (positions, table, low_rank.factors_b, x, g),
        (workgroups, modules, 1),
        (
            rows,
            columns // 4,
            num_heads * head_dim // 4,
            head_dim // 8,
            *low_rank.bound_params,
            rank,
            modules,
            float(scaling),
        ),
        flops=(3.0 + 2.0 * rank) * x.size,
    )
    return g


def _check(x: Tensor, num_heads: int, head_dim: int) -> None:
    """Raise ShapeError where the heads do not fit."""
    columns = x.shape[1]
    if num_heads * head_dim > columns:
        raise ShapeError(f"{num_heads} heads of {head_dim} do not fit into {columns} columns")
    if head_dim % 8 or columns % 4:
        raise ShapeError(
            f"head_dim is {head_dim} and x has {columns} columns: multiples of 8 and 4 are needed"
        )
