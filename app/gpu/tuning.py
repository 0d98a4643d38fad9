"""Workgroup shapes of the kernels: what suits a software adapter and what suits a GPU.

These are priors. A software adapter runs a workgroup's invocations in vectors of 8 on one
core and pays dearly for barriers; a GPU wants at least a subgroup's width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from app.gpu.device import AdapterInfo


@dataclass(frozen=True)
class Tuning:
    """Invocations of a workgroup along columns (lanes) and along the contraction (slices).

    Attributes:
        wide_attention: Several queries or keys an invocation, where a load costs more than a spill.
        rows: Prelude by which a product's invocations get the rows that they all need.
        head_flops: Work of one product with the head: rows of logits come in such chunks.
        prefill_rows: How many tokens of a prompt are computed together, falling; the smallest
            size that holds what is left is taken, down to the one of a new token.
    """

    rows: Literal["rows_direct", "rows_subgroup"]
    linear_lanes: int
    vector_lanes: int
    vector_slices: int
    attention_lanes: int
    wide_attention: bool
    norm_lanes: int
    hidden_slices: int
    gradient_lanes: int
    gradient_slices: int
    head_flops: float
    prefill_rows: tuple[int, ...]

    def head_rows(self, hidden_size: int, vocab_size: int) -> int:
        """Return how many rows of logits to make at a time, a multiple of 8.

        The same on every run of a device: a chunk's loss is one term of the sum, so a chunk
        that followed the measured speed would change the last bit of a loss.
        """
        rows = int(self.head_flops / (2.0 * hidden_size * vocab_size)) // 8 * 8
        return max(8, min(rows, 512))


SOFTWARE = Tuning(
    rows="rows_direct",
    linear_lanes=8,
    vector_lanes=8,
    vector_slices=1,
    attention_lanes=8,
    wide_attention=True,
    norm_lanes=8,
    hidden_slices=8,
    gradient_lanes=8,
    gradient_slices=1,
    head_flops=1e9,
    prefill_rows=(32, 8, 1),
)

SOFTWARE_SUBGROUPS = replace(SOFTWARE, rows="rows_subgroup")
"""Where subgroups are known to have room for eight rows: on lavapipe a load costs every invocation
its own, even of one address, and sharing them makes products 1.7 times as fast."""

GPU = Tuning(
    rows="rows_direct",
    linear_lanes=32,
    vector_lanes=8,
    vector_slices=16,
    attention_lanes=32,
    wide_attention=False,
    norm_lanes=64,
    hidden_slices=32,
    gradient_lanes=8,
    gradient_slices=8,
    head_flops=8e9,
    prefill_rows=(128, 16, 1),
)


def default_tuning(info: AdapterInfo) -> Tuning:
    """Return the prior for an adapter."""
    if not info.is_software:
        return GPU
    return SOFTWARE_SUBGROUPS if info.subgroup_size >= 8 else SOFTWARE
