"""One training run of all weights of a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from app.config import TrainConfig
from app.gpu.budget import MemoryBudget
from app.gpu.graph import Tensor
from app.models.loader import Model
from app.text.windows import Windows
from app.train.full.convert import take_over
from app.train.full.record import FullGraphs, record_full_training
from app.train.loop import RunLoop


class FullTrainer(RunLoop):
    """One training run of all weights; from `prepare` on they are the model's own.

    Args:
        model: What is trained. Its loaded weights are gone once `prepare` has brought them into
            the form they are trained in.
        windows: As `RunLoop`; so are attributes and errors.
        config: Settings; those of the adapter mean nothing here.
        keeps_base: The loaded weights stay as they are: whoever has them still does.
        reserved_bytes: Of the budget, left for what is done between two updates.
    """

    def __init__(
        self,
        model: Model,
        windows: Windows,
        config: TrainConfig,
        *,
        keeps_base: bool = False,
        reserved_bytes: int = 0,
    ) -> None:
        super().__init__(model, windows, config)
        self._keeps_base = keeps_base
        budget = MemoryBudget.of(model.device, config.device_memory_gb)
        self._recorded = record_full_training(
            model,
            micro_batch_size=self._micro_batch_size,
            seq_len=self._seq_len,
            optimizer=config.optimizer,
            weights=config.full_weights,
            is_packed=windows.is_packed,
            seed=config.seed,
            gradient_checkpointing=config.gradient_checkpointing,
            budget_bytes=budget.memory_bytes - reserved_bytes,
            keeps_base=keeps_base,
        )

    @property
    def _graphs(self) -> FullGraphs:
        return self._recorded

    @property
    def num_parameters(self) -> int:
        """Weights that are trained."""
        return self._recorded.trained.num_parameters

    async def prepare(self, on_progress: Callable[[str, float], None] | None = None) -> None:
        """Allocate the plan, compile the kernels and bring the weights into their form.

        Until that form is there the model keeps the weights it has, whatever fails; see
        `RunLoop.prepare`.
        """
        device, graphs = self._model.device, self._recorded
        _, (conversion, *self._programs) = await self._build(graphs.graphs, on_progress)
        for tensor, values in graphs.optimizer.initial_values():
            device.write(tensor.storage.buffer, 0, values)
        await take_over(
            self._model, graphs.trained, conversion, graphs.plan, keeps_base=self._keeps_base
        )
        self._changed()

    def _changed(self) -> None:
        self._model.version += 1

    @property
    def _lasting(self) -> dict[str, Tensor]:
        return self._recorded.lasting

    def _clear_sums(self) -> None:
        device, trained = self._model.device, self._recorded.trained
        gradients = [matrix.gradient for matrix in trained.matrices]
        for tensor in (self._recorded.inputs.total, trained.gain_gradients, *gradients):
            device.write(tensor.storage.buffer, 0, np.zeros(tensor.size, np.float32))

    async def _undo_skipped(self) -> str:
        # A second copy of all weights would cost as much as they do: docs/decisions/.
        return "its weights are those of the last update that was made"
