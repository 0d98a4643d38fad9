"""One AdamW update of a flat parameter array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.gpu.graph import Graph, Tensor, grid_1d, persistent
from app.gpu.kernels import Kernel
from app.ops.update import BETA1, BETA2

EPS = 1e-8


@dataclass(frozen=True, eq=False)
class AdamwState:
    """Moments, (size,), f32."""

    first_moment: Tensor
    second_moment: Tensor

    @classmethod
    def create(cls, size: int) -> AdamwState:
        """Return the state for `size` parameters; zeros, as new buffers are."""
        return cls(
            persistent("first moment", (size,), "optimizer"),
            persistent("second moment", (size,), "optimizer"),
        )

    def initial_values(self) -> list[tuple[Tensor, npt.NDArray[np.uint32]]]:
        """Return what must be written before the first update: nothing."""
        return []


def adamw(
    graph: Graph,
    update: Tensor,
    parameters: Tensor,
    gradients: Tensor,
    last_good: Tensor,
    state: AdamwState,
) -> None:
    """Record one update of all parameters.

    p ← p·(1 − lr·decay) − lr · (m / (1 − β1ᵗ)) / (√(v / (1 − β2ᵗ)) + eps)

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
        (update, parameters, gradients, state.first_moment, state.second_moment, last_good),
        grid_1d(size, 64),
        (size, BETA1, BETA2, 1 - BETA1, 1 - BETA2, EPS),
        flops=16.0 * size,
    )
