"""Token embedding: a row of the table for each token."""

from __future__ import annotations

from app.reference.arrays import Float64Array, IntArray, RealArray, as_float64


def embedding(ids: IntArray, table: RealArray) -> Float64Array:
    """Look up each token; the table is frozen, so there is no backward.

    y[t] = table[ids[t]]

    Args:
        ids: (...) token ids, 0 ≤ id < V.
        table: (V, hidden_size).

    Returns:
        y, (..., hidden_size).
    """
    return as_float64(table[ids])
