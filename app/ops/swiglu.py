"""The gated activation of a Llama layer."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, grid_1d
from app.gpu.kernels import Kernel
from app.ops.lora import fused_kernel, is_fused, lora_hidden, lora_hidden_backward
from app.ops.low_rank import LowRank


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
    y = _result(graph, gate_up)
    rows, columns = gate_up.shape
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
    d_gate_up = _gradient(graph, dy, gate_up)
    rows, columns = gate_up.shape
    graph.dispatch(
        Kernel("swiglu_backward"),
        (dy, gate_up, d_gate_up),
        grid_1d(dy.size // 4, 64),
        (rows, columns // 8),
        flops=20.0 * dy.size,
    )
    return d_gate_up


def swiglu_hidden(
    graph: Graph, gate_up: Tensor, low_rank: LowRank, *, scaling: float
) -> tuple[Tensor, Tensor]:
    """Record `swiglu` and `lora_hidden` of its result, in one launch where the rank allows.

    Args:
        graph: Where to record.
        gate_up: (rows, 2 · intermediate_size), gate first, f32.
        low_rank: Adapter of the projection that reads y; A is (rank, intermediate_size).
        scaling: alpha / rank.

    Returns:
        y, (rows, intermediate_size), and h = scaling · y·Aᵀ, (rows, rank).

    Raises:
        ShapeError: intermediate_size is not a multiple of 4, or not that of A.

    Reference: app.reference.swiglu, app.reference.linear.
    """
    if not is_fused(low_rank):
        y = swiglu(graph, gate_up)
        return y, lora_hidden(graph, y, low_rank, scaling=scaling)
    y = _result(graph, gate_up)
    rows, columns = y.shape
    ranks = low_rank.lora_a.shape[0]
    if low_rank.lora_a.shape[1] != columns:
        raise ShapeError(f"y has {columns} columns but lora_a is {low_rank.lora_a.shape}")
    h = graph.empty("lora_hidden", rows, ranks)
    kernel, workgroups = fused_kernel(graph, "swiglu_hidden", rows, low_rank)
    graph.dispatch(
        kernel,
        (gate_up, low_rank.factors_a, y, h),
        (workgroups, 1, 1),
        (rows, columns // 4, ranks, float(scaling)),
        flops=(10.0 + 2.0 * ranks) * y.size,
    )
    return y, h


def swiglu_backward_hidden(
    graph: Graph, dy: Tensor, gate_up: Tensor, low_rank: LowRank, *, scaling: float
) -> tuple[Tensor, Tensor]:
    """Record `swiglu_backward` and `lora_hidden_backward` of its result, in one launch.

    In two where the rank is not one that `app.ops.lora.is_fused` takes.

    Args:
        graph: Where to record.
        dy: (rows, intermediate_size).
        gate_up: (rows, 2 · intermediate_size), the input of the forward.
        low_rank: Adapter of gate and up; B is (2 · intermediate_size, rank).
        scaling: alpha / rank.

    Returns:
        d_gate_up, shaped like gate_up, and g, (rows, 2 · rank): scaling · d·B of each half.

    Raises:
        ShapeError: dy is not half as wide as gate_up, or the adapter is not of its two halves.

    Reference: app.reference.swiglu, app.reference.linear.
    """
    if not is_fused(low_rank):
        d_gate_up = swiglu_backward(graph, dy, gate_up)
        return d_gate_up, lora_hidden_backward(graph, d_gate_up, low_rank, scaling=scaling)
    d_gate_up = _gradient(graph, dy, gate_up)
    rows, columns = dy.shape
    rank = low_rank.rank
    if low_rank.bounds != (columns,) or low_rank.lora_b.shape[0] != 2 * columns:
        raise ShapeError(
            f"gate_up is {gate_up.shape} but lora_b is {low_rank.lora_b.shape}, its modules "
            f"beginning at rows 0 and {low_rank.bounds}"
        )
    g = graph.empty("lora_hidden_gradient", rows, 2 * rank)
    kernel, workgroups = fused_kernel(graph, "swiglu_backward_hidden", rows, low_rank)
    graph.dispatch(
        kernel,
        (dy, gate_up, low_rank.factors_b, d_gate_up, g),
        (workgroups, 1, 1),
        (rows, columns // 4, rank, float(scaling)),
        flops=(20.0 + 4.0 * rank) * dy.size,
    )
    return d_gate_up, g


def _result(graph: Graph, gate_up: Tensor) -> Tensor:
    """Return a tensor for y."""
    rows, columns = gate_up.shape
    if columns % 8:
        raise ShapeError(f"gate_up has {columns} columns: a multiple of 8 is needed")
    return graph.empty("swiglu", rows, columns // 2)


def _gradient(graph: Graph, dy: Tensor, gate_up: Tensor) -> Tensor:
    """Return a tensor for d_gate_up."""
    rows, columns = gate_up.shape
    if dy.shape != (rows, columns // 2):
        raise ShapeError(f"dy is {dy.shape} but gate_up is {gate_up.shape}")
    return graph.empty("swiglu_gradient", rows, columns)
