"""Keys and values of the tokens said so far, and the hidden state that predicts the next."""

from __future__ import annotations

from app.gpu.graph import Graph, Tensor, grid_1d
from app.gpu.kernels import Kernel
from app.ops.attention import Heads


def kv_append(
    graph: Graph, qkv: Tensor, positions: Tensor, cache: tuple[Tensor, Tensor], heads: Heads
) -> None:
    """Record the copy of new keys and values into the cache, at their positions.

    Args:
        graph: Where to record.
        qkv: (rows, heads.width), rotated.
        positions: (rows,), u32; those beyond the cache are dropped.
        cache: Keys and values, (room, HK · D) each.
        heads: Shape of the layer.
    """
    rows = qkv.shape[0]
    stride, k_offset, v_offset = heads.quads
    room, columns = cache[0].shape
    graph.dispatch(
        Kernel("kv_append"),
        (positions, qkv, *cache),
        grid_1d(rows * columns // 4, 64),
        (rows, columns // 4, stride, k_offset, v_offset, room),
        flops=4.0 * rows * columns,
    )


def take_row(graph: Graph, x: Tensor, row: Tensor) -> Tensor:
    """Record y = x[row[0]].

    Args:
        graph: Where to record.
        x: (rows, columns), f32.
        row: (1,), u32, written by the host before a replay.

    Returns:
        y, (1, columns).
    """
    columns = x.shape[1]
    y = graph.empty("last hidden", 1, columns)
    graph.dispatch(Kernel("take_row"), (row, x, y), grid_1d(columns // 4, 64), (columns // 4,))
    return y
