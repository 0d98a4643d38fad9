"""A person's wish to stop or pause long work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

POLL_SECONDS = 0.05


class RunControl:
    """Plain flags that the device polls between submits.

    Args:
        on_held: Called when work has come to where it waits for `resume`.

    Attributes:
        paused_seconds: How long work has waited in all, to be left out of its rates.
    """

    def __init__(self, on_held: Callable[[], None] | None = None) -> None:
        self.paused_seconds = 0.0
        self._on_held = on_held
        self._stopped = False
        self._paused = False
        self._waits = False

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    @property
    def paused(self) -> bool:
        """Whether work is to wait for `resume`, once what is under way has ended."""
        return self._paused

    @property
    def held(self) -> bool:
        """Whether work does wait: nothing more is computed or reported until `resume`."""
        return self._waits and self._paused

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
        if not self._paused or self._stopped:
            return
        started = time.perf_counter()
        self._waits = True
        if self._on_held is not None:
            self._on_held()
        try:
            while self._paused and not self._stopped:
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._waits = False
            self.paused_seconds += time.perf_counter() - started
