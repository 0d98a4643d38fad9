"""One training run of an adapter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from app.config import TrainConfig
from app.gpu.budget import MemoryBudget
from app.gpu.graph import Tensor
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.text.windows import Windows
from app.train.loop import RunLoop
from app.train.ranks import RankSchedule
from app.train.state import Progress, lasting_tensors
from app.train.step import TrainingGraphs, record_training


class Trainer(RunLoop):
    """One training run of an adapter; it always holds the result so far.

    Args:
        model: Frozen base.
        adapter: What is trained.
        windows: As `RunLoop`; so are config, attributes and errors.
        config: Settings.
        reserved_bytes: Of the budget, left for what is done between two updates.
    """

    def __init__(
        self,
        model: Model,
        adapter: Adapter,
        windows: Windows,
        config: TrainConfig,
        *,
        reserved_bytes: int = 0,
    ) -> None:
        super().__init__(model, windows, config)
        self._adapter = adapter
        self._ranks = RankSchedule(config.rank_schedule, adapter.lora.rank, self.num_steps)
        budget = MemoryBudget.of(model.device, config.device_memory_gb)
        self._recorded = record_training(
            model,
            adapter,
            micro_batch_size=self._micro_batch_size,
            seq_len=self._seq_len,
            optimizer=config.optimizer,
            lora_plus_ratio=config.lora_plus_ratio,
            is_masked=not self._ranks.is_fixed,
            is_packed=windows.is_packed,
            gradient_checkpointing=config.gradient_checkpointing,
            budget_bytes=budget.memory_bytes - reserved_bytes,
        )

    @property
    def _graphs(self) -> TrainingGraphs:
        return self._recorded

    @property
    def optimizer_state_bytes(self) -> int:
        """Bytes of the optimizer's own state, a part of what the plan calls optimizer."""
        return self._graphs.optimizer.state_bytes

    @property
    def _tells_ranks(self) -> bool:
        return not self._ranks.is_fixed

    def _changed(self) -> None:
        self._adapter.version += 1

    async def prepare(self, on_progress: Callable[[str, float], None] | None = None) -> None:
        """Allocate the plan and compile the kernels; see `RunLoop.prepare`."""
        device, graphs = self._model.device, self._graphs
        allocation, self._programs = await self._build(
            [graphs.micro_batch, graphs.update], on_progress
        )
        for tensor, values in graphs.initial_values():
            device.write(allocation.buffer_of(tensor.storage), 0, values)
        tensors = await self._adapter.tensors()
        self.active_ranks = self._ranks.first(tensors)
        self._write_ranks()
        # Before the first update the adapter that was given is the last good one.
        flat = self._adapter.layout.pack(tensors)
        device.write(graphs.optimizer.common.last_good.storage.buffer, 0, flat)

    def _go_on_from(self, progress: Progress) -> None:
        super()._go_on_from(progress)
        if progress.active_ranks:
            self.active_ranks = progress.active_ranks
        self._write_ranks()

    @property
    def _lasting(self) -> dict[str, Tensor]:
        return lasting_tensors(self._graphs.update, {self._graphs.gradients.storage})

    def _write_ranks(self) -> None:
        masks = self._graphs.masks
        if masks is not None:
            masks.write(self._model.device, self._adapter.layout, self.active_ranks)

    async def _change_ranks(self, step: int) -> None:
        if self._ranks.is_fixed or not self._ranks.changes_before(step):
            return
        tensors = await self._adapter.tensors()
        self.active_ranks = self._ranks.next(step, self.active_ranks, tensors)
        self._write_ranks()

    def _clear_sums(self) -> None:
        """Forget gradients and loss of a step that an earlier `run` was stopped in."""
        device, graphs = self._model.device, self._graphs
        for tensor in (graphs.gradients, graphs.inputs.total):
            device.write(tensor.storage.buffer, 0, np.zeros(tensor.size, np.float32))

    async def _undo_skipped(self) -> str:
        last_good = self._graphs.common.last_good
        data = await self._model.device.read(last_good.storage.buffer, 0, last_good.size_bytes)
        self._adapter.write(np.frombuffer(data, np.float32))
        return "the adapter of the last good step kept"
