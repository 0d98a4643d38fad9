"""Root-mean-square normalisation of rows."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor
from app.gpu.kernels import Kernel


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
    rows, columns = x.shape
    if weight.shape != (columns,) or columns % 4:
        raise ShapeError(f"weight is {weight.shape} but x has {columns} columns (a multiple of 4)")
    y = graph.empty("rms_norm", rows, columns)
    rstd = graph.empty("rstd", rows)
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
    rows, columns = x.shape
    if dy.shape != x.shape:
        raise ShapeError(f"dy is {dy.shape} but x is {x.shape}: they must be equal")
    dx = graph.empty("rms_norm_gradient", rows, columns)
    graph.dispatch(
        Kernel("rms_norm_backward", constants=(("LANES", graph.tuning.norm_lanes),)),
        (dy, x, weight, rstd, skip or dy, dx),
        (rows, 1, 1),
        (columns // 4, int(skip is not None)),
        flops=8.0 * x.size,
    )
    return dx
