"""The narrow side of an adapter: hidden activations, their gradient, gradients of A and B."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, ceil_div
from app.gpu.kernels import Kernel
from app.ops.linear import MAX_VECTOR_ROWS
from app.ops.low_rank import LowRank, with_factors

MAX_FUSED_RANK = 16
"""Up to this rank the narrow side of a projection is computed by what makes its input: beyond,
a workgroup would read its rows again and again for the sake of one launch."""


def is_fused(low_rank: LowRank) -> bool:
    """Whether the kernels that compute a narrow side beside their own result take this rank."""
    return low_rank.rank % 4 == 0 and low_rank.rank <= MAX_FUSED_RANK


def rows_of_workgroup(rows: int) -> int:
    """Return how many rows share the loads of A or B: one where there are hardly more."""
    return 1 if rows <= MAX_VECTOR_ROWS else 4


def fused_kernel(graph: Graph, name: str, rows: int, low_rank: LowRank) -> tuple[Kernel, int]:
    """Return a kernel that computes a narrow side beside its own result, and its workgroups."""
    together = rows_of_workgroup(rows)
    constants = (("LANES", graph.tuning.norm_lanes), ("ROWS", together))
    kernel = with_factors(Kernel(name, ("low_rank_tile",), constants), low_rank)
    return kernel, ceil_div(rows, together)


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
    together = rows_of_workgroup(rows)
    constants = (("SLICES", graph.tuning.hidden_slices), ("ROWS", together))
    graph.dispatch(
        with_factors(Kernel("lora_hidden", constants=constants), low_rank),
        (x, low_rank.factors_a, h),
        (ceil_div(ranks, 4), ceil_div(rows, together), 1),
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
    kernel = Kernel("lora_hidden_backward", constants=(("SLICES", graph.tuning.hidden_slices),))
    graph.dispatch(
        with_factors(kernel, low_rank),
        (dy, low_rank.factors_b, g),
        (ceil_div(rank, 4), ceil_div(rows, 4), modules),
        (rows, columns // 4, rank, modules, *low_rank.bound_params, float(scaling)),
        flops=2.0 * rows * columns * rank,
    )
    return g


def lora_gradient(
    graph: Graph,
    x: Tensor,
    g: Tensor,
    dy: Tensor,
    h: Tensor,
    low_rank: LowRank,
    gradient: LowRank,
) -> None:
    """Record dA += gᵀ·x and dB += dyᵀ·h, each module with its own columns of dy and h.

    Args:
        graph: Where to record.
        x: (rows, in_features), the input of the forward.
        g: (rows, modules · rank) from `lora_hidden_backward`.
        dy: (rows, out_features).
        h: (rows, modules · rank) from `lora_hidden`; it carries the scaling.
        low_rank: Where the modules begin.
        gradient: dA (modules · rank, in_features) and dB (out_features, rank), added to. They may
            lie in one buffer, as long as their bytes are apart.

    Raises:
        ShapeError: an operand does not fit the gradients.

    Reference: app.reference.linear.
    """
    (rows, in_features), (_, out_features) = x.shape, dy.shape
    rank, ranks = low_rank.rank, low_rank.rank * low_rank.num_modules
    shapes = (ranks, in_features), (out_features, rank)
    if (gradient.lora_a.shape, gradient.lora_b.shape) != shapes:
        raise ShapeError(
            f"gradients are {gradient.lora_a.shape} and {gradient.lora_b.shape} but x, dy and the "
            f"adapter need {shapes[0]} and {shapes[1]}"
        )
    lanes, slices = graph.tuning.gradient_lanes, graph.tuning.gradient_slices
    a_groups, b_groups = (ceil_div(size // 4, 2 * lanes) for size in (in_features, out_features))
    graph.dispatch(
        Kernel("lora_gradient", constants=(("LANES", lanes), ("SLICES", slices))),
        (x, g, dy, h, gradient.lora_a, gradient.lora_b),
        (a_groups * ceil_div(ranks, 4) + b_groups * ceil_div(rank, 4), 1, 1),
        (
            rows,
            in_features // 4,
            out_features // 4,
            rank,
            low_rank.num_modules,
            *low_rank.bound_params,
            a_groups,
            b_groups,
        ),
        flops=2.0 * rows * (in_features * ranks + out_features * rank),
    )
