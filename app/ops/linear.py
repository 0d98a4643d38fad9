"""Product with a frozen matrix and its low-rank adapter, forward and backward."""

from __future__ import annotations

from dataclasses import replace

from app.errors import ShapeError
from app.gpu.adapter import AdapterInfo, Limits
from app.gpu.graph import Graph, Tensor, ceil_div
from app.gpu.kernels import Kernel
from app.gpu.tuning import Choice, choose
from app.ops.low_rank import NO_BOUND, LowRank, with_factors
from app.ops.matrix import Matrix

OUTPUTS = {
    "linear": (8, 8),
    "linear_wide": (8, 16),
    "linear_tile": (4, 8),
    "linear_vector": (4, 1),
    "linear_backward": (16, 8),
    "linear_backward_wide": (16, 16),
    "linear_backward_tile": (4, 8),
}
"""Columns and rows of the result that an invocation of each shader owns."""

MAX_VECTOR_ROWS = 2
"""Up to this many rows the matrix-vector kernel is used."""

TILES = ((16, 8), (16, 16), (16, 4), (32, 4), (8, 8), (8, 4))
"""LANES and BANDS of tiles in workgroup memory: 64 × 64 outputs, 128, 32 rows × 64, …"""

TILE_DEPTH = 32


def forward_choices(limits: Limits, features: frozenset[str], info: AdapterInfo) -> list[Choice]:
    """Return the ways to compute `linear` of many rows on a device; the first runs anywhere.

    All are as exact as the first: see `in_half_precision` for what is not.

    Args:
        limits: What a workgroup may hold.
        features: Features of the device, in either host's names.
        info: Whether subgroups may be used, and their size.
    """
    return _rows_choices("linear", limits, info)


def backward_choices(limits: Limits, features: frozenset[str], info: AdapterInfo) -> list[Choice]:
    """Return the ways to compute `linear_backward` on a device; the first runs anywhere.

    Args are those of `forward_choices`.
    """
    return _rows_choices("linear_backward", limits, info)


def vector_choices(limits: Limits, features: frozenset[str], info: AdapterInfo) -> list[Choice]:
    """Return the ways to compute `linear` of one or two rows; the first runs anywhere.

    Args are those of `forward_choices`.
    """
    narrow = ((8, 1), (8, 4), (8, 6), (8, 8), (8, 16), (8, 18))
    shapes = (*narrow, (16, 4), (16, 6), (16, 16), (32, 4), (32, 8), (64, 4))
    size = info.subgroup_size
    return [
        choose("linear_vector", prelude, LANES=lanes, SLICES=slices)
        for prelude in ["chunk_direct"] + ["chunk_subgroup"] * (size >= 8)
        for lanes, slices in shapes
        if lanes * slices <= limits.max_invocations
        and 16 * lanes * slices <= limits.max_workgroup_storage_bytes
        and (prelude == "chunk_direct" or lanes % size == 0)
    ]


def in_half_precision(choice: Choice) -> Choice:
    """Return a tile that stages both operands in f16 and sums in f32; needs shader-f16.

    Its results are off by 3e-4 of their norm, which is more than products may be: no list of
    choices has it.
    """
    return replace(choice, preludes=("real_f16",))


def _rows_choices(shader: str, limits: Limits, info: AdapterInfo) -> list[Choice]:
    """Return the choices of many rows: results in registers alone, then tiles."""
    rows = ["rows_direct"] + ["rows_subgroup"] * (info.subgroup_size >= 8)
    lanes = [lanes for lanes in (8, 16, 32, 64) if lanes <= limits.max_invocations]
    choices = [choose(shader, prelude, LANES=count) for prelude in rows for count in lanes]
    if info.is_software:  # elsewhere so many registers spill
        choices += [choose(f"{shader}_wide", prelude, LANES=8) for prelude in rows]
    # Software adapters run tiles too, but slowly: one is enough for a search there.
    tiles = TILES[-1:] if info.is_software else TILES
    return choices + [
        choose(f"{shader}_tile", "real_f32", LANES=lanes, BANDS=bands)
        for lanes, bands in tiles
        if lanes * bands <= limits.max_invocations
        and 16 * TILE_DEPTH * (lanes + 2 * bands) <= limits.max_workgroup_storage_bytes
    ]


def _for_rows(choice: Choice, rows: int) -> Choice:
    """Return the choice, or the kernel of eight rows where it would be half idle or more."""
    constants = dict(choice.constants)
    tall = OUTPUTS[choice.shader][1] * constants.get("BANDS", 1)
    if tall <= 8 or 2 * rows > tall:
        return choice
    shader, _, family = choice.shader.rpartition("_")
    if family == "tile":
        return choose(shader, "rows_direct", LANES=32)
    return replace(choice, shader=shader)


def _grid(choice: Choice, columns: int, rows: int) -> tuple[int, int, int]:
    """Return the workgroups that cover a result."""
    constants = dict(choice.constants)
    columns_of, rows_of = OUTPUTS[choice.shader]
    return (
        ceil_div(columns, columns_of * constants["LANES"]),
        ceil_div(rows, rows_of * constants.get("BANDS", 1)),
        1,
    )


def linear(
    graph: Graph,
    x: Tensor,
    weight: Matrix,
    *,
    low_rank: LowRank | None = None,
    hidden: Tensor | None = None,
    residual: Tensor | None = None,
    out: Tensor | None = None,
    label: str = "linear",
) -> Tensor:
    """Record y = x·Wᵀ + hidden·Bᵀ (+ residual).

    Args:
        graph: Where to record.
        x: (rows, in_features), f32.
        weight: (out_features, in_features), packed.
        low_rank: Adapter of the modules stacked in `weight`.
        hidden: (rows, modules · rank) = scaling·x·Aᵀ, from `lora_hidden`.
        residual: (rows, out_features), added.
        out: Where to write instead of a new tensor: (rows, weight.stride).
        label: Name of the result.

    Returns:
        y, (rows, weight.stride): padded columns are zero-weight products.

    Raises:
        ShapeError: x, the residual or the adapter does not fit the matrix.

    Reference: app.reference.linear.
    """
    rows = _check(x, weight.num_columns, "x", weight)
    y = out or graph.empty(label, rows, weight.stride)
    rank, modules, bounds = 0, 1, (NO_BOUND, NO_BOUND)
    b = h = x
    if residual is not None and residual.shape != y.shape:
        raise ShapeError(f"residual is {residual.shape} but the product is {y.shape}")
    if low_rank is not None and hidden is not None:
        if low_rank.lora_b.shape[0] != weight.stride:
            raise ShapeError(
                f"lora_b has {low_rank.lora_b.shape[0]} rows but the packed matrix has "
                f"{weight.stride}: with an adapter, out_features must be a multiple of 8"
            )
        rank, modules, bounds = low_rank.rank, low_rank.num_modules, low_rank.bound_params
        b, h = low_rank.factors_b, hidden
    params = (
        rows,
        weight.stride // 4,
        weight.num_columns // 8,
        rank,
        modules,
        *bounds,
    )
    choice = _for_rows(graph.tuning.forward, rows)
    if rows <= MAX_VECTOR_ROWS:
        choice = graph.tuning.vector
    kernel = with_factors(choice.kernel("forward_operands", weight.prelude), low_rank)
    has_residual = ("HAS_RESIDUAL", int(residual is not None))
    graph.dispatch(
        Kernel(kernel.name, kernel.preludes, (*kernel.constants, has_residual)),
        (*weight.bindings, x, h, b, residual or x, y),
        _grid(choice, weight.stride, rows),
        params,
        flops=2.0 * rows * weight.stride * (weight.num_columns + rank),
    )
    return y


def linear_backward(
    graph: Graph,
    dy: Tensor,
    weight: Matrix,
    *,
    low_rank: LowRank | None = None,
    d_hidden: Tensor | None = None,
    out: Tensor | None = None,
    label: str = "dx",
) -> Tensor:
    """Record dx = dy·W + d_hidden·A.

    Args:
        graph: Where to record.
        dy: (rows, weight.stride), f32.
        weight: (out_features, in_features), packed; the buffer the forward reads.
        low_rank: Adapter of the modules stacked in `weight`.
        d_hidden: (rows, modules · rank) = scaling·dy·B, from `lora_hidden_backward`.
        out: Where to write instead of a new tensor: (rows, in_features).
        label: Name of the result.

    Returns:
        dx, (rows, in_features), f32.

    Raises:
        ShapeError: dy does not fit the matrix.

    Reference: app.reference.linear.
    """
    rows = _check(dy, weight.stride, "dy", weight)
    dx = out or graph.empty(label, rows, weight.num_columns)
    ranks, a, g = 0, dy, dy
    if low_rank is not None and d_hidden is not None:
        ranks, a, g = low_rank.rank * low_rank.num_modules, low_rank.factors_a, d_hidden
    choice = _for_rows(graph.tuning.backward, rows)
    octets = weight.num_columns // 8
    graph.dispatch(
        with_factors(choice.kernel("backward_operands", weight.prelude), low_rank),
        (*weight.bindings, dy, g, a, dx),
        _grid(choice, weight.num_columns, rows),
        (rows, weight.stride // 4, octets, ranks),
        flops=2.0 * rows * weight.num_columns * (weight.stride + ranks),
    )
    return dx


def _check(x: Tensor, columns: int, name: str, weight: Matrix) -> int:
    if len(x.shape) != 2 or x.shape[1] != columns:
        raise ShapeError(
            f"{name} has shape {x.shape} but {weight.words.storage.label} "
            f"({weight.num_rows}, {weight.num_columns}) needs (rows, {columns})"
        )
    return x.shape[0]
