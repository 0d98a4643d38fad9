"""The product with a frozen matrix whose left operand is rounded to eight bits a value."""

from __future__ import annotations

from app.errors import ShapeError
from app.gpu.adapter import AdapterInfo, Limits
from app.gpu.features import PACKED_DOT
from app.gpu.graph import Graph, Tensor, ceil_div, grid_1d
from app.gpu.kernels import Kernel
from app.gpu.tuning import Choice, choose
from app.ops.linear import MAX_VECTOR_ROWS, linear
from app.ops.low_rank import NO_BOUND, LowRank, with_factors
from app.ops.matrix import GROUP_SIZE, Matrix

CODES = {"int4": "codes_int4", "int8": "codes_int8"}
"""Preludes of the formats whose weights are integers with a scale and a minimum."""

SHADERS = ("linear_dot8", "linear_dot8_tile", "linear_dot8_vector")

QUANTIZE_LANES = 64


def prefill_choices(limits: Limits, features: frozenset[str], info: AdapterInfo) -> list[Choice]:
    """Return the ways to compute many rows in eight bits; none where the language has no such dot.

    None of them equals `linear`: take one only where the bound on its error is enough.

    Args:
        limits: What a workgroup may hold.
        features: Features of the device, in either host's names.
        info: Whether subgroups may be used, and their size.
    """
    if PACKED_DOT not in features:
        return []
    lanes = [lanes for lanes in (8, 16, 32, 64) if lanes <= limits.max_invocations]
    choices = [choose("linear_dot8", "operand_direct", LANES=count) for count in lanes]
    if info.subgroup_size >= 8:
        choices += [choose("linear_dot8", "operand_subgroup", LANES=count) for count in lanes]
    choices += [
        choose("linear_dot8_tile", OCTETS=octets)
        for octets in (8, 4, 2)
        if 16 * octets <= limits.max_invocations
        and 2048 + 320 * octets <= limits.max_workgroup_storage_bytes
    ]
    return choices


def decode_choices(limits: Limits, features: frozenset[str], info: AdapterInfo) -> list[Choice]:
    """Return the ways to compute one or two rows in eight bits, as `prefill_choices` does."""
    if PACKED_DOT not in features:
        return []
    shapes = ((8, 1), (16, 1), (8, 4), (8, 8), (8, 16), (16, 4), (16, 16), (32, 4), (32, 8))
    return [
        choose("linear_dot8_vector", LANES=lanes, SLICES=slices)
        for lanes, slices in shapes
        if lanes * slices <= limits.max_invocations
        and 16 * lanes * slices <= limits.max_workgroup_storage_bytes
    ]


def quantize_rows(graph: Graph, x: Tensor) -> tuple[Tensor, Tensor]:
    """Record x ≈ scale·q, q in -127..127, a scale for each 32 elements of a row.

    Args:
        graph: Where to record.
        x: (rows, columns), f32.

    Returns:
        codes, (rows, columns / 4) words of four q, and scales, (rows, columns / 32, 2) of scale
        and Σ q.

    Raises:
        ShapeError: columns is not a multiple of 32.

    Reference: app.reference.linear_dot8.
    """
    rows, columns = x.shape
    if columns % GROUP_SIZE:
        raise ShapeError(f"x is {x.shape}: its columns have to be a multiple of {GROUP_SIZE}")
    groups = columns // GROUP_SIZE
    codes = graph.empty("codes", rows, columns // 4, dtype="u32")
    scales = graph.empty("code scales", rows, groups, 2)
    graph.dispatch(
        Kernel("quantize_rows"),
        (x, codes, scales),
        grid_1d(rows * groups, QUANTIZE_LANES),
        (rows * groups,),
        flops=4.0 * rows * columns,
    )
    return codes, scales


def multiply(
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
    """Record `linear_dot8` where the graph's tuning says so for this many rows, else `linear`.

    Args and result are those of `linear`.
    """
    tuning = graph.tuning
    choice = tuning.vector if x.shape[0] <= MAX_VECTOR_ROWS else tuning.forward
    if choice.shader not in SHADERS:
        return linear(
            graph,
            x,
            weight,
            low_rank=low_rank,
            hidden=hidden,
            residual=residual,
            out=out,
            label=label,
        )
    return linear_dot8(
        graph,
        x,
        weight,
        choice=choice,
        low_rank=low_rank,
        hidden=hidden,
        residual=residual,
        out=out,
        label=label,
    )


def linear_dot8(
    graph: Graph,
    x: Tensor,
    weight: Matrix,
    *,
    choice: Choice,
    low_rank: LowRank | None = None,
    hidden: Tensor | None = None,
    residual: Tensor | None = None,
    out: Tensor | None = None,
    label: str = "linear",
) -> Tensor:
    """Record y = x̂·Wᵀ + hidden·Bᵀ (+ residual), x̂ being x rounded to eight bits by groups of 32.

    Args:
        graph: Where to record.
        x: (rows, in_features), f32.
        weight: (out_features, in_features), INT4 or INT8.
        choice: One of `prefill_choices` or `decode_choices`.
        low_rank: Adapter of the modules stacked in `weight`.
        hidden: (rows, modules · rank) = scaling·x·Aᵀ, of x itself: the adapter is not rounded.
        residual: (rows, out_features), added.
        out: Where to write instead of a new tensor: (rows, weight.stride).
        label: Name of the result.

    Returns:
        y, (rows, weight.stride).

    Raises:
        ShapeError: x, the residual or the adapter does not fit the matrix, or its format has no
            integers.

    Reference: app.reference.linear_dot8.
    """
    rows = x.shape[0]
    if weight.format not in CODES:
        raise ShapeError(f"{weight.words.storage.label} is {weight.format}: it has no integers")
    if len(x.shape) != 2 or x.shape[1] != weight.num_columns:
        raise ShapeError(
            f"x has shape {x.shape} but {weight.words.storage.label} "
            f"({weight.num_rows}, {weight.num_columns}) needs (rows, {weight.num_columns})"
        )
    y = out or graph.empty(label, rows, weight.stride)
    if residual is not None and residual.shape != y.shape:
        raise ShapeError(f"residual is {residual.shape} but the product is {y.shape}")
    rank, modules, bounds = 0, 1, (NO_BOUND, NO_BOUND)
    b = h = x
    if low_rank is not None and hidden is not None:
        if low_rank.lora_b.shape[0] != weight.stride:
            raise ShapeError(
                f"lora_b has {low_rank.lora_b.shape[0]} rows but the packed matrix has "
                f"{weight.stride}: with an adapter, out_features must be a multiple of 8"
            )
        rank, modules, bounds = low_rank.rank, low_rank.num_modules, low_rank.bound_params
        b, h = low_rank.factors_b, hidden
    codes, code_scales = quantize_rows(graph, x)
    columns_of, rows_of = _outputs(choice)
    kernel = with_factors(choice.kernel(CODES[weight.format], "rounded_operands"), low_rank)
    has_residual = ("HAS_RESIDUAL", int(residual is not None))
    groups = weight.num_columns // GROUP_SIZE
    graph.dispatch(
        Kernel(kernel.name, kernel.preludes, (*kernel.constants, has_residual)),
        (*weight.bindings, codes, code_scales, h, b, residual or x, y),
        (ceil_div(weight.stride, columns_of), ceil_div(rows, rows_of), 1),
        (rows, weight.stride // 4, groups, rank, modules, *bounds),
        flops=2.0 * rows * weight.stride * (weight.num_columns + rank),
    )
    return y


def _outputs(choice: Choice) -> tuple[int, int]:
    """Return the columns and rows of the result that a workgroup owns."""
    if choice.shader == "linear_dot8_tile":
        return 64, 8 * choice["OCTETS"]
    if choice.shader == "linear_dot8_vector":
        return 4 * choice["LANES"], 1
    return 8 * choice["LANES"], 8
