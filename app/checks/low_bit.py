"""Cases of adapters in one or two bits: packing, and the gradient that passes through."""

from __future__ import annotations

import numpy as np

from app.checks.bench import Array, Bench
from app.gpu.graph import Tensor, persistent
from app.ops.adapter_bits import (
    PackedRow,
    PackedRows,
    adapter_bits,
    adapter_bits_backward,
    words_of_row,
)
from app.ops.low_rank import NO_BOUND
from app.reference import adapter_bits as twin
from app.reference.tolerances import ELEMENTWISE, EXACT

GAP = 64
"""Elements and words between matrices that belong to none: they must stay as they are."""


class _Stack:
    """A and B of stacked modules in a flat array, and where their packed form goes."""

    def __init__(self, columns: int, outs: tuple[int, ...], rank: int, bits: int) -> None:
        self.columns, self.outs, self.rank, self.bits = columns, outs, rank, bits
        self.ranks = rank * len(outs)
        self.b_start = self.ranks * columns + GAP
        self.size = self.b_start + sum(outs) * rank + GAP
        words_a, words_b = words_of_row(columns, bits), words_of_row(sum(outs), bits)
        self.scales_a = self.ranks * words_a
        self.b_word = self.scales_a + self.ranks + GAP
        self.scales_b = self.b_word + rank * words_b
        self.words = self.scales_b + self.ranks + GAP
        edges = [int(edge) for edge in np.cumsum(outs)[:-1]]
        first, second = (*edges, NO_BOUND, NO_BOUND)[:2]
        self.rows = [
            PackedRow(
                r * columns, 1, columns, NO_BOUND, NO_BOUND, r * words_a, self.scales_a + r, 0
            )
            for r in range(self.ranks)
        ] + [
            PackedRow(
                self.b_start + r,
                rank,
                sum(outs),
                first,
                second,
                self.b_word + r * words_b,
                self.scales_b + r,
                rank,
            )
            for r in range(rank)
        ]

    def groups(self) -> list[tuple[slice, int]]:
        """Return the elements of the flat array that share a scale, and where that lies."""
        return [
            (
                slice(
                    row.start + row.stride * part.start,
                    row.start + row.stride * (part.stop - 1) + 1,
                    row.stride,
                ),
                row.scale + module * row.scale_stride,
            )
            for row in self.rows
            for module, part in enumerate(row.modules())
        ]


def adapter_bits_case(
    bench: Bench, *, columns: int, outs: tuple[int, ...], rank: int, bits: int
) -> None:
    """Codes to the last bit, scales closely, and the clipped gradient; some rows are zero."""
    stack = _Stack(columns, outs, rank, bits)
    rows = PackedRows.create(stack.rows, bits)
    for table, initial in rows.initial_values():
        bench.write(table, initial)
    flat = persistent("values", (stack.size,), "scratch")
    packed = bench.tensor("packed", np.zeros(stack.words, np.uint32))
    gradients = bench.tensor("gradients", np.zeros(stack.size, np.float32))
    codes: list[Array] = []
    scales: list[Array] = []
    through: list[Array] = []
    for launch in range(bench.launches):
        values, gradient = bench.normal(stack.size, scale=10.0**-launch), bench.normal(stack.size)
        groups = stack.groups()
        values[groups[0][0]] = 0
        values[groups[-1][0]] = 0
        bench.write(flat, values, launch)
        bench.write(gradients, gradient, launch)
        words, found, passed = np.zeros(stack.words, np.uint32), [], gradient.astype(np.float64)
        for part, _ in groups:
            found.append(twin.fit_scale(values[part], bits))
            passed[part] = twin.straight_through(gradient[part], values[part], bits)
        by_place = {at: scale for (_, at), scale in zip(groups, found, strict=True)}
        for row in stack.rows:
            for module, part in enumerate(row.modules()):
                shared = by_place[row.scale + module * row.scale_stride]
                for n in range(part.start, part.stop):
                    value = values[row.start + n * row.stride]
                    code = int(twin.encode(value, shared, bits))
                    words[row.word + n * bits // 32] |= np.uint32(code << (n * bits % 32))
        codes.append(words[: stack.scales_a])
        codes.append(words[stack.b_word : stack.scales_b])
        scales.append(np.array(found[: stack.ranks]))
        scales.append(np.array([by_place[stack.scales_b + i] for i in range(stack.ranks)]))
        through.append(passed)
    adapter_bits(bench.graph, flat, packed, rows)
    adapter_bits_backward(bench.graph, gradients, flat, packed, rows)

    def view(start: int, stop: int, dtype: str) -> Tensor:
        return Tensor((stop - start,), packed.storage, dtype, 4 * start)  # type: ignore[arg-type]

    bench.expect("codes of A", view(0, stack.scales_a, "u32"), *codes[::2], tolerance=EXACT)
    bench.expect(
        "codes of B", view(stack.b_word, stack.scales_b, "u32"), *codes[1::2], tolerance=EXACT
    )
    ends = stack.scales_a + stack.ranks, stack.scales_b + stack.ranks
    bench.expect(
        "scales of A", view(stack.scales_a, ends[0], "f32"), *scales[::2], tolerance=ELEMENTWISE
    )
    bench.expect(
        "scales of B", view(stack.scales_b, ends[1], "f32"), *scales[1::2], tolerance=ELEMENTWISE
    )
    bench.expect(
        "words between", view(ends[0], stack.b_word, "u32"), np.zeros(GAP), tolerance=EXACT
    )
    bench.expect("gradients", gradients, *through, tolerance=EXACT)
