"""The gated activation of a Llama layer."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, grid_1d
from app.gpu.kernels import Kernel


def swiglu(graph: Graph, gate_up: Tensor) -> Tensor:
    """Record y = silu(gate) · up.

    Args:
        graph: Where to record.
        gate_up: (rows, 2 · intermediate_size), gate first, f32.

    Returns:
        y, (rows, intermediate_size).

    Raises:
        ShapeError: intermediate_size is not a multiple of 4.

    Reference: app.reference.swiglu; arXiv:2002.05202.
    """
    rows, columns = gate_up.shape
    if columns % 8:
        raise ShapeError(f"gate_up has {columns} columns: a multiple of 8 is needed")
    y = graph.empty("swiglu", rows, columns // 2)
    graph.dispatch(
        Kernel("swiglu"),
        (gate_up, y),
        grid_1d(y.size // 4, 64),
        (rows, columns // 8),
        flops=10.0 * y.size,
    )
    return y


def swiglu_backward(graph: Graph, dy: Tensor, gate_up: Tensor) -> Tensor:
    """Record dgate = dy·up·σ(g)·(1 + g·(1 − σ(g))), dup = dy·silu(g).

    Args:
        graph: Where to record.
        dy: (rows, intermediate_size).
        gate_up: (rows, 2 · intermediate_size), the input of the forward.

    Returns:
        d_gate_up, shaped like gate_up.

    Raises:
        ShapeError: dy is not half as wide as gate_up.

    Reference: app.reference.swiglu.
    """
    rows, columns = gate_up.shape
    if dy.shape != (rows, columns // 2):
        raise ShapeError(f"dy is {dy.shape} but gate_up is {gate_up.shape}")
    d_gate_up = graph.empty("swiglu_gradient", rows, columns)
    graph.dispatch(
        Kernel("swiglu_backward"),
        (dy, gate_up, d_gate_up),
        grid_1d(dy.size // 4, 64),
        (rows, columns // 8),
        flops=20.0 * dy.size,
    )
    return d_gate_up
