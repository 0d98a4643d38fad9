"""What a projection reads, made together with the narrow side of its adapter.

A norm, an activation or a rotation has its result in registers: contracting it there with A, or
its gradient with B, saves a launch and a pass over memory. Without an adapter the plain
operations are recorded, and the narrow side is None.
"""

from __future__ import annotations

from app.gpu.graph import Graph, Tensor
from app.nn.projection import Projection
from app.ops.attention import Heads
from app.ops.rms_norm import (
    rms_norm,
    rms_norm_backward,
    rms_norm_backward_hidden,
    rms_norm_hidden,
)
from app.ops.rope import rope, rope_backward_hidden
from app.ops.swiglu import (
    swiglu,
    swiglu_backward,
    swiglu_backward_hidden,
    swiglu_hidden,
)


def norm_for(
    graph: Graph, x: Tensor, weight: Tensor, projection: Projection, *, eps: float
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Record the norm that a projection reads; return y, rstd and the narrow side."""
    if projection.low_rank is None:
        return *rms_norm(graph, x, weight, eps=eps), None
    return rms_norm_hidden(
        graph, x, weight, projection.low_rank, eps=eps, scaling=projection.scaling
    )


def norm_backward_for(
    graph: Graph,
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    rstd: Tensor,
    projection: Projection,
    *,
    skip: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Record the gradient of what a projection made and a norm read; return dx, its narrow side."""
    if projection.low_rank is None:
        return rms_norm_backward(graph, dy, x, weight, rstd, skip=skip), None
    return rms_norm_backward_hidden(
        graph, dy, x, weight, rstd, projection.low_rank, scaling=projection.scaling, skip=skip
    )


def swiglu_for(
    graph: Graph, gate_up: Tensor, projection: Projection
) -> tuple[Tensor, Tensor | None]:
    """Record the activation that a projection reads; return it and the narrow side."""
    if projection.low_rank is None:
        return swiglu(graph, gate_up), None
    return swiglu_hidden(graph, gate_up, projection.low_rank, scaling=projection.scaling)


def swiglu_backward_for(
    graph: Graph, dy: Tensor, gate_up: Tensor, projection: Projection
) -> tuple[Tensor, Tensor | None]:
    """Record the gradient of the gates and ups that a projection made, and its narrow side."""
    if projection.low_rank is None:
        return swiglu_backward(graph, dy, gate_up), None
    return swiglu_backward_hidden(
        graph, dy, gate_up, projection.low_rank, scaling=projection.scaling
    )


def rope_backward_for(
    graph: Graph,
    d_qkv: Tensor,
    positions: Tensor,
    table: Tensor,
    heads: Heads,
    projection: Projection,
) -> Tensor | None:
    """Record the rotation back of the gradient of qkv, in place; return its narrow side."""
    num_heads, head_dim = heads.num_heads + heads.num_key_value_heads, heads.head_dim
    if projection.low_rank is not None:
        return rope_backward_hidden(
            graph,
            d_qkv,
            positions,
            table,
            projection.low_rank,
            num_heads=num_heads,
            head_dim=head_dim,
            scaling=projection.scaling,
        )
    rope(
        graph,
        d_qkv,
        positions,
        table,
        num_heads=num_heads,
        head_dim=head_dim,
        is_backward=True,
    )
    return None
