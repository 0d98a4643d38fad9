"""Which share of the time a GPU computes, from when its submits began and ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.gpu.device import Program
from app.gpu.pacing import PacedProgram

MIN_SECONDS = 0.5
"""A reading is over at least so long: browsers round the clock to 0.1 ms."""


class BusyMeter:
    """Share of the time in which the GPU worked on some programs.

    busy share = Σ length of the union of the submits / (end of the last − begin of the first),
    both on the clock that the submits were timed with, which is the device's own where it has
    `timestamp-query`. A browser without it times from the submit until the promise that it is
    done; natively there is nothing to read then.
    """

    def __init__(self, programs: Sequence[Program]) -> None:
        """Have the submits of these programs timed from now on."""
        self._programs = [item for item in programs if isinstance(item, PacedProgram)]
        for program in self._programs:
            program.is_timed = True
            program.spans.clear()
        self._last_end: float | None = None
        self.reset()

    def reset(self) -> None:
        """Count no submit that was made so far, nor the time up to the next one.

        For after a pause, or after other work on the same device.
        """
        self._ignored = [program.num_submits for program in self._programs]
        self._last_end = None
        self._start_over()

    def _start_over(self) -> None:
        self._busy = self._whole = 0.0
        self._since = time.perf_counter()

    def read(self) -> float | None:
        """Return the share since the last reading, 0 to 1; None until there is a new one."""
        spans: list[tuple[float, float]] = []
        for program, ignored in zip(self._programs, self._ignored, strict=True):
            spans += [(begin, end) for index, begin, end in program.spans if index > ignored]
            program.spans.clear()
        for begin, end in sorted(spans):
            last_end = begin if self._last_end is None else self._last_end
            self._busy += max(0.0, end - max(begin, last_end))
            self._whole += max(0.0, end - last_end)
            self._last_end = max(last_end, end)
        if self._whole <= 0.0 or time.perf_counter() - self._since < MIN_SECONDS:
            return None
        share = self._busy / self._whole
        self._start_over()
        return share
