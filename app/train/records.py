"""What a run reports: each update as it is read back, and how the run ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from app.gpu.busy import BusyMeter
from app.gpu.device import Readback
from app.train.control import POLL_SECONDS, RunControl
from app.train.ranks import ActiveRanks
from app.train.state import Progress


@dataclass(frozen=True)
class StepRecord:
    """What one update reports.

    Attributes:
        step: Number of the update, from 1.
        loss: Mean negative log-likelihood in nats over the predicted tokens of the step.
        num_tokens: Tokens of this run so far.
        tokens_per_second: Rate of this step.
        skipped: The loss or the gradient was not finite, so nothing was updated.
        seconds: Time of this step, pauses left out.
        ranks: Module path → how many of its ranks were in use, where a schedule changes them and
            they are not those of the step before; None otherwise.
        gpu_busy: Share of the last half second or more in which the GPU computed, 0 to 1: see
            `app.gpu.busy`. None where it was not measured, or not anew.
    """

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    num_tokens: int
    tokens_per_second: float
    skipped: bool
    seconds: float
    ranks: Mapping[str, int] | None = None
    gpu_busy: float | None = None


@dataclass(frozen=True)
class TrainResult:
    """How a run ended; `stopped_early` where a milestone ended it."""

    steps: int
    stopped: bool
    num_tokens: int
    num_skipped: int
    seconds: float
    final_loss: float
    stopped_early: bool = False


@dataclass(frozen=True)
class PendingStep:
    """A step whose report is still on its way from the GPU."""

    step: int
    learning_rate: float
    num_tokens: int
    active_ranks: ActiveRanks
    readback: Readback


class Reporter:
    """Turns read-backs into records and keeps what the result needs.

    Args:
        on_step: Hears of each update.
        control: Its pauses are left out of all times.
        start: Where the run goes on from.
        tells_ranks: Whether records say which ranks are in use.
        busy: Measures how busy the GPU is with the run.
    """

    def __init__(
        self,
        on_step: Callable[[StepRecord], None],
        control: RunControl,
        start: Progress,
        *,
        tells_ranks: bool = False,
        busy: BusyMeter | None = None,
    ) -> None:
        self._on_step = on_step
        self._control = control
        self._progress = start
        self._tells_ranks = tells_ranks
        self._busy = busy or BusyMeter(())
        self._paused_seconds = control.paused_seconds
        self._told_ranks: ActiveRanks | None = start.active_ranks or None
        self._left_out_seconds = 0.0
        self._last = self._clock()
        self._final_loss = math.nan

    @property
    def progress(self) -> Progress:
        """How far the run has come, as far as it was reported."""
        return self._progress

    @property
    def skipped_in_a_row(self) -> int:
        """How many of the last updates were skipped."""
        return self._progress.skipped_in_a_row

    def _clock(self) -> float:
        """Seconds, pauses left out."""
        return time.perf_counter() - self._control.paused_seconds - self._left_out_seconds

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """Keep what happens meanwhile out of the steps' times."""
        before = self._clock()
        try:
            yield
        finally:
            self._left_out_seconds += self._clock() - before
            self._busy.reset()

    async def add(self, pending: PendingStep) -> None:
        """Wait for one step's report and pass it on."""
        loss, grad_norm, _, skipped = np.frombuffer(await pending.readback.result(), np.float32)
        now = self._clock()
        seconds, self._last = now - self._last, now
        before = self._progress
        is_skipped = int(skipped) > before.num_skipped
        self._progress = replace(
            before,
            step=pending.step,
            num_tokens=pending.num_tokens,
            num_skipped=int(skipped),
            skipped_in_a_row=before.skipped_in_a_row + 1 if is_skipped else 0,
            seconds=before.seconds + seconds,
            active_ranks=pending.active_ranks,
        )
        self._final_loss = float(loss)
        self._on_step(
            StepRecord(
                step=pending.step,
                loss=float(loss),
                grad_norm=float(grad_norm),
                learning_rate=pending.learning_rate,
                num_tokens=pending.num_tokens,
                tokens_per_second=(pending.num_tokens - before.num_tokens) / max(seconds, 1e-9),
                skipped=is_skipped,
                seconds=seconds,
                ranks=self._changed_ranks(pending.active_ranks),
                gpu_busy=self._read_busy(),
            )
        )

    def _read_busy(self) -> float | None:
        paused = self._control.paused_seconds
        if paused - self._paused_seconds > POLL_SECONDS / 2:
            self._busy.reset()
        self._paused_seconds = paused
        return self._busy.read()

    def _changed_ranks(self, active: ActiveRanks) -> Mapping[str, int] | None:
        if not self._tells_ranks or active == self._told_ranks:
            return None
        self._told_ranks = active
        return {path: len(ranks) for path, ranks in active.items()}

    def result(self, *, stopped: bool, stopped_early: bool) -> TrainResult:
        """Return how the run ended."""
        progress = self._progress
        return TrainResult(
            steps=progress.step,
            stopped=stopped,
            num_tokens=progress.num_tokens,
            num_skipped=progress.num_skipped,
            seconds=progress.seconds,
            final_loss=self._final_loss,
            stopped_early=stopped_early,
        )
