"""A person's wish to stop or pause long work."""

from __future__ import annotations

import asyncio
import time

POLL_SECONDS = 0.05


class RunControl:
    """Plain flags that the device polls between submits.

    Attributes:
        paused_seconds: How long work has waited in all, to be left out of its rates.
    """

    def __init__(self) -> None:
        self.paused_seconds = 0.0
        self._stopped = False
        self._paused = False

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    @property
    def paused(self) -> bool:
        """Whether work waits for `resume`."""
        return self._paused

    def stop(self) -> None:
        """End the work at the next submit."""
        self._stopped = True

    def pause(self) -> None:
        """Hold the work at the next submit."""
        self._paused = True

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False

    async def wait_while_paused(self) -> None:
        """Return at once, or when the person resumes or stops."""
        started = time.perf_counter()
        while self._paused and not self._stopped:
            await asyncio.sleep(POLL_SECONDS)
        self.paused_seconds += time.perf_counter() - started
