"""Adafactor: second moments of a matrix as the means of its rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, persistent
from app.gpu.kernels import Kernel

MAX_SHORT = 256
"""Rows or columns, whichever are fewer (wgsl/adafactor.wgsl)."""


@dataclass(frozen=True, eq=False)
class AdafactorState:
    """Means of squared gradients.

    Attributes:
        means: (Σ rows + columns,), f32.
        tables: (matrices, 7), u32: where each lies; first `initial_values`.
    """

    means: Tensor
    tables: Tensor
    _entries: npt.NDArray[np.uint32]

    @classmethod
    def create(cls, matrices: Sequence[tuple[int, int, int, float]]) -> AdafactorState:
        """Return the state for (start, rows, columns, rate) row-major matrices of a flat array.

        `rate` is the factor of a matrix's learning rate.

        Raises:
            ShapeError: a matrix is more than 256 wide both ways.
        """
        entries, place = [], 0
        for start, rows, columns, rate in matrices:
            if min(rows, columns) > MAX_SHORT:
                raise ShapeError(
                    f"a matrix is {rows} × {columns}: adafactor takes at most {MAX_SHORT} one way"
                )
            is_wide = rows <= columns
            shape = (rows, columns, columns, 1) if is_wide else (columns, rows, 1, columns)
            rate_bits = int(np.float32(rate).view(np.uint32))
            entries.append((start, *shape, place, rate_bits))
            place += rows + columns
        return cls(
            persistent("gradient means", (place,), "optimizer"),
            persistent("optimizer tables", (len(entries), 7), "optimizer", "u32"),
            np.array(entries, np.uint32),
        )

    def initial_values(self) -> list[tuple[Tensor, npt.NDArray[Any]]]:
        """Return what must be written before the first update."""
        return [(self.tables, self._entries)]


def adafactor(
    graph: Graph,
    update: Tensor,
    parameters: Tensor,
    gradients: Tensor,
    last_good: Tensor,
    state: AdafactorState,
) -> None:
    """Record one update of all matrices.

    Args:
        graph: Where to record.
        update: (8,), f32, from `app.ops.update`.
        parameters: (size,), f32, updated.
        gradients: (size,), f32, cleared.
        last_good: (size,), f32: the parameters before the update.
        state: Means.

    Reference: app.reference.adafactor; arXiv:1804.04235.
    """
    graph.dispatch(
        Kernel("adafactor"),
        (update, state.tables, parameters, gradients, state.means, last_good),
        (state.tables.shape[0], 1, 1),
        flops=16.0 * parameters.size,
    )
