"""Whether a step keeps its activations or computes them again in the backward."""

from __future__ import annotations

from typing import Protocol, TypeVar

from app.config import Checkpointing
from app.errors import OutOfGpuMemoryError
from app.gpu.budget import MemoryBudget
from app.gpu.device import Device
from app.gpu.memory import MemoryPlan, check_limits


class Recorded(Protocol):
    """A recorded step, as far as its memory goes."""

    @property
    def plan(self) -> MemoryPlan:
        """All memory of its graphs."""
        ...


R = TypeVar("R", bound=Recorded, covariant=True)


class Record(Protocol[R]):
    """Records a step."""

    def __call__(self, *, is_checkpointing: bool) -> R:
        """Record it, keeping activations or recomputing them."""
        ...


def keep_or_recompute(
    record: Record[R],
    device: Device,
    gradient_checkpointing: Checkpointing,
    budget_bytes: int | None,
    *,
    must_fit: bool,
) -> R:
    """Return a step, recorded so that it fits.

    Where it is left to "auto", activations are kept where the plan stays within the budget and the
    device's limits, and recomputed layer by layer in the backward where it does not.

    Args:
        record: Records the step either way.
        device: Whose limits count.
        gradient_checkpointing: Whether to recompute.
        budget_bytes: Most bytes a run may take before it recomputes; None is what is known of the
            device: see `MemoryBudget`.
        must_fit: Refuse what the device's limits do not allow; else it is only recorded.

    Raises:
        OutOfGpuMemoryError: a buffer is larger than the device allows, recomputing or not.
    """
    if budget_bytes is None:
        budget_bytes = MemoryBudget.of(device).memory_bytes
    graphs = None
    if gradient_checkpointing != "on":
        graphs = record(is_checkpointing=False)
        fits = graphs.plan.total_bytes <= budget_bytes and _fits(graphs.plan, device)
        if not fits and gradient_checkpointing == "auto":
            graphs = None
    graphs = graphs or record(is_checkpointing=True)
    if must_fit:
        check_limits(graphs.plan, device)
    return graphs


def _fits(plan: MemoryPlan, device: Device) -> bool:
    try:
        check_limits(plan, device)
    except OutOfGpuMemoryError:
        return False
    return True
