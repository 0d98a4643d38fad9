"""Kernels that only measure: multiply-adds in registers, and a copy."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, grid_1d
from app.gpu.kernels import Kernel

CHAINS = (2, 3)
"""Independent vec4 accumulators an invocation may have."""

UNROLL = 32
"""Times the map is written out in the shader's loop."""

WORKGROUP_SIZE = 64

FACTOR, ADDEND = 1 - 2.0**-5, 2.0**-4
"""Exact in f32; values stay near ADDEND / (1 − FACTOR) = 2, so nothing overflows or vanishes."""


def fma_peak(graph: Graph, x: Tensor, *, chains: int, rounds: int) -> Tensor:
    """Record y = Σ_c f³²ʳ(c · x) for c = 1..chains, f(v) = v · FACTOR + ADDEND, r rounds.

    Args:
        graph: Where to record.
        x: (invocations, 4), f32; invocations a multiple of 64.
        chains: 2 or 3.
        rounds: Of 32 multiply-adds an accumulator.

    Returns:
        y, shaped like x.

    Raises:
        ShapeError: the number of chains or of invocations is not one the shader has.

    Reference: app.reference.peak.
    """
    invocations = x.shape[0]
    if chains not in CHAINS or invocations % WORKGROUP_SIZE or x.shape[1:] != (4,):
        raise ShapeError(
            f"{chains} chains and x {x.shape}: give {CHAINS[0]} or {CHAINS[1]} chains and "
            f"(invocations, 4) with a multiple of {WORKGROUP_SIZE} invocations"
        )
    y = graph.empty("fma_peak", *x.shape)
    graph.dispatch(
        Kernel("fma_peak", constants=(("CHAINS", chains),)),
        (x, y),
        grid_1d(invocations, WORKGROUP_SIZE),
        (rounds, FACTOR, ADDEND),
        flops=2.0 * x.size * chains * UNROLL * rounds,
    )
    return y


def copy(graph: Graph, x: Tensor) -> Tensor:
    """Record y = x.

    Args:
        graph: Where to record.
        x: Any shape whose size is a multiple of 4, f32.

    Returns:
        y, shaped like x.

    Raises:
        ShapeError: the size is not a multiple of 4.
    """
    if x.size % 4:
        raise ShapeError(f"x has {x.size} elements: a multiple of 4 is needed")
    y = graph.empty("copy", *x.shape)
    quads = x.size // 4
    graph.dispatch(Kernel("copy"), (x, y), grid_1d(quads, WORKGROUP_SIZE), (quads,), flops=x.size)
    return y
