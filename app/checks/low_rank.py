"""Cases of the kernels that compute the narrow side of a projection beside their own result."""

from __future__ import annotations

import numpy as np

from app.checks.bench import Array, Bench
from app.checks.layers import EPS, THETA
from app.checks.products import factors
from app.gpu.graph import persistent
from app.ops.low_rank import LowRank, PackedFactors
from app.ops.rms_norm import rms_norm_backward_hidden, rms_norm_hidden
from app.ops.rope import rope_backward_hidden, rope_table
from app.ops.swiglu import swiglu_backward_hidden, swiglu_hidden
from app.reference import linear as linear_twin
from app.reference import rms_norm as rms_norm_twin
from app.reference import rope as rope_twin
from app.reference import swiglu as swiglu_twin
from app.reference.adapter_bits import quantize, quantize_adapter
from app.reference.tolerances import BACKWARD, ELEMENTWISE, MATMUL, REDUCTION

SCALING = 1.75


def rms_norm_hidden_case(
    bench: Bench, *, rows: int, columns: int, outs: tuple[int, ...], rank: int, bits: int = 32
) -> None:
    """The norm with the adapters that read it; its gradient with the adapter below it."""
    x, dy, skip = (bench.normal(rows, columns) for _ in range(3))
    weight = 1 + bench.normal(columns, scale=0.1)
    above, below = _Reader(bench, outs, columns, rank, bits), _Maker(bench, (columns,), rank, bits)
    x_tensor, weight_tensor = bench.tensor("x", x), bench.tensor("weight", weight)
    dy_tensor, skip_tensor = bench.tensor("dy", dy), bench.tensor("skip", skip)
    y, rstd, h = rms_norm_hidden(
        bench.graph, x_tensor, weight_tensor, above.low_rank, eps=EPS, scaling=SCALING
    )
    operands = (dy_tensor, x_tensor, weight_tensor, rstd, below.low_rank)
    dx, g = rms_norm_backward_hidden(bench.graph, *operands, scaling=SCALING)
    skipped, skipped_g = rms_norm_backward_hidden(
        bench.graph, *operands, scaling=SCALING, skip=skip_tensor
    )
    expected_y, expected_rstd = rms_norm_twin.rms_norm(x, weight, eps=EPS)
    expected_dx = rms_norm_twin.rms_norm_backward(dy, x, weight, expected_rstd)
    bench.expect("y", y, expected_y, tolerance=ELEMENTWISE)
    bench.expect("rstd", rstd, expected_rstd, tolerance=ELEMENTWISE)
    bench.expect("h", h, above.hidden(expected_y), tolerance=MATMUL)
    bench.expect("dx", dx, expected_dx, tolerance=REDUCTION)
    bench.expect("g", g, below.hidden_gradient(expected_dx), tolerance=BACKWARD)
    bench.expect("dx + skip", skipped, expected_dx + skip, tolerance=REDUCTION)
    bench.expect(
        "g with skip", skipped_g, below.hidden_gradient(expected_dx + skip), tolerance=BACKWARD
    )


def swiglu_hidden_case(bench: Bench, *, rows: int, columns: int, rank: int, bits: int = 32) -> None:
    """The activation with the adapter that reads it; its gradient with those of its operands."""
    gate_up, dy = bench.normal(rows, 2 * columns), bench.normal(rows, columns)
    above = _Reader(bench, (8,), columns, rank, bits)
    below = _Maker(bench, (columns, columns), rank, bits)
    gate_up_tensor = bench.tensor("gate_up", gate_up)
    y, h = swiglu_hidden(bench.graph, gate_up_tensor, above.low_rank, scaling=SCALING)
    d_gate_up, g = swiglu_backward_hidden(
        bench.graph, bench.tensor("dy", dy), gate_up_tensor, below.low_rank, scaling=SCALING
    )
    expected_y = swiglu_twin.swiglu(gate_up)
    expected = swiglu_twin.swiglu_backward(dy, gate_up)
    bench.expect("y", y, expected_y, tolerance=ELEMENTWISE)
    bench.expect("h", h, above.hidden(expected_y), tolerance=MATMUL)
    bench.expect("d_gate_up", d_gate_up, expected, tolerance=ELEMENTWISE)
    bench.expect("g", g, below.hidden_gradient(expected), tolerance=BACKWARD)


def rope_backward_hidden_case(
    bench: Bench,
    *,
    rows: int,
    outs: tuple[int, ...],
    head_dim: int,
    rotated: int,
    rank: int,
    bits: int = 32,
) -> None:
    """The rotation back in place with the adapters of queries, keys and values."""
    positions = (300 + np.arange(rows)).astype(np.uint32)
    values = bench.normal(rows, sum(outs))
    adapter = _Maker(bench, outs, rank, bits)
    x = bench.tensor("x", values)
    bench.write(x, values, launch=1)
    g = rope_backward_hidden(
        bench.graph,
        x,
        bench.tensor("positions", positions),
        bench.tensor("table", rope_table(300 + rows, head_dim, THETA)),
        adapter.low_rank,
        num_heads=rotated // head_dim,
        head_dim=head_dim,
        scaling=SCALING,
    )
    heads = values[:, :rotated].reshape(rows, -1, head_dim)
    turned = rope_twin.rope_backward(heads, positions, theta=THETA).reshape(rows, -1)
    expected = np.concatenate([turned, values[:, rotated:]], axis=1)
    bench.expect("x", x, expected, tolerance=ELEMENTWISE)
    bench.expect("g", g, adapter.hidden_gradient(expected), tolerance=BACKWARD)


class _Reader:
    """Random A of stacked modules that read a result; their B is not looked at."""

    def __init__(
        self, bench: Bench, outs: tuple[int, ...], columns: int, rank: int, bits: int
    ) -> None:
        self._a: Array = bench.normal(len(outs) * rank, columns, scale=columns**-0.5)
        a, packed = factors(bench, "lora a", [self._a], bits)
        b = persistent("unused", (sum(outs), rank), "adapter")
        self.low_rank = LowRank(
            rank, _bounds(outs), a, b, PackedFactors(bits, packed, b) if bits < 32 else None
        )
        if bits < 32:
            self._a = np.stack([quantize(row, bits) for row in self._a])

    def hidden(self, x: Array) -> Array:
        """Return scaling · x·Aᵀ."""
        return SCALING * linear_twin.linear(x, self._a)


class _Maker:
    """Random B of stacked modules that made what a gradient belongs to; A is not looked at."""

    def __init__(self, bench: Bench, outs: tuple[int, ...], rank: int, bits: int) -> None:
        self._b: Array = bench.normal(sum(outs), rank, scale=0.5)
        parts = np.split(self._b, _bounds(outs))
        b, packed = factors(bench, "lora b", [part.T for part in parts], bits)
        a = persistent("unused", (len(outs) * rank, 8), "adapter")
        self.low_rank = LowRank(
            rank, _bounds(outs), a, b, PackedFactors(bits, a, packed) if bits < 32 else None
        )
        if bits < 32:
            self._b = np.concatenate([quantize_adapter(b.T, b, bits)[1] for b in parts])

    def hidden_gradient(self, dy: Array) -> Array:
        """Return scaling · dy·B of every module, each with its own columns, side by side."""
        edges = list(self.low_rank.bounds)
        parts = zip(np.split(dy, edges, axis=1), np.split(self._b, edges), strict=True)
        return np.concatenate(
            [SCALING * linear_twin.linear_backward(d, b) for d, b in parts], axis=1
        )


def _bounds(outs: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(bound) for bound in np.cumsum(outs)[:-1])
