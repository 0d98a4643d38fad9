"""A group of stacked projections with its adapter: forward and backward."""

from __future__ import annotations

from dataclasses import dataclass

from app.gpu.graph import Graph, Tensor
from app.nn.adapter import Adapter
from app.ops.linear import LowRank, linear, linear_backward
from app.ops.lora import lora_gradient_a, lora_gradient_b, lora_hidden, lora_hidden_backward
from app.ops.matrix import Matrix


@dataclass(frozen=True, eq=False)
class Projection:
    """What one group needs to be recorded.

    Attributes:
        low_rank: Views of the adapter's A and B; None without an adapter.
        gradient: Views of where dA and dB are added; None outside training.
        scaling: alpha / rank.
    """

    weight: Matrix
    low_rank: LowRank | None
    gradient: LowRank | None
    scaling: float


@dataclass(frozen=True, eq=False)
class SavedProjection:
    """What the backward needs of the forward."""

    x: Tensor
    hidden: Tensor | None


def projection_of(
    weight: Matrix, adapter: Adapter | None, gradients: Tensor | None, layer: int, group: str
) -> Projection:
    """Join a group's matrix with its part of the adapter and of the gradients."""
    if adapter is None:
        return Projection(weight, None, None, 0.0)
    gradient = None
    if gradients is not None:
        gradient = adapter.layout.low_rank(gradients, layer, group)
    return Projection(weight, adapter.low_rank(layer, group), gradient, adapter.lora.scaling)


def project(
    graph: Graph, x: Tensor, projection: Projection, *, residual: Tensor | None = None, label: str
) -> tuple[Tensor, SavedProjection]:
    """Record y = x·Wᵀ + scaling·(x·Aᵀ)·Bᵀ (+ residual).

    Args:
        graph: Where to record.
        x: (rows, in_features), f32.
        projection: Matrix and adapter.
        residual: (rows, out_features), added.
        label: Name of the result.

    Returns:
        y, (rows, out_features), and what `project_backward` needs.
    """
    hidden = None
    low_rank = projection.low_rank
    if low_rank is not None:
        hidden = lora_hidden(graph, x, low_rank, scaling=projection.scaling)
    y = linear(
        graph,
        x,
        projection.weight,
        low_rank=low_rank,
        hidden=hidden,
        residual=residual,
        label=label,
    )
    return y, SavedProjection(x, hidden)


def project_backward(
    graph: Graph,
    dy: Tensor,
    projection: Projection,
    saved: SavedProjection,
    *,
    wants_dx: bool = True,
) -> Tensor | None:
    """Record dx, and add dA and dB to the gradients.

    Args:
        graph: Where to record.
        dy: (rows, out_features), f32.
        projection: Matrix, adapter and gradients.
        saved: From `project`.
        wants_dx: False at the bottom of the network, where nothing below is trained.

    Returns:
        dx, (rows, in_features), or None.
    """
    low_rank, gradient = projection.low_rank, projection.gradient
    d_hidden = None
    if low_rank is not None and gradient is not None and saved.hidden is not None:
        d_hidden = lora_hidden_backward(graph, dy, low_rank, scaling=projection.scaling)
        lora_gradient_a(graph, d_hidden, saved.x, gradient.lora_a)
        lora_gradient_b(graph, dy, saved.hidden, gradient.lora_b, low_rank)
    if not wants_dx:
        return None
    return linear_backward(
        graph, dy, projection.weight, low_rank=low_rank, d_hidden=d_hidden, label="dx"
    )
