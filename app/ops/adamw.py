"""One AdamW update of a flat parameter array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.gpu.graph import Graph, Tensor, ceil_div, grid_1d, persistent
from app.gpu.kernels import Kernel
from app.ops.update import BETA1, BETA2

EPS = 1e-8
RATE_ELEMENTS = 64
"""Elements that share a factor of the learning rate (wgsl/adamw.wgsl)."""


@dataclass(frozen=True, eq=False)
class AdamwState:
    """What AdamW keeps, all f32.

    Attributes:
        first_moment: (size,).
        second_moment: (size,).
        rates: (⌈size / 64⌉,) factors of the learning rate; first `initial_values`.
    """

    first_moment: Tensor
    second_moment: Tensor
    rates: Tensor
    _initial_rates: npt.NDArray[np.float32]

    @classmethod
    def create(cls, size: int, tensors: Sequence[tuple[int, int, float]] = ()) -> AdamwState:
        """Return the state for `size` parameters.

        Args:
            size: Elements of the flat array.
            tensors: (start, size, rate) where the factor of the learning rate is not 1; starts
                are multiples of 64, and no two tensors share 64 elements.
        """
        rates = np.ones(ceil_div(size, RATE_ELEMENTS), np.float32)
        for start, length, rate in tensors:
            rates[start // RATE_ELEMENTS : ceil_div(start + length, RATE_ELEMENTS)] = rate
        return cls(
            persistent("first moment", (size,), "optimizer"),
            persistent("second moment", (size,), "optimizer"),
            persistent("learning rate factors", rates.shape, "optimizer"),
            rates,
        )

    def initial_values(self) -> list[tuple[Tensor, npt.NDArray[Any]]]:
        """Return what must be written before the first update."""
        return [(self.rates, self._initial_rates)]


def adamw(
    graph: Graph,
    update: Tensor,
    parameters: Tensor,
    gradients: Tensor,
    last_good: Tensor,
    state: AdamwState,
) -> None:
    """Record one update of all parameters.

    p ← p·(1 − lr·decay) − lr · (m / (1 − β1ᵗ)) / (√(v / (1 − β2ᵗ)) + eps), lr times its factor

    Args:
        graph: Where to record.
        update: (8,), f32, from `app.ops.update`.
        parameters: (size,), f32, updated.
        gradients: (size,), f32, cleared.
        last_good: (size,), f32: the parameters before the update, which gave a finite loss.
        state: Moments.

    Reference: app.reference.adamw; arXiv:1711.05101; torch.optim.AdamW.
    """
    size = parameters.size
    graph.dispatch(
        Kernel("adamw"),
        (
            update,
            parameters,
            gradients,
            state.first_moment,
            state.second_moment,
            last_good,
            state.rates,
        ),
        grid_1d(size, 64),
        (size, BETA1, BETA2, 1 - BETA1, 1 - BETA2, EPS),
        flops=16.0 * size,
    )
