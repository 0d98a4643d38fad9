"""The optimizers to choose from, behind one recorder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from app.config import OptimizerName
from app.gpu.graph import Graph, Tensor
from app.gpu.memory import padded
from app.nn.adapter import AdapterLayout
from app.ops.adafactor import AdafactorState, adafactor
from app.ops.adam8bit import Adam8bitState, adam8bit
from app.ops.adamw import AdamwState, adamw
from app.ops.update import UpdateState, prepare_update

State = AdamwState | Adam8bitState | AdafactorState


@dataclass(frozen=True, eq=False)
class Optimizer:
    """An optimizer's state on the GPU and how its update is recorded.

    Attributes:
        common: What all optimizers keep.
        state: Moments, codes or means.
    """

    common: UpdateState
    state: State

    @classmethod
    def create(
        cls, name: OptimizerName, layout: AdapterLayout, lora_plus_ratio: float = 1.0
    ) -> Optimizer:
        """Return the state for an adapter's parameters; buffers come with the memory plan.

        Args:
            name: Which optimizer.
            layout: Where the matrices lie.
            lora_plus_ratio: Learning rate of B over that of A (arXiv:2402.12354).
        """
        matrices = [
            (at, rows, columns, lora_plus_ratio if is_b else 1.0)
            for at, rows, columns, is_b in layout.matrices()
        ]
        tensors = [(at, rows * columns, rate) for at, rows, columns, rate in matrices]
        state: State
        if name == "adam8bit":
            state = Adam8bitState.create(tensors)
        elif name == "adafactor":
            state = AdafactorState.create(matrices)
        else:
            state = AdamwState.create(layout.size, [t for t in tensors if t[2] != 1.0])
        return cls(UpdateState.create(layout.size), state)

    def record(self, graph: Graph, parameters: Tensor, gradients: Tensor, loss: Tensor) -> None:
        """Record one update: three dispatches; gradients and loss are cleared for the next.

        An update whose loss or gradient norm is not finite is skipped and counted; otherwise
        the parameters that gave the finite loss are kept before they change.

        Args:
            graph: Where to record.
            parameters: (size,), f32, updated.
            gradients: (size,), f32.
            loss: (1,), f32, the step's mean loss.
        """
        update = prepare_update(graph, gradients, loss, self.common)
        operands = (graph, update, parameters, gradients, self.common.last_good)
        match self.state:
            case AdamwState():
                adamw(*operands, self.state)
            case Adam8bitState():
                adam8bit(*operands, self.state)
            case AdafactorState():
                adafactor(*operands, self.state)

    @property
    def state_bytes(self) -> int:
        """Bytes of the moments, codes or means and their tables."""
        parts = vars(self.state).values()
        return sum(padded(part.storage.size_bytes) for part in parts if isinstance(part, Tensor))

    def initial_values(self) -> list[tuple[Tensor, npt.NDArray[Any]]]:
        """Return what must be written before the first update."""
        return self.state.initial_values()
