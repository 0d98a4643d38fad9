"""Optimizers of whole weights: a gradient becomes, in place, what is to be taken off its weight.

`app.ops.apply` then takes it off in whatever format the weight is stored. Unlike the adapter's
optimizers, which see one flat array, these take a tensor each: no buffer outgrows what WebGPU
binds. They read the eight floats of `app.ops.update`; an update that is skipped changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, ceil_div, grid_1d, persistent
from app.gpu.kernels import Kernel
from app.ops.adam8bit import BLOCK, dynamic_map
from app.ops.adamw import EPS
from app.ops.update import BETA1, BETA2

BETAS = (BETA1, BETA2, 1 - BETA1, 1 - BETA2, EPS)


@dataclass(frozen=True, eq=False)
class AdamwMoments:
    """AdamW's moments of one tensor, shaped like it, f32."""

    first: Tensor
    second: Tensor

    @classmethod
    def create(cls, gradient: Tensor) -> AdamwMoments:
        """Return the moments of a tensor; zeros, as new buffers are."""
        return cls(
            persistent("first moment", gradient.shape, "optimizer"),
            persistent("second moment", gradient.shape, "optimizer"),
        )


@dataclass(frozen=True, eq=False)
class Adam8bitMoments:
    """AdamW's moments of one tensor in eight bits: two bytes an element and 1/32 of a byte.

    Attributes:
        codes: (2, size / 4), u32.
        scales: (2, size / 256), f32.
        maps: (512,), u32: the values of the codes; one for all tensors.
    """

    codes: Tensor
    scales: Tensor
    maps: Tensor

    @classmethod
    def create(cls, gradient: Tensor, maps: Tensor) -> Adam8bitMoments:
        """Return the moments of a tensor; zeros, as new buffers are.

        Raises:
            ShapeError: its size is not a multiple of 256.
        """
        if gradient.size % BLOCK:
            raise ShapeError(f"{gradient.storage.label} has {gradient.size} elements: not n · 256")
        return cls(
            persistent("moment codes", (2, gradient.size // 4), "optimizer", "u32"),
            persistent("moment scales", (2, gradient.size // BLOCK), "optimizer"),
            maps,
        )


def new_maps() -> Tensor:
    """Return a tensor for the maps of eight-bit moments; write `map_words` into it."""
    return persistent("moment maps", (512,), "optimizer", "u32")


def map_words() -> npt.NDArray[np.uint32]:
    """Return the signed map, then the unsigned one, as bits."""
    maps = [dynamic_map(is_signed=is_signed) for is_signed in (True, False)]
    return np.concatenate(maps).view(np.uint32)


@dataclass(frozen=True, eq=False)
class AdafactorMeans:
    """Adafactor's means of a matrix's squared gradients, f32.

    Attributes:
        rows: (in_features,) over the out features.
        columns: (stride,) over the in features.
        num_columns: Out features, without padding.
    """

    rows: Tensor
    columns: Tensor
    num_columns: int

    @classmethod
    def create(cls, gradient: Tensor, num_columns: int) -> AdafactorMeans:
        """Return the means of a matrix; zeros, as new buffers are."""
        return cls(
            persistent("row means", gradient.shape[:1], "optimizer"),
            persistent("column means", gradient.shape[1:], "optimizer"),
            num_columns,
        )


def adamw_delta(graph: Graph, update: Tensor, gradient: Tensor, state: AdamwMoments) -> None:
    """Record g ← lr · (m / (1 − β1ᵗ)) / (√(v / (1 − β2ᵗ)) + eps).

    Args:
        graph: Where to record.
        update: (8,), f32, from `app.ops.update`.
        gradient: Any shape of a multiple of 4 elements, f32; overwritten.
        state: Moments.

    Reference: app.reference.adamw; arXiv:1711.05101.
    """
    graph.dispatch(
        Kernel("adamw_delta"),
        (update, gradient, state.first, state.second),
        grid_1d(gradient.size // 4, 64),
        (gradient.size // 4, *BETAS),
        flops=16.0 * gradient.size,
    )


def adam8bit_delta(graph: Graph, update: Tensor, gradient: Tensor, state: Adam8bitMoments) -> None:
    """Record the same with moments that are stored in eight bits.

    Args are those of `adamw_delta`. Reference: app.reference.adam8bit; arXiv:2110.02861.
    """
    graph.dispatch(
        Kernel("adam8bit_delta", ("moments_dynamic",)),
        (update, state.maps, gradient, state.codes, state.scales),
        grid_1d(gradient.size // 4, 64),
        (gradient.size // BLOCK, *BETAS),
        flops=64.0 * gradient.size,
    )


def adafactor_delta(graph: Graph, update: Tensor, gradient: Tensor, state: AdafactorMeans) -> None:
    """Record g ← lr · u / max(1, rms(u)), u = g / √(rows / mean(rows) ⊗ columns).

    Args:
        graph: Where to record.
        update: (8,), f32, from `app.ops.update`.
        gradient: (in_features, stride), f32; overwritten.
        state: Means.

    Reference: app.reference.adafactor; arXiv:1804.04235.
    """
    rows, stride = gradient.shape
    lanes = 8
    graph.dispatch(
        Kernel("adafactor_rows"),
        (update, gradient, state.rows),
        (rows, 1, 1),
        (state.num_columns, stride),
        flops=3.0 * gradient.size,
    )
    graph.dispatch(
        Kernel(
            "adafactor_columns",
            constants=(("LANES", lanes), ("SLICES", graph.tuning.hidden_slices)),
        ),
        (update, gradient, state.columns),
        (ceil_div(stride // 4, lanes), 1, 1),
        (rows, stride // 4),
        flops=3.0 * gradient.size,
    )
    partials = graph.empty("squares of the update", rows)
    operands = (state.rows, state.columns, partials)
    for name in ("adafactor_squares", "adafactor_delta"):
        graph.dispatch(
            Kernel(name),
            (update, gradient, *operands),
            (rows, 1, 1),
            (rows, state.num_columns, stride),
            flops=5.0 * gradient.size,
        )
