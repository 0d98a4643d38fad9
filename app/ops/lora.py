"""The narrow side of an adapter: hidden activations, their gradient, gradients of A and B."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, ceil_div
from app.gpu.kernels import Kernel
from app.ops.linear import NO_BOUND, LowRank


def lora_hidden(graph: Graph, x: Tensor, low_rank: LowRank, *, scaling: float) -> Tensor:
    """Record h = scaling · x·Aᵀ for all stacked modules at once.

    Args:
        graph: Where to record.
        x: (rows, in_features), f32.
        low_rank: A is (modules · rank, in_features).
        scaling: alpha / rank.

    Returns:
        h, (rows, modules · rank), f32.

    Raises:
        ShapeError: x and A differ in in_features.

    Reference: app.reference.linear.
    """
    rows, columns = x.shape
    ranks = low_rank.lora_a.shape[0]
    if low_rank.lora_a.shape[1] != columns:
        raise ShapeError(f"x has {columns} columns but lora_a is {low_rank.lora_a.shape}")
    h = graph.empty("lora_hidden", rows, ranks)
    graph.dispatch(
        Kernel("lora_hidden", constants=(("SLICES", graph.tuning.hidden_slices),)),
        (x, low_rank.lora_a, h),
        (ceil_div(ranks, 4), ceil_div(rows, 4), 1),
        (rows, columns // 4, ranks, float(scaling)),
        flops=2.0 * rows * columns * ranks,
    )
    return h


def lora_hidden_backward(graph: Graph, dy: Tensor, low_rank: LowRank, *, scaling: float) -> Tensor:
    """Record g = scaling · dy·B, each module with its own columns of dy.

    Args:
        graph: Where to record.
        dy: (rows, out_features), f32.
        low_rank: B is (out_features, rank).
        scaling: alpha / rank.

    Returns:
        g, (rows, modules · rank), f32.

    Raises:
        ShapeError: dy and B differ in out_features.

    Reference: app.reference.linear.
    """
    rows, columns = dy.shape
    if low_rank.lora_b.shape[0] != columns:
        raise ShapeError(f"dy has {columns} columns but lora_b is {low_rank.lora_b.shape}")
    rank, modules = low_rank.rank, low_rank.num_modules
    g = graph.empty("lora_hidden_gradient", rows, modules * rank)
    graph.dispatch(
        Kernel("lora_hidden_backward", constants=(("SLICES", graph.tuning.hidden_slices),)),
        (dy, low_rank.lora_b, g),
        (ceil_div(rank, 4), ceil_div(rows, 4), modules),
        (rows, columns, rank, modules, *low_rank.bound_params, float(scaling)),
        flops=2.0 * rows * columns * rank,
    )
    return g


def lora_gradient_a(graph: Graph, g: Tensor, x: Tensor, gradient: Tensor) -> None:
    """Record dA += gᵀ·x.

    Args:
        graph: Where to record.
        g: (rows, modules · rank) from `lora_hidden_backward`.
        x: (rows, in_features), the input of the forward.
        gradient: (modules · rank, in_features), added to.

    Reference: app.reference.linear.
    """
    rows, columns = x.shape
    ranks = g.shape[1]
    params = (rows, columns // 4, ranks, ranks, NO_BOUND, NO_BOUND, 1, columns)
    _record_gradient(graph, x, g, gradient, ranks, params)


def lora_gradient_b(
    graph: Graph, dy: Tensor, h: Tensor, gradient: Tensor, low_rank: LowRank
) -> None:
    """Record dB += dyᵀ·h, each module with its own columns of h.

    Args:
        graph: Where to record.
        dy: (rows, out_features).
        h: (rows, modules · rank) from `lora_hidden`; it carries the scaling.
        gradient: (out_features, rank), added to.
        low_rank: Where the modules begin.

    Reference: app.reference.linear.
    """
    rows, columns = dy.shape
    rank = low_rank.rank
    params = (rows, columns // 4, rank, h.shape[1], *low_rank.bound_params, rank, 1)
    _record_gradient(graph, dy, h, gradient, rank, params)


def _record_gradient(
    graph: Graph, u: Tensor, v: Tensor, out: Tensor, rank: int, params: tuple[int, ...]
) -> None:
    rows, columns = u.shape
    lanes, slices = graph.tuning.gradient_lanes, graph.tuning.gradient_slices
    graph.dispatch(
        Kernel("lora_gradient", constants=(("LANES", lanes), ("SLICES", slices))),
        (u, v, out),
        (ceil_div(columns // 4, 2 * lanes), ceil_div(rank, 4), 1),
        params,
        flops=2.0 * rows * columns * rank,
    )
