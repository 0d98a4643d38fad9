"""A group of stacked projections with its adapter: forward and backward."""

from __future__ import annotations

from dataclasses import dataclass

from app.gpu.graph import Graph, Tensor
from app.nn.adapter import Adapter
from app.ops.linear import linear_backward
from app.ops.linear_dot8 import multiply
from app.ops.lora import lora_gradient, lora_hidden, lora_hidden_backward
from app.ops.low_rank import LowRank
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
    weight: Matrix,
    adapter: Adapter | None,
    gradients: Tensor | None,
    layer: int,
    group: str,
    strength: float = 1.0,
) -> Projection:
    """Join a group's matrix with its part of the adapter and of the gradients.

    `strength` multiplies the adapter's scale; times 1.0 leaves it as it is to the last bit.
    """
    if adapter is None:
        return Projection(weight, None, None, 0.0)
    gradient = None
    if gradients is not None:
        gradient = adapter.layout.low_rank(gradients, layer, group)
    return Projection(
        weight, adapter.low_rank(layer, group), gradient, adapter.lora.scaling * strength
    )


def project(
    graph: Graph,
    x: Tensor,
    projection: Projection,
    *,
    hidden: Tensor | None = None,
    residual: Tensor | None = None,
    label: str,
) -> tuple[Tensor, SavedProjection]:
    """Record y = x·Wᵀ + scaling·(x·Aᵀ)·Bᵀ (+ residual).

    Args:
        graph: Where to record.
        x: (rows, in_features), f32.
        projection: Matrix and adapter.
        hidden: (rows, modules · rank) = scaling·x·Aᵀ, where what made x made it too.
        residual: (rows, out_features), added.
        label: Name of the result.

    Returns:
        y, (rows, out_features), and what `project_backward` needs.
    """
    low_rank = projection.low_rank
    if low_rank is not None and hidden is None:
        hidden = lora_hidden(graph, x, low_rank, scaling=projection.scaling)
    y = multiply(
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
    d_hidden: Tensor | None = None,
) -> Tensor:
    """Record dx, and add dA and dB to the gradients.

    Args:
        graph: Where to record.
        dy: (rows, out_features), f32.
        projection: Matrix, adapter and gradients.
        saved: From `project`.
        d_hidden: (rows, modules · rank) = scaling·dy·B, where what made dy made it too.

    Returns:
        dx, (rows, in_features).
    """
    d_hidden = add_gradients(graph, dy, projection, saved, d_hidden=d_hidden)
    low_rank = projection.low_rank
    return linear_backward(
        graph, dy, projection.weight, low_rank=low_rank, d_hidden=d_hidden, label="dx"
    )


def add_gradients(
    graph: Graph,
    dy: Tensor,
    projection: Projection,
    saved: SavedProjection,
    *,
    d_hidden: Tensor | None = None,
) -> Tensor | None:
    """Add dA and dB to the gradients; return d_hidden. Args are those of `project_backward`.

    By itself it is the backward at the bottom of the network, where nothing below is trained.
    """
    low_rank, gradient = projection.low_rank, projection.gradient
    if low_rank is None or gradient is None or saved.hidden is None:
        return None
    if d_hidden is None:
        d_hidden = lora_hidden_backward(graph, dy, low_rank, scaling=projection.scaling)
    lora_gradient(graph, saved.x, d_hidden, dy, saved.hidden, low_rank, gradient)
    return d_hidden
