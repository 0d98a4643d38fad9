"""How long a run takes: from a probe of the device, then from steps that were really made."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from app.plan.work import ModeName, count_micro_batches

CALIBRATION_STEPS = 3
"""Real steps after which an estimate stands on them: the middle one of three counts, so that the
first, which pays for what drivers put off until first use, does not."""

CALIBRATED_SPREAD = 0.1
"""What is promised of an estimate that stands on real steps; its range is at least that wide."""

STEP_EFFICIENCY = 0.6
"""A training step reaches about this share of the rate of a bare INT4 product: attention, norms
and the adapter's small products count less than they cost (docs/benchmarks.md)."""

LOWEST_EFFICIENCY, HIGHEST_EFFICIENCY = 0.35, 0.9
"""Range over devices and windows, for the range of an estimate."""

Basis = Literal["probe", "similar", "calibration"]
"""What an estimate stands on: the probe, a run of another shape, a run of this very shape."""


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds a run is expected to take, the range it should lie in, and what that stands on."""

    seconds: float
    low: float
    high: float
    basis: Basis = "probe"


@dataclass(frozen=True)
class RunShape:
    """What decides how long a micro-batch takes; equal shapes take equal times."""

    mode: ModeName
    seq_len: int
    micro_batch_size: int
    gradient_accumulation_steps: int
    num_trained: int
    is_checkpointing: bool


@dataclass(frozen=True)
class RunWork:
    """The work of a run.

    Attributes:
        shape: Of its micro-batches.
        flops: Of one micro-batch: see `app.plan.work`.
        num_dispatches: Of one micro-batch.
        update_bytes: Memory that could be copied while an update runs, where that counts.
        num_windows: Of an epoch.
        num_steps: Of the whole run.
        beside_flops: Of the evaluations and samples in the whole run.
        beside_seconds: What those take at least, however fast the device is.
    """

    shape: RunShape
    flops: float
    num_dispatches: int
    update_bytes: float
    num_windows: int
    num_steps: int
    beside_flops: float = 0.0
    beside_seconds: float = 0.0

    def passes(self, num_steps: int) -> float:
        """Return how often the first steps read the text, of which the last may be cut short."""
        each = self.shape.micro_batch_size * self.shape.gradient_accumulation_steps
        epochs, rest = divmod(num_steps, -(-self.num_windows // each))
        return epochs + rest * each / self.num_windows

    def micro_batches(self, num_steps: int) -> int:
        """Return the micro-batches of the first steps."""
        shape = self.shape
        return count_micro_batches(
            self.num_windows, shape.micro_batch_size, shape.gradient_accumulation_steps, num_steps
        )


@dataclass(frozen=True)
class Calibration:
    """Seconds of a micro-batch in a real run, its share of the update included.

    Attributes:
        flops: Of the micro-batch.
    """

    seconds: float
    low: float
    high: float
    flops: float


@dataclass(frozen=True)
class Speed:
    """What is known of a device's speed.

    Attributes:
        gflops: 1e9 operations a second of an INT4 product, from `measure_gflops`.
        is_software: The device is a software adapter.
        dispatch_seconds: Of a launch that computes next to nothing.
        gbytes_per_second: Memory read plus written, for updates.
        runs: What real runs did, the latest last.
    """

    gflops: float
    is_software: bool
    dispatch_seconds: float = 0.0
    gbytes_per_second: float = 0.0
    runs: Mapping[RunShape, Calibration] = field(default_factory=dict)

    def launch_seconds(self, num_dispatches: int, read_bytes: int = 0) -> float:
        """Return what launches take at least, and reading so much memory on the way."""
        seconds = num_dispatches * self.dispatch_seconds
        if read_bytes and self.gbytes_per_second:
            seconds += read_bytes / (self.gbytes_per_second * 1e9)
        return seconds

    def measured(self, work: RunWork, steps: Sequence[tuple[int, float]]) -> Speed:
        """Return the same with some steps of a run added: their numbers and seconds."""
        if not steps:
            return self
        each = sorted(
            seconds / (work.micro_batches(step) - work.micro_batches(step - 1))
            for step, seconds in steps
        )
        # A tenth at either end, the first step among them, tells of other things than the work.
        tail = max(1, len(each) // 10) if len(each) >= CALIBRATION_STEPS else 0
        middle = statistics.median(each)
        low = min(each[max(tail - 1, 0)], (1 - CALIBRATED_SPREAD) * middle)
        high = max(each[-1 - tail], (1 + CALIBRATED_SPREAD) * middle)
        found = Calibration(middle, low, high, work.flops)
        runs = {shape: one for shape, one in self.runs.items() if shape != work.shape}
        return replace(self, runs={**runs, work.shape: found})

    def estimate(self, work: RunWork) -> TimeEstimate:
        """Return how long a run takes."""
        count = work.micro_batches(work.num_steps)
        found = self.runs.get(work.shape)
        if found is not None:
            # What accompanies a run is taken to be as fast for its work as the run itself.
            units = count + work.beside_flops / found.flops
            low, middle, high = (
                units * each + work.beside_seconds
                for each in (found.low, found.seconds, found.high)
            )
            return TimeEstimate(middle, low, high, "calibration")
        similar = [one for shape, one in self.runs.items() if shape.mode == work.shape.mode]
        basis: Basis = "similar" if similar else "probe"
        if similar:
            flops = count * work.flops + work.beside_flops
            seconds = flops * similar[-1].seconds / similar[-1].flops + work.beside_seconds
        else:
            rate = max(self.gflops, 1e-6) * 1e9 * STEP_EFFICIENCY
            seconds = count * (work.flops / rate + work.num_dispatches * self.dispatch_seconds)
            seconds += work.beside_flops / rate + work.beside_seconds
            if work.update_bytes and self.gbytes_per_second:
                seconds += work.num_steps * work.update_bytes / (self.gbytes_per_second * 1e9)
        low, high = STEP_EFFICIENCY / HIGHEST_EFFICIENCY, STEP_EFFICIENCY / LOWEST_EFFICIENCY
        return TimeEstimate(seconds, seconds * low, seconds * high, basis)
