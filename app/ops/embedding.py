"""Look tokens up in a packed table."""

from __future__ import annotations

from app.gpu.graph import Graph, Tensor, grid_1d
from app.gpu.kernels import Kernel
from app.ops.matrix import Matrix


def embedding(graph: Graph, ids: Tensor, table: Matrix) -> Tensor:
    """Record y[t] = table[ids[t]], dequantized.

    Args:
        graph: Where to record.
        ids: (rows,), u32, each below the vocabulary size.
        table: (vocab_size, hidden_size), packed.

    Returns:
        y, (rows, hidden_size), f32.

    Reference: app.reference.embedding.
    """
    rows = ids.size
    octets = table.num_columns // 8
    y = graph.empty("embedding", rows, table.num_columns)
    graph.dispatch(
        Kernel("embedding", (table.prelude,)),
        (*table.bindings, ids, y),
        grid_1d(rows * octets, 64),
        (rows, table.stride // 4, octets),
        flops=2.0 * y.size,
    )
    return y
