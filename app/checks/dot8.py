"""Cases of the product whose left operand is rounded to eight bits."""

from __future__ import annotations

import numpy as np

from app.checks.bench import Array, Bench, Float32Array
from app.checks.products import Adapter
from app.gpu.tuning import Choice
from app.ops.linear_dot8 import linear_dot8, quantize_rows
from app.ops.lora import lora_hidden
from app.reference import linear as exact
from app.reference import linear_dot8 as twin
from app.reference.tolerances import ELEMENTWISE, Tolerance

DOT8 = Tolerance(1e-5, 1e-5)
"""The twin rounds alike, and sums of integers are exact: what is left is the f32 sum of K / 32
terms, each scaled in f32. An input that rounds otherwise would be off by a hundred times that."""

NEAR_TIE = 1e-3
"""In steps of the rounding. WGSL lets a division be off by 2.5 units in the last place, which at
127 steps is 4e-5 of one: inputs that near a tie may go either way on a device."""


def away_from_ties(x: Float32Array) -> Float32Array:
    """Return x with whatever lies next to a tie moved onto a step of the rounding."""
    q, scale = twin.quantize_rows(x)
    steps = np.repeat(scale, twin.GROUP_SIZE, axis=-1)
    place = np.abs(x - q * steps)
    near = place > (0.5 - NEAR_TIE) * steps
    return np.where(near, q * steps, x).astype(np.float32)


def activations(
    bench: Bench, rows: int, columns: int, *, has_outliers: bool = True
) -> Float32Array:
    """Return rows as a model has them: some groups are zeros, some have an outlier."""
    x = bench.normal(rows, columns)
    groups = x.reshape(rows, -1, twin.GROUP_SIZE)
    if not has_outliers:
        return away_from_ties(x)
    kinds = bench.rng.integers(0, 8, groups.shape[:2])
    groups[kinds == 0] = 0
    groups[kinds == 1, 5] *= 300
    return away_from_ties(groups.reshape(rows, columns))


def quantize_rows_case(bench: Bench, *, rows: int, columns: int) -> None:
    """Codes and scales of rows."""
    x = activations(bench, rows, columns)
    codes, scales = quantize_rows(bench.graph, bench.tensor("x", x))
    q, scale = twin.quantize_rows(x)
    sums = q.reshape(rows, -1, twin.GROUP_SIZE).sum(axis=-1)
    words = q.astype(np.int8).view(np.uint32)
    bench.expect("codes", codes, words, tolerance=Tolerance(0.0, 0.0))
    bench.expect("scales", scales, np.stack([scale, sums], axis=-1), tolerance=ELEMENTWISE)


def linear_dot8_case(
    bench: Bench,
    *,
    choice: Choice,
    rows: int,
    columns: int,
    outs: tuple[int, ...],
    gguf_type: str,
    rank: int = 0,
    bits: int = 32,
    has_residual: bool = False,
    is_exact: bool = False,
    has_outliers: bool = True,
) -> None:
    """The product with modules of outs[i] rows stacked in one matrix.

    `is_exact` expects the product without any rounding of x.
    """
    x = activations(bench, rows, columns, has_outliers=has_outliers)
    weight, values = bench.matrix(bench.normal(sum(outs), columns, scale=columns**-0.5), gguf_type)
    x_tensor = bench.tensor("x", x)
    low_rank = hidden = residual = None
    expected: Array = (exact.linear if is_exact else twin.linear_dot8)(x, values)
    if rank:
        adapter = Adapter(bench, outs, columns, rank, bits)
        low_rank = adapter.low_rank
        hidden = lora_hidden(bench.graph, x_tensor, low_rank, scaling=adapter.scaling)
        expected = expected + adapter.forward(x, np.zeros_like(values))
    expected = np.pad(expected, ((0, 0), (0, weight.stride - expected.shape[1])))
    if has_residual:
        extra = bench.normal(*expected.shape)
        residual = bench.tensor("residual", extra)
        expected = expected + extra
    y = linear_dot8(
        bench.graph,
        x_tensor,
        weight,
        choice=choice,
        low_rank=low_rank,
        hidden=hidden,
        residual=residual,
    )
    scale = max(1.0, float(np.abs(expected).max()))
    bench.expect("y", y, expected, tolerance=Tolerance(DOT8.rtol, DOT8.atol * scale))
