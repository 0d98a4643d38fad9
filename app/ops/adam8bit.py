"""AdamW with its moments in eight bits: blocks of 256 codes, small tensors in f32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.gpu.graph import Graph, Tensor, grid_1d, persistent
from app.gpu.kernels import Kernel
from app.ops.adamw import EPS
from app.ops.update import BETA1, BETA2

BLOCK = 256
MIN_CODED = 4096
"""Smaller tensors keep their moments in f32, as in bitsandbytes (min_8bit_size)."""

IS_SMALL = 1 << 31
EXPONENTS = 7


def dynamic_map(*, is_signed: bool) -> npt.NDArray[np.float32]:
    """Return the (256,) code values, rising: seven decades with ever finer fractions.

    Decade e of 0..6 holds 2^(e + 1) (signed: 2^e of each sign) midpoints of equal parts of
    0.1..1, times 10^(e − 6); 0 and 1 are codes too. Source: arXiv:2110.02861 §2; equals
    bitsandbytes' create_dynamic_map but for the last bit, which depends on its linspace.
    """
    values = [0.0, 1.0]
    for exponent in range(EXPONENTS):
        edges = np.linspace(0.1, 1, 2 ** (exponent + 1 - is_signed) + 1)
        middles = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (exponent + 1 - EXPONENTS)
        values += middles.tolist()
        if is_signed:
            values += (-middles).tolist()
    return np.sort(np.array(values, np.float32))


@dataclass(frozen=True, eq=False)
class Adam8bitState:
    """Moments of a flat parameter array.

    Attributes:
        codes: (2, coded / 4), u32: four codes of the first moments a word, then of the second.
        scales: (2, coded / 256), f32: largest magnitude of each block.
        small: (2, kept), f32: moments of small tensors.
        tables: Maps and blocks, first `initial_values`; see wgsl/adam8bit.wgsl.
    """

    codes: Tensor
    scales: Tensor
    small: Tensor
    tables: Tensor
    _blocks: npt.NDArray[np.uint32]

    @classmethod
    def create(cls, tensors: Sequence[tuple[int, int, float]]) -> Adam8bitState:
        """Return the state for (start, size, rate) tensors of a flat array.

        Every element of the flat array that has a gradient must belong to a tensor; `rate` is
        the factor of its learning rate.
        """
        blocks: list[tuple[int, int, int, int]] = []
        coded = kept = 0
        for start, size, rate in tensors:
            is_small = size < MIN_CODED
            rate_bits = int(np.float32(rate).view(np.uint32))
            for at in range(0, size, BLOCK):
                count = min(BLOCK, size - at)
                place = kept | IS_SMALL if is_small else coded
                blocks.append((start + at, count, place, rate_bits))
                kept += count if is_small else 0
                coded += 0 if is_small else BLOCK
        return cls(
            persistent("moment codes", (2, max(coded, BLOCK) // 4), "optimizer", "u32"),
            persistent("moment scales", (2, max(coded, BLOCK) // BLOCK), "optimizer"),
            persistent("small moments", (2, max(kept, 1)), "optimizer"),
            persistent("optimizer tables", (512 + 4 * len(blocks),), "optimizer", "u32"),
            np.array(blocks, np.uint32),
        )

    def initial_values(self) -> list[tuple[Tensor, npt.NDArray[Any]]]:
        """Return what must be written before the first update: the tables, and codes of zero."""
        signed, unsigned = dynamic_map(is_signed=True), dynamic_map(is_signed=False)
        maps = np.concatenate([signed, unsigned]).view(np.uint32)
        codes = np.zeros(self.codes.shape, np.uint32)
        codes[0] = int(np.searchsorted(signed, 0.0)) * 0x01010101
        tables = np.concatenate([maps, self._blocks.reshape(-1)])
        return [(self.tables, tables), (self.codes, codes)]


def adam8bit(
    graph: Graph,
    update: Tensor,
    parameters: Tensor,
    gradients: Tensor,
    last_good: Tensor,
    state: Adam8bitState,
) -> None:
    """Record one update of all parameters.

    Args:
        graph: Where to record.
        update: (8,), f32, from `app.ops.update`.
        parameters: (size,), f32, updated.
        gradients: (size,), f32, cleared.
        last_good: (size,), f32: the parameters before the update.
        state: Moments.

    Reference: app.reference.adam8bit; arXiv:2110.02861.
    """
    num_blocks = (state.tables.size - 512) // 4
    graph.dispatch(
        Kernel("adam8bit", ("moments_dynamic",)),
        (
            update,
            state.tables,
            parameters,
            gradients,
            state.codes,
            state.scales,
            state.small,
            last_good,
        ),
        grid_1d(num_blocks * 64, 64),
        (
            num_blocks,
            4 * state.codes.shape[1],
            state.small.shape[1],
            BETA1,
            BETA2,
            1 - BETA1,
            1 - BETA2,
            EPS,
        ),
        flops=64.0 * parameters.size,
    )
