"""What every optimizer's update begins with: gradient norm, clipping, or the decision to skip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.gpu.graph import Graph, Tensor, ceil_div, persistent
from app.gpu.kernels import Kernel

BETA1, BETA2 = 0.9, 0.999
MAX_PARTIALS = 64
REPORT = ("loss", "grad_norm", "applied", "skipped")
"""What the four floats of a step's report mean."""


@dataclass(frozen=True, eq=False)
class UpdateState:
    """What is kept between steps whichever the optimizer, all f32.

    Attributes:
        step: (4,) learning rate, max norm, weight decay, unused; written by the host each step.
        counters: (2,) updates applied, updates skipped.
        last_good: (size,) parameters of the last step whose loss and gradients were finite.
        report: (4,) see REPORT.
    """

    step: Tensor
    counters: Tensor
    last_good: Tensor
    report: Tensor

    @classmethod
    def create(cls, size: int) -> UpdateState:
        """Return the state for `size` parameters; zeros, as new buffers are."""
        return cls(
            persistent("step settings", (4,), "scratch"),
            persistent("step counters", (2,), "optimizer"),
            persistent("last good adapter", (size,), "optimizer"),
            persistent("step report", (4,), "scratch"),
        )


def prepare_update(graph: Graph, gradients: Tensor, loss: Tensor, state: UpdateState) -> Tensor:
    """Record the norm in two stages and the decision on the update.

    An update whose loss or gradient norm is not finite is skipped and counted.

    Args:
        graph: Where to record.
        gradients: (size,), f32.
        loss: (1,), f32, the step's mean loss; cleared for the next step.
        state: Counters, settings and the report.

    Returns:
        update, (8,), f32: what the optimizers' kernels read (wgsl/update_prepare.wgsl).

    Reference: app.reference.adamw.clip_scale; torch.nn.utils.clip_grad_norm_.
    """
    size = gradients.size
    num_partials = min(MAX_PARTIALS, ceil_div(size, 64))
    partials = graph.empty("norm partials", num_partials)
    graph.dispatch(
        Kernel("grad_norm"),
        (gradients, partials),
        (num_partials, 1, 1),
        (size, ceil_div(size, num_partials)),
        flops=2.0 * size,
    )
    return _decide(graph, partials, loss, state)


def prepare_updates(
    graph: Graph, gradients: Sequence[Tensor], loss: Tensor, state: UpdateState
) -> Tensor:
    """Record the norm of several gradients together and the decision on the update.

    Args:
        graph: Where to record.
        gradients: Of any shapes, f32.
        loss: (1,), f32, the step's mean loss; cleared for the next step.
        state: Counters, settings and the report.

    Returns:
        update, (8,), f32, as `prepare_update`.

    Reference: app.reference.adamw.clip_scale.
    """
    partials = graph.empty("norm partials", len(gradients), MAX_PARTIALS)
    for index, gradient in enumerate(gradients):
        graph.dispatch(
            Kernel("grad_norm"),
            (gradient, partials.rows(index, index + 1)),
            (MAX_PARTIALS, 1, 1),
            (gradient.size, ceil_div(gradient.size, MAX_PARTIALS)),
            flops=2.0 * gradient.size,
        )
    total = graph.empty("squared norm", 1)
    graph.dispatch(Kernel("sum_partials"), (partials, total), (1, 1, 1), (partials.size,))
    return _decide(graph, total, loss, state)


def _decide(graph: Graph, partials: Tensor, loss: Tensor, state: UpdateState) -> Tensor:
    """Record the decision on an update from the sums of squares that make its norm."""
    update = graph.empty("update", 8)
    graph.dispatch(
        Kernel("update_prepare"),
        (state.step, partials, loss, state.counters, update, state.report),
        (1, 1, 1),
        (partials.size, math.log(BETA1), math.log(BETA2)),
    )
    return update
