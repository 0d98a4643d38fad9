"""Root-mean-square normalisation of rows."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor
from app.gpu.kernels import Kernel
from app.ops.lora import fused_kernel, is_fused, lora_hidden, lora_hidden_backward
from app.ops.low_rank import LowRank


def rms_norm(graph: Graph, x: Tensor, weight: Tensor, *, eps: float) -> tuple[Tensor, Tensor]:
    """Record y = x · rstd · weight, rstd = 1/√(mean(x²) + eps).

    Args:
        graph: Where to record.
        x: (rows, hidden_size), f32.
        weight: (hidden_size,).
        eps: Added to the mean square, dimensionless.

    Returns:
        y, shaped like x, and rstd, (rows,), which `rms_norm_backward` needs.

    Raises:
        ShapeError: weight does not match the columns of x.

    Reference: app.reference.rms_norm; arXiv:1910.07467.
    """
    y, rstd = _results(graph, x, weight)
    rows, columns = x.shape
    graph.dispatch(
        Kernel("rms_norm", constants=(("LANES", graph.tuning.norm_lanes),)),
        (x, weight, y, rstd),
        (rows, 1, 1),
        (columns // 4, float(eps)),
        flops=4.0 * x.size,
    )
    return y, rstd


def rms_norm_backward(
    graph: Graph, dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, *, skip: Tensor | None = None
) -> Tensor:
    """Record dx = rstd · (w∘dy − x̂ · mean(w∘dy∘x̂)) + skip, x̂ = x · rstd.

    Args:
        graph: Where to record.
        dy: (rows, hidden_size), gradient of the norm's output.
        x: (rows, hidden_size), the input of the forward.
        weight: (hidden_size,), frozen.
        rstd: (rows,) from `rms_norm`.
        skip: (rows, hidden_size), gradient flowing past the norm, added.

    Returns:
        dx, shaped like x.

    Raises:
        ShapeError: dy and x differ.

    Reference: app.reference.rms_norm.
    """
    dx = _gradient(graph, dy, x)
    rows, columns = x.shape
    graph.dispatch(
        Kernel("rms_norm_backward", constants=(("LANES", graph.tuning.norm_lanes),)),
        (dy, x, weight, rstd, skip or dy, dx),
        (rows, 1, 1),
        (columns // 4, int(skip is not None)),
        flops=8.0 * x.size,
    )
    return dx


def rms_norm_hidden(
    graph: Graph, x: Tensor, weight: Tensor, low_rank: LowRank, *, eps: float, scaling: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Record `rms_norm` and `lora_hidden` of its result, in one launch where the rank allows.

    Args:
        graph: Where to record.
        x: (rows, hidden_size), f32.
        weight: (hidden_size,).
        low_rank: Adapter of the projection that reads y; A is (modules · rank, hidden_size).
        eps: Added to the mean square, dimensionless.
        scaling: alpha / rank.

    Returns:
        y, rstd, and h = scaling · y·Aᵀ, (rows, modules · rank).

    Raises:
        ShapeError: weight or A does not match the columns of x.

    Reference: app.reference.rms_norm, app.reference.linear.
    """
    if not is_fused(low_rank):
        y, rstd = rms_norm(graph, x, weight, eps=eps)
        return y, rstd, lora_hidden(graph, y, low_rank, scaling=scaling)
    y, rstd = _results(graph, x, weight)
    rows, columns = x.shape
    ranks = low_rank.lora_a.shape[0]
    if low_rank.lora_a.shape[1] != columns:
        raise ShapeError(f"x has {columns} columns but lora_a is {low_rank.lora_a.shape}")
    h = graph.empty("lora_hidden", rows, ranks)
    kernel, workgroups = fused_kernel(graph, "rms_norm_hidden", rows, low_rank)
    graph.dispatch(
        kernel,
        (x, weight, low_rank.factors_a, y, rstd, h),
        (workgroups, 1, 1),
        (rows, columns // 4, ranks, float(eps), float(scaling)),
        flops=(4.0 + 2.0 * ranks) * x.size,
    )
    return y, rstd, h


def rms_norm_backward_hidden(
    graph: Graph,
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    rstd: Tensor,
    low_rank: LowRank,
    *,
    scaling: float,
    skip: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Record `rms_norm_backward` and `lora_hidden_backward` of its result, in one launch.

    In two where the rank is not one that `app.ops.lora.is_fused` takes.

    Args:
        graph: Where to record.
        dy: (rows, hidden_size), gradient of the norm's output.
        x: (rows, hidden_size), the input of the forward.
        weight: (hidden_size,), frozen.
        rstd: (rows,) from `rms_norm`.
        low_rank: Adapter of the projection whose result x is; B is (hidden_size, rank).
        scaling: alpha / rank.
        skip: (rows, hidden_size), gradient flowing past the norm, added.

    Returns:
        dx, shaped like x, and g = scaling · dx·B, (rows, rank).

    Raises:
        ShapeError: dy and x differ, or B does not match, or the adapter is of several modules.

    Reference: app.reference.rms_norm, app.reference.linear.
    """
    if not is_fused(low_rank):
        dx = rms_norm_backward(graph, dy, x, weight, rstd, skip=skip)
        return dx, lora_hidden_backward(graph, dx, low_rank, scaling=scaling)
    dx = _gradient(graph, dy, x)
    rows, columns = x.shape
    if low_rank.lora_b.shape[0] != columns or low_rank.bounds:
        raise ShapeError(
            f"x has {columns} columns but lora_b is {low_rank.lora_b.shape}, of "
            f"{low_rank.num_modules} modules: one module as wide as x is needed"
        )
    rank = low_rank.rank
    g = graph.empty("lora_hidden_gradient", rows, rank)
    kernel, workgroups = fused_kernel(graph, "rms_norm_backward_hidden", rows, low_rank)
    graph.dispatch(
        kernel,
        (dy, x, weight, rstd, skip or dy, low_rank.factors_b, dx, g),
        (workgroups, 1, 1),
        (rows, columns // 4, rank, int(skip is not None), float(scaling)),
        flops=(8.0 + 2.0 * rank) * x.size,
    )
    return dx, g


def _results(graph: Graph, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return tensors for y and rstd."""
    rows, columns = x.shape
    if weight.shape != (columns,) or columns % 4:
        raise ShapeError(f"weight is {weight.shape} but x has {columns} columns (a multiple of 4)")
    return graph.empty("rms_norm", rows, columns), graph.empty("rstd", rows)


def _gradient(graph: Graph, dy: Tensor, x: Tensor) -> Tensor:
    """Return a tensor for dx."""
    if dy.shape != x.shape:
        raise ShapeError(f"dy is {dy.shape} but x is {x.shape}: they must be equal")
    return graph.empty("rms_norm_gradient", *x.shape)
