"""How often to keep a run whose checkpoints are large."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

SHARE = 0.05
"""Of a run's time, what writing may cost."""

LEAST_SECONDS = 60.0
"""Between two checkpoints: a minute's work is soon done again, and disks wear."""

ASSUMED_RATE = 50e6
"""Bytes a second, until one was written: the slowest of disks and of hashing at once."""


@dataclass(frozen=True)
class CheckpointPace:
    """Says after how many steps a checkpoint is due, from what steps and writing take.

    Attributes:
        size_bytes: Of a checkpoint.
        step_seconds: Of a step, estimated or measured.
        write_seconds: Of a checkpoint, None before the first.
        assumed_rate: What it is reckoned from then, in bytes a second.
    """

    size_bytes: int
    step_seconds: float
    write_seconds: float | None = None
    assumed_rate: float = ASSUMED_RATE

    @property
    def every(self) -> int:
        """Steps from one to the next: they take a minute, or 20 times what writing takes."""
        writing = self.write_seconds
        if writing is None:
            writing = self.size_bytes / self.assumed_rate
        seconds = max(LEAST_SECONDS, writing * (1 - SHARE) / SHARE)
        return max(1, math.ceil(seconds / max(self.step_seconds, 1e-3)))

    def with_step(self, seconds: float) -> CheckpointPace:
        """Return it with a step's time as it was measured."""
        return replace(self, step_seconds=seconds)

    def with_write(self, seconds: float) -> CheckpointPace:
        """Return it with the time that a checkpoint took."""
        return replace(self, write_seconds=seconds)
