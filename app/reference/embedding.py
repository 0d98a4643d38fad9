"""Token embedding: a row of the table for each token."""

from __future__ import annotations

import numpy as np

from app.reference.arrays import Float64Array, IntArray, RealArray, as_float64


def embedding(ids: IntArray, table: RealArray) -> Float64Array:
    """Look up each token.

    y[t] = table[ids[t]]

    Args:
        ids: (...) token ids, 0 ≤ id < V.
        table: (V, hidden_size).

    Returns:
        y, (..., hidden_size).
    """
    return as_float64(table[ids])


def embedding_backward(ids: IntArray, dy: RealArray, vocab_size: int) -> Float64Array:
    """Gradient of `embedding` with respect to the table: the rows of each token, summed.

    Args:
        ids: (T,) token ids.
        dy: (T, hidden_size), gradient of y.
        vocab_size: Rows of the table.

    Returns:
        (vocab_size, hidden_size); zero where a token does not occur.
    """
    gradient = np.zeros((vocab_size, dy.shape[1]))
    np.add.at(gradient, ids, as_float64(dy))
    return gradient
