"""Set elements of an array to zero by a mask of bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.gpu.graph import Graph, Tensor, ceil_div, grid_1d, persistent
from app.gpu.kernels import Kernel


def new_mask(label: str, size: int) -> Tensor:
    """Return a mask for `size` elements, (⌈size / 32⌉,) u32; all zero until written."""
    return persistent(label, (ceil_div(size, 32),), "optimizer", "u32")


def pack_bits(is_kept: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """Return the words of a mask: element i is bit i mod 32 of word i / 32."""
    packed = np.packbits(is_kept, bitorder="little")
    return np.pad(packed, (0, -packed.size % 4)).view("<u4")


def mask(graph: Graph, values: Tensor, bits: Tensor) -> None:
    """Record values ← values where the mask has a one, else 0.

    Args:
        graph: Where to record.
        values: (size,), f32, in place.
        bits: From `new_mask`.

    Reference: app.reference.mask.
    """
    graph.dispatch(
        Kernel("mask"),
        (bits, values),
        grid_1d(values.size, 64),
        (values.size,),
        flops=float(values.size),
    )
