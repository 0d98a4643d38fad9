"""What a run reports: each update as it is read back, and how the run ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.gpu.device import Readback
from app.train.control import RunControl


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
    """

    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    num_tokens: int
    tokens_per_second: float
    skipped: bool
    seconds: float


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    steps: int
    stopped: bool
    num_tokens: int
    num_skipped: int
    seconds: float
    final_loss: float


@dataclass(frozen=True)
class PendingStep:
    """A step whose report is still on its way from the GPU."""

    step: int
    learning_rate: float
    num_tokens: int
    readback: Readback


class Reporter:
    """Turns read-backs into records and keeps what the result needs."""

    def __init__(self, on_step: Callable[[StepRecord], None], control: RunControl) -> None:
        self._on_step = on_step
        self._control = control
        self._started = self._last = self._clock()
        self._num_skipped = 0
        self._record: StepRecord | None = None
        self.skipped_in_a_row = 0

    def _clock(self) -> float:
        """Seconds, pauses left out."""
        return time.perf_counter() - self._control.paused_seconds

    async def add(self, pending: PendingStep) -> None:
        """Wait for one step's report and pass it on."""
        loss, grad_norm, _, skipped = np.frombuffer(await pending.readback.result(), np.float32)
        now = self._clock()
        seconds, self._last = now - self._last, now
        is_skipped = int(skipped) > self._num_skipped
        self._num_skipped = int(skipped)
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if is_skipped else 0
        previous = self._record.num_tokens if self._record else 0
        self._record = StepRecord(
            step=pending.step,
            loss=float(loss),
            grad_norm=float(grad_norm),
            learning_rate=pending.learning_rate,
            num_tokens=pending.num_tokens,
            tokens_per_second=(pending.num_tokens - previous) / max(seconds, 1e-9),
            skipped=is_skipped,
            seconds=seconds,
        )
        self._on_step(self._record)

    def result(self, *, stopped: bool) -> TrainResult:
        """Return how the run ended."""
        record = self._record
        return TrainResult(
            steps=record.step if record else 0,
            stopped=stopped,
            num_tokens=record.num_tokens if record else 0,
            num_skipped=self._num_skipped,
            seconds=self._clock() - self._started,
            final_loss=record.loss if record else math.nan,
        )
