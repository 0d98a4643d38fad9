"""Cases of the gradients of the weights themselves."""

from __future__ import annotations

import numpy as np

from app.checks.bench import Bench
from app.ops.gradient import embedding_backward, linear_gradient, rms_norm_gain_backward
from app.reference.embedding import embedding_backward as embedding_twin
from app.reference.linear import weight_gradient
from app.reference.rms_norm import rms_norm_gain_backward as gain_twin
from app.reference.tolerances import REDUCTION


def linear_gradient_case(bench: Bench, *, rows: int, columns: int, outs: int) -> None:
    """The gradient of a matrix, added to what is there, and in its place."""
    x, dy, before = (
        bench.normal(rows, columns),
        bench.normal(rows, outs),
        bench.normal(columns, outs),
    )
    x_tensor, dy_tensor = bench.tensor("x", x), bench.tensor("dy", dy)
    added, fresh = bench.tensor("added", before), bench.tensor("fresh", before)
    linear_gradient(bench.graph, dy_tensor, x_tensor, added)
    linear_gradient(bench.graph, dy_tensor, x_tensor, fresh, is_first=True)
    expected = weight_gradient(dy, x).T
    bench.expect("added", added, before + expected, before + 2 * expected, tolerance=REDUCTION)
    bench.expect("fresh", fresh, expected, tolerance=REDUCTION)


def gain_case(bench: Bench, *, rows: int, columns: int) -> None:
    """The gradient of a norm's weight, added to what is there."""
    x, dy, rstd = bench.normal(rows, columns), bench.normal(rows, columns), bench.normal(rows)
    before = bench.normal(columns)
    gradient = bench.tensor("gain", before)
    operands = bench.tensor("dy", dy), bench.tensor("x", x), bench.tensor("rstd", rstd)
    rms_norm_gain_backward(bench.graph, *operands, gradient)
    expected = gain_twin(dy, x, rstd)
    bench.expect("gain", gradient, before + expected, before + 2 * expected, tolerance=REDUCTION)


def embedding_backward_case(bench: Bench, *, rows: int, vocab_size: int, columns: int) -> None:
    """Rows of tokens, most of which occur several times, added to what is there."""
    ids = bench.rng.integers(0, max(1, vocab_size // 2), rows).astype(np.uint32)
    stride = -(-vocab_size // 8) * 8
    dy, before = bench.normal(rows, columns), bench.normal(columns, stride)
    gradient = bench.tensor("table", before)
    embedding_backward(bench.graph, bench.tensor("ids", ids), bench.tensor("dy", dy), gradient)
    expected = np.pad(embedding_twin(ids, dy, vocab_size).T, ((0, 0), (0, stride - vocab_size)))
    bench.expect("table", gradient, before + expected, before + 2 * expected, tolerance=REDUCTION)
