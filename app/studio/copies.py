"""Copies of what a run has made so far, for the day the device goes away."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from app.errors import AdapterError

EVERY_SECONDS = 10.0
"""At most so much of what a run has learnt is gone with the device."""

MAX_SHARE = 0.01
"""Of the run's time, that copies may take."""


class RunCopies:
    """Makes a copy every few seconds; more seldom where one takes long."""

    def __init__(
        self, copy: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Call `copy` to make one; `clock` counts seconds."""
        self._copy, self._clock = copy, clock
        self._due_at = clock() + EVERY_SECONDS

    def is_due(self) -> bool:
        """Return whether it is time for one."""
        return self._clock() >= self._due_at

    async def keep(self) -> None:
        """Make one."""
        begun = self._clock()
        with suppress(AdapterError):  # not finite: the trainer sees to that
            await self._copy()
        now = self._clock()
        self._due_at = now + max(EVERY_SECONDS, (now - begun) / MAX_SHARE)
