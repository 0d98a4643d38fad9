"""Gradients of the weights themselves: matrices, norms, the embedding table.

A matrix's gradient lies as an f32 matrix is packed (wgsl/lib/weights_f32.wgsl): (in, stride), W
transposed, its rows padded to a multiple of 8. Gradient, moments and weight of one element then
lie at the same place whatever the weight is stored in.
"""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, ceil_div
from app.gpu.kernels import Kernel
from app.gpu.tuning import Choice, choose

TILE = 16
"""Rows and columns that an invocation of linear_gradient.wgsl owns."""


def linear_gradient(
    graph: Graph, dy: Tensor, x: Tensor, gradient: Tensor, *, is_first: bool = False
) -> None:
    """Record dW += dyᵀ·x, transposed.

    Args:
        graph: Where to record.
        dy: (rows, stride), gradient of the product's result.
        x: (rows, in_features), the input of the forward.
        gradient: (in_features, stride), added to.
        is_first: Overwrite `gradient` instead.

    Raises:
        ShapeError: an operand does not fit the gradient.

    Reference: app.reference.linear.
    """
    (rows, columns), (x_rows, in_features) = dy.shape, x.shape
    if gradient.shape != (in_features, columns) or x_rows != rows or in_features % TILE:
        raise ShapeError(
            f"dy is {dy.shape}, x {x.shape} and the gradient {gradient.shape}: "
            f"({in_features}, {columns}) and as many rows of both were expected, "
            f"in_features a multiple of {TILE}"
        )
    choice = gradient_choice(graph.tuning.backward)
    lanes = choice["LANES"]
    if choice.shader == "linear_gradient":
        grid = (ceil_div(columns, TILE * lanes), in_features // TILE, 1)
    else:
        grid = (ceil_div(columns, 4 * lanes), ceil_div(in_features, 8 * choice["BANDS"]), 1)
    kernel = choice.kernel()
    constants = (*kernel.constants, ("ACCUMULATE", int(not is_first)))
    graph.dispatch(
        Kernel(kernel.name, kernel.preludes, constants),
        (x, dy, gradient),
        grid,
        (rows, in_features // 4, columns // 4),
        flops=2.0 * rows * in_features * columns,
    )


def gradient_choice(backward: Choice) -> Choice:
    """Return how weight gradients are computed where dX is computed so.

    Both products have tiles of the same shape, limited by the same registers and workgroup memory.
    """
    if backward.shader.endswith("_tile"):
        return choose(
            "linear_gradient_tile", "real_f32", LANES=backward["LANES"], BANDS=backward["BANDS"]
        )
    return choose("linear_gradient", LANES=8)


def rms_norm_gain_backward(
    graph: Graph, dy: Tensor, x: Tensor, rstd: Tensor, gradient: Tensor
) -> None:
    """Record d_weight += Σ over rows of dy∘x·rstd.

    Args:
        graph: Where to record.
        dy: (rows, hidden_size), gradient of the norm's output.
        x: (rows, hidden_size), the input of the forward.
        rstd: (rows,) from `rms_norm`.
        gradient: (hidden_size,), added to.

    Raises:
        ShapeError: dy, x and the gradient differ.

    Reference: app.reference.rms_norm.
    """
    rows, columns = x.shape
    if dy.shape != x.shape or gradient.shape != (columns,):
        raise ShapeError(f"dy is {dy.shape}, x {x.shape}, the gradient {gradient.shape}")
    lanes = 8
    graph.dispatch(
        Kernel(
            "rms_norm_gain_backward",
            constants=(("LANES", lanes), ("SLICES", graph.tuning.hidden_slices)),
        ),
        (dy, x, rstd, gradient),
        (ceil_div(columns // 4, lanes), 1, 1),
        (rows, columns // 4),
        flops=3.0 * x.size,
    )


def embedding_backward(graph: Graph, ids: Tensor, dy: Tensor, gradient: Tensor) -> None:
    """Record d_table[ids[t]] += dy[t], transposed.

    Args:
        graph: Where to record.
        ids: (rows,), u32, each below the vocabulary size.
        dy: (rows, hidden_size), gradient of the looked-up rows.
        gradient: (hidden_size, stride), added to.

    Raises:
        ShapeError: ids or the gradient do not fit dy.

    Reference: app.reference.embedding.
    """
    rows, columns = dy.shape
    if ids.size != rows or gradient.shape[0] != columns:
        raise ShapeError(f"dy is {dy.shape}, ids {ids.shape}, the gradient {gradient.shape}")
    graph.dispatch(
        Kernel("embedding_backward", constants=(("LANES", graph.tuning.norm_lanes),)),
        (ids, dy, gradient),
        (rows, 1, 1),
        (rows, columns, gradient.shape[1]),
        flops=1.0 * dy.size + 0.5 * rows * rows,
    )
