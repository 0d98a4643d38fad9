"""Where to cut a program into submits, learnt from how long its submits took."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from app.gpu.device import MAX_SUBMIT_MS, split_points

DISPATCH_MS = 0.005
"""What a dispatch costs at the least, whatever its work."""


class Pacer:
    """The submits of one program.

    FLOP counts say little about a kernel that only moves memory: each dispatch keeps an estimate
    of its own, in milliseconds, that is scaled by what its submit was measured to take.
    """

    def __init__(self, flops: Sequence[float], flops_per_ms: float) -> None:
        """Start from the work of each dispatch and the device's rate."""
        self._milliseconds = np.asarray(flops, dtype=np.float64) / flops_per_ms + DISPATCH_MS
        self._cut()

    def _cut(self) -> None:
        self.ends = split_points(self._milliseconds.tolist(), 1.0)
        self.expected_ms = float(self._milliseconds.sum())

    def learn(self, times: npt.NDArray[np.float64]) -> None:
        """Take measured submits: rows of (first dispatch, end, milliseconds).

        One measurement moves an estimate by at most a factor of four, because a busy machine
        now and then takes far longer for no reason of the program's.
        """
        for start, end, measured_ms in times:
            part = self._milliseconds[int(start) : int(end)]
            ratio = max(measured_ms, DISPATCH_MS * part.size) / part.sum()
            part *= math.sqrt(min(max(ratio, 1 / 16), 16.0))
        expected_ms = float(self._milliseconds.sum())
        too_long = any(time > 1.5 * MAX_SUBMIT_MS for _, _, time in times)
        too_many = len(self.ends) > 1 and expected_ms < 0.7 * self.expected_ms
        if too_long or too_many:
            self._cut()
