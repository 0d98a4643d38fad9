"""Where to cut a program into submits, learnt from how long its submits took."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.gpu.device import MAX_SUBMIT_MS, Dispatch, Readback, split_points

MAX_IN_FLIGHT = 2
"""Submits that may not have finished: one runs, the next is ready."""

MAX_SPANS = 4096
"""Kept for whoever asks; the oldest are forgotten."""

MIN_TELLING_MS = 10.0
"""Shorter programs are mostly overhead and say nothing about the device's rate."""

MIN_FLOPS_PER_MS = 1e5

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


class PacedProgram:
    """Dispatches in replay order, as far as cutting them into submits goes.

    Attributes:
        times: First dispatch, end and milliseconds of submits that finished lately.
        num_submits: How many there were.
        is_timed: Whether they are timed for `app.gpu.busy`, on the device's clock if it can.
        spans: Number, begin and end of those that were, all in one unit of one clock.
    """

    def __init__(self, dispatches: Sequence[Dispatch], flops_per_ms: float) -> None:
        """Start from what the dispatches compute and touch, and the device's rate.

        As a first guess a byte takes as long as an operation: some kernels only move memory.
        """
        self.num_dispatches = len(dispatches)
        self.flops = sum(dispatch.flops for dispatch in dispatches)
        work = [d.flops + sum(b.size_bytes for b in d.bindings) for d in dispatches]
        self.pacer = Pacer(work, flops_per_ms)
        self.times: list[tuple[float, float, float]] = []
        self.num_submits = 0
        self.is_timed = False
        self.spans: deque[tuple[float, float, float]] = deque(maxlen=MAX_SPANS)

    def learn(self, known_flops_per_ms: float) -> float:
        """Take the times; return the device's operations a millisecond by this program.

        What was known stays where there is nothing new, or the program is too short to tell.
        """
        if not self.times:
            return known_flops_per_ms
        self.pacer.learn(np.array(self.times, np.float64))
        self.times.clear()
        if self.pacer.expected_ms <= MIN_TELLING_MS:
            return known_flops_per_ms
        return max(MIN_FLOPS_PER_MS, self.flops / self.pacer.expected_ms)


@dataclass(frozen=True)
class _Submit:
    program: PacedProgram
    start: int
    end: int
    submitted: float
    fence: Readback
    number: int


class SubmitQueue:
    """Submits that may not have finished, for a host whose fences can only be waited for."""

    def __init__(self) -> None:
        self._submits: deque[_Submit] = deque()
        self._last_done = 0.0

    def __len__(self) -> int:
        return len(self._submits)

    def add(
        self, program: PacedProgram, start: int, end: int, fence: Readback, number: int = 0
    ) -> None:
        """Note that dispatches start … end were submitted just now, and `fence` behind them.

        Where the submit has a number, the fence's bytes are its begin and end: two u64.
        """
        self._submits.append(_Submit(program, start, end, time.perf_counter(), fence, number))

    async def room(self) -> None:
        """Wait until another submit may be made."""
        while len(self._submits) >= MAX_IN_FLIGHT:
            await self._finish_oldest()

    async def drain(self) -> None:
        """Wait until all have run."""
        while self._submits:
            await self._finish_oldest()

    async def _finish_oldest(self) -> None:
        submit = self._submits.popleft()
        data = await submit.fence.result()
        if submit.number:
            begin, end = np.frombuffer(data, np.uint64).tolist()
            if begin <= end:
                submit.program.spans.append((submit.number, begin, end))
        now = time.perf_counter()
        # The queue was busy with the submit before it until that was done.
        elapsed_ms = (now - max(submit.submitted, self._last_done)) * 1e3
        submit.program.times.append((submit.start, submit.end, elapsed_ms))
        self._last_done = now
