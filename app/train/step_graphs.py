"""What the step loop needs of a recorded step, whatever is trained."""

from __future__ import annotations

from typing import Protocol

from app.gpu.graph import Graph
from app.gpu.memory import MemoryPlan
from app.ops.update import UpdateState
from app.train.step import BatchInputs


class StepGraphs(Protocol):
    """What the loop needs of a recorded step, whatever is trained."""

    @property
    def micro_batch(self) -> Graph:
        """Adds to the gradients and to the loss."""
        ...

    @property
    def update(self) -> Graph:
        """Uses the gradients and clears them."""
        ...

    @property
    def inputs(self) -> BatchInputs:
        """What the host writes before a micro-batch."""
        ...

    @property
    def common(self) -> UpdateState:
        """What all optimizers keep."""
        ...

    @property
    def plan(self) -> MemoryPlan:
        """All memory of the graphs."""
        ...

    @property
    def is_checkpointing(self) -> bool:
        """Whether activations are recomputed."""
        ...
