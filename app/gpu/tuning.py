"""Workgroup shapes of the kernels: what suits a software adapter and what suits a GPU.

These are priors. A software adapter runs a workgroup's invocations in vectors of 8 on one
core and pays dearly for barriers; a GPU wants at least a subgroup's width.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.gpu.device import AdapterInfo


@dataclass(frozen=True)
class Tuning:
    """Invocations of a workgroup along columns (lanes) and along the contraction (slices)."""

    linear_lanes: int
    vector_lanes: int
    vector_slices: int
    attention_lanes: int
    hidden_slices: int
    gradient_lanes: int
    gradient_slices: int


SOFTWARE = Tuning(
    linear_lanes=16,
    vector_lanes=16,
    vector_slices=1,
    attention_lanes=8,
    hidden_slices=8,
    gradient_lanes=8,
    gradient_slices=1,
)

GPU = Tuning(
    linear_lanes=32,
    vector_lanes=8,
    vector_slices=16,
    attention_lanes=32,
    hidden_slices=32,
    gradient_lanes=8,
    gradient_slices=8,
)


def default_tuning(info: AdapterInfo) -> Tuning:
    """Return the prior for an adapter."""
    return SOFTWARE if info.is_software else GPU
