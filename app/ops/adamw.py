"""Gradient norm, clipping and one AdamW update of a flat parameter array."""

from __future__ import annotations

import math
from dataclasses import dataclass

from app.gpu.graph import Graph, Tensor, ceil_div, grid_1d, persistent
from app.gpu.kernels import Kernel

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
MAX_PARTIALS = 64
REPORT = ("loss", "grad_norm", "applied", "skipped")
"""What the four floats of a step's report mean."""


@dataclass(frozen=True, eq=False)
class AdamwState:
    """What an optimizer keeps between steps, all f32.

    Attributes:
        step: (4,) learning rate, max norm, weight decay, unused; written by the host each step.
        counters: (2,) updates applied, updates skipped.
        last_good: (size,) parameters of the last step whose loss and gradients were finite.
        report: (4,) see REPORT.
    """

    first_moment: Tensor
    second_moment: Tensor
    step: Tensor
    counters: Tensor
    last_good: Tensor
    report: Tensor

    @classmethod
    def create(cls, size: int) -> AdamwState:
        """Return the state for `size` parameters; zeros, as new buffers are."""
        return cls(
            persistent("first moment", (size,), "optimizer"),
            persistent("second moment", (size,), "optimizer"),
            persistent("step settings", (4,), "scratch"),
            persistent("step counters", (2,), "optimizer"),
            persistent("last good adapter", (size,), "optimizer"),
            persistent("step report", (4,), "scratch"),
        )


def adamw(
    graph: Graph, parameters: Tensor, gradients: Tensor, loss: Tensor, state: AdamwState
) -> None:
    """Record one update: norm in two stages, clip factor on the GPU, one dispatch to apply.

    p ← p·(1 − lr·decay) − lr · (m / (1 − β1ᵗ)) / (√(v / (1 − β2ᵗ)) + eps)

    An update whose loss or gradient norm is not finite is skipped and counted; otherwise the
    parameters that gave the finite loss are kept as `last_good` before they change. Gradients
    and loss are cleared for the next step.

    Args:
        graph: Where to record.
        parameters: (size,), f32, updated.
        gradients: (size,), f32, cleared.
        loss: (1,), f32, the step's mean loss; cleared.
        state: Moments, counters, settings and the report.

    Reference: app.reference.adamw; arXiv:1711.05101; torch.optim.AdamW.
    """
    size = parameters.size
    num_partials = min(MAX_PARTIALS, ceil_div(size, 64))
    partials = graph.empty("norm partials", num_partials)
    graph.dispatch(
        Kernel("grad_norm"),
        (gradients, partials),
        (num_partials, 1, 1),
        (size, ceil_div(size, num_partials)),
        flops=2.0 * size,
    )
    update = graph.empty("update", 8)
    graph.dispatch(
        Kernel("adamw_prepare"),
        (state.step, partials, loss, state.counters, update, state.report),
        (1, 1, 1),
        (num_partials, math.log(BETA1), math.log(BETA2)),
    )
    graph.dispatch(
        Kernel("adamw"),
        (
            update,
            parameters,
            gradients,
            state.first_moment,
            state.second_moment,
            state.last_good,
        ),
        grid_1d(size, 64),
        (size, BETA1, BETA2, 1 - BETA1, 1 - BETA2, EPS),
        flops=16.0 * size,
    )
