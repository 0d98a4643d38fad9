"""Keys and values of the tokens said so far, and the hidden state that predicts the next."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, grid_1d
from app.gpu.kernels import Kernel
from app.ops.attention import Heads


def kv_append(
    graph: Graph,
    qkv: Tensor,
    positions: Tensor,
    table: Tensor,
    cache: tuple[Tensor, Tensor],
    heads: Heads,
) -> None:
    """Record the rotation of new queries and keys, and the copy of keys and values into the cache.

    Queries are rotated in place. Keys and values are read from the cache afterwards: those in qkv
    stay as they are.

    Args:
        graph: Where to record.
        qkv: (rows, heads.width), not yet rotated.
        positions: (rows,), u32; keys and values of those beyond the cache are dropped.
        table: (positions, head_dim / 2, 2) from `app.ops.rope.rope_table`.
        cache: Keys and values, (room, HK · D) each.
        heads: Shape of the layer.

    Raises:
        ShapeError: half a head is no whole vec4.

    Reference: app.reference.rope.
    """
    rows, head_dim = qkv.shape[0], heads.head_dim
    if head_dim % 8:
        raise ShapeError(f"head_dim is {head_dim}: a multiple of 8 is needed")
    graph.dispatch(
        Kernel("kv_append"),
        (positions, table, qkv, *cache),
        grid_1d(qkv.size // 8, 64),
        (rows, heads.num_heads, heads.num_key_value_heads, head_dim // 8, cache[0].shape[0]),
        flops=3.0 * rows * heads.width,
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
