"""The step loop of a training run, whatever it trains."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from app.config import TrainConfig
from app.errors import TrainingDivergedError
from app.gpu.busy import BusyMeter
from app.gpu.device import Program
from app.gpu.graph import Graph
from app.gpu.memory import Allocation, MemoryPlan, build_programs
from app.messages import say
from app.models.loader import Model
from app.text.curriculum import order_windows
from app.text.windows import Windows, batches, pad_batch
from app.train.control import RunControl
from app.train.kept_run import KeptRun
from app.train.ranks import ActiveRanks
from app.train.records import PendingStep, Reporter, StepRecord, TrainResult
from app.train.schedule import count_steps, learning_rate_at
from app.train.state import Milestones
from app.train.step import check_context
from app.train.step_graphs import StepGraphs

MAX_SKIPPED_IN_A_ROW = 3


class RunLoop(KeptRun):
    """One training run over some windows, whatever it trains.

    Args:
        model: On the device.
        windows: Visited in the curriculum's order, epoch after epoch.
        config: Settings.

    Attributes:
        plan: Every byte the run will hold; computed here, allocated in `prepare`.
        num_steps: Updates of the run.
        active_ranks: Module path → indices of the ranks in use, once prepared.
        learning_rate_at: Step → learning rate; the settings' schedule unless replaced.

    Raises:
        ConfigError: settings out of range, or windows longer than the model's context.
        OutOfGpuMemoryError: the run does not fit the device; nothing was allocated.
    """

    def __init__(self, model: Model, windows: Windows, config: TrainConfig) -> None:
        super().__init__(model)
        self._windows = windows
        self._config = config.check()
        check_context(model, windows)
        self._seq_len = int(windows.lengths.max())
        self._micro_batch_size = min(config.micro_batch_size, windows.num_windows)
        self.active_ranks: ActiveRanks = {}
        self.learning_rate_at = self._scheduled_rate
        self._allocation: Allocation | None = None
        self._programs: list[Program] = []

    @property
    @abstractmethod
    def _graphs(self) -> StepGraphs:
        """The recorded step."""

    @abstractmethod
    async def prepare(self, on_progress: Callable[[str, float], None] | None = None) -> None:
        """Allocate the plan and compile the kernels.

        Args:
            on_progress: Called with what is being done and the share of it that is done.

        Raises:
            OutOfGpuMemoryError: the device refused the allocation.
            GpuError: a kernel did not compile.
        """

    async def _build(
        self, graphs: Sequence[Graph], on_progress: Callable[[str, float], None] | None
    ) -> tuple[Allocation, list[Program]]:
        """Allocate the plan of these graphs and compile their kernels; `destroy` frees it."""

        def compiled(done: int, total: int) -> None:
            if on_progress:
                on_progress("compiling", done / total)

        self._allocation = allocation = Allocation.create(self._model.device, self.plan)
        return allocation, await build_programs(self._model.device, graphs, allocation, compiled)

    @property
    def _tells_ranks(self) -> bool:
        """Whether the ranks in use change during the run."""
        return False

    @abstractmethod
    def _clear_sums(self) -> None:
        """Forget gradients and loss of a step that an earlier `run` was stopped in."""

    @abstractmethod
    async def _undo_skipped(self) -> str:
        """Bring back what gave the last finite loss, where it is kept; say what the run leaves."""

    async def _change_ranks(self, step: int) -> None:
        """Change the ranks in use where this step begins with others."""
        return

    @property
    def plan(self) -> MemoryPlan:
        """Every byte the run will hold."""
        return self._graphs.plan

    @property
    def is_checkpointing(self) -> bool:
        """Whether activations are recomputed to fit."""
        return self._graphs.is_checkpointing

    @property
    def flops_per_micro_batch(self) -> float:
        """Estimated floating-point operations of one micro-batch, forward and backward."""
        return self._graphs.micro_batch.flops

    @property
    def num_dispatches(self) -> int:
        """Dispatches of one step without gradient accumulation."""
        return len(self._graphs.micro_batch.nodes) + len(self._graphs.update.nodes)

    @property
    def windows_per_step(self) -> int:
        """Windows that one update sees."""
        return self._micro_batch_size * self._config.gradient_accumulation_steps

    @property
    def num_steps(self) -> int:
        """Updates of the run: as set, or as many as the epochs take."""
        return count_steps(self._config, self._windows.num_windows, self.windows_per_step)

    def steps_of_epoch(self) -> list[NDArray[np.int64]]:
        """Return the windows of each step of an epoch, in order."""
        order = order_windows(self._windows, self._config.curriculum, self._config.seed)
        return batches(order, self.windows_per_step)

    async def run(
        self,
        on_step: Callable[[StepRecord], None],
        control: RunControl | None = None,
        milestones: Milestones | None = None,
    ) -> TrainResult:
        """Make all updates, or until stopped.

        On a GPU the loss of a step is read while the next one runs. The adapter holds every
        update that was made, whatever ends the run; where the last steps were skipped, it goes
        back to the parameters of the last finite step.

        Args:
            on_step: Called after each update with what it reported.
            control: To stop or pause from elsewhere.
            milestones: What else is to happen between two updates; its time is not a step's.

        Raises:
            TrainingDivergedError: three steps in a row were not finite; the adapter is back at
                the parameters of the last finite step.
        """
        control = control or RunControl()
        device = self._model.device
        depth = 1 if device.info.is_software else 2
        pending: deque[PendingStep] = deque()
        report = self._report = Reporter(
            on_step,
            control,
            self._start,
            tells_ranks=self._tells_ranks,
            busy=BusyMeter(self._programs),
        )
        num_tokens, goes_on = self._start.num_tokens, True
        self._clear_sums()
        steps = range(self._start.step + 1, self.num_steps + 1)
        for step, indices in zip(steps, self._visit(self._start.step), strict=False):
            while control.paused and pending:
                await self._take_report(pending.popleft())  # else it would be told after the pause
            await control.wait_while_paused()
            await self._change_ranks(step)
            if control.stopped or not await self._accumulate(indices, control):
                break
            num_tokens += int(self._windows.lengths[indices].sum())
            learning_rate = self._start_update(step)
            await device.run(self._programs[1])
            self._changed()
            buffer = self._graphs.common.report.storage.buffer
            staged = device.stage(buffer, 0, 16)
            pending.append(PendingStep(step, learning_rate, num_tokens, self.active_ranks, staged))
            is_milestone = milestones is not None and milestones.is_due(step)
            while len(pending) >= (1 if is_milestone else depth):
                await self._take_report(pending.popleft())
            if milestones is not None and is_milestone:
                with report.left_out():
                    goes_on = await milestones.visit(step)
                if not goes_on:
                    break
        while pending:
            await self._take_report(pending.popleft())
        if report.skipped_in_a_row:
            # The parameters of a skipped step may themselves be why its loss was not finite.
            await self._undo_skipped()
        return report.result(stopped=control.stopped, stopped_early=not goes_on)

    def destroy(self) -> None:
        """Free everything but the model and the adapter."""
        if self._allocation is not None:
            self._allocation.destroy()
            self._allocation = None

    def _visit(self, steps_made: int) -> Iterator[NDArray[np.int64]]:
        """Yield the windows of each step that is to come, in order, epoch after epoch."""
        epoch = self.steps_of_epoch()
        yield from epoch[steps_made % len(epoch) :]
        while True:
            yield from epoch

    async def _accumulate(self, indices: NDArray[np.int64], control: RunControl) -> bool:
        """Run the micro-batches of one step; False where it was stopped half-way."""
        device, inputs = self._model.device, self._graphs.inputs
        normalizer = 1.0 / int(self._windows.predicted[indices].sum())
        for part in batches(indices, self._micro_batch_size):
            batch = pad_batch(self._windows, part, self._micro_batch_size, self._seq_len)
            inputs.write(device, batch, normalizer)
            if not await device.run(self._programs[0], control):
                return False
        return True

    def _scheduled_rate(self, step: int) -> float:
        config = self._config
        return learning_rate_at(
            step,
            num_steps=self.num_steps,
            peak=config.learning_rate,
            schedule=config.schedule,
            warmup_steps=config.warmup_steps,
        )

    def _start_update(self, step: int) -> float:
        config, learning_rate = self._config, self.learning_rate_at(step)
        settings = np.array(
            [learning_rate, config.max_grad_norm, config.weight_decay, 0], np.float32
        )
        self._model.device.write(self._graphs.common.step.storage.buffer, 0, settings)
        return learning_rate

    async def _take_report(self, pending: PendingStep) -> None:
        """Report a step; end the run where it was one bad step in a row too many."""
        report = self._report
        assert report is not None
        await report.add(pending)
        if report.skipped_in_a_row < MAX_SKIPPED_IN_A_ROW:
            return
        left = await self._undo_skipped()
        raise TrainingDivergedError(
            say(
                "the loss was not a finite number for {max_skipped_in_a_row} steps in a row "
                "(last: step {step}), so the run was stopped and {left}: lower the learning "
                "rate and train again",
                max_skipped_in_a_row=MAX_SKIPPED_IN_A_ROW,
                step=pending.step,
                left=left,
            )
        )
