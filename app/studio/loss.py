"""A device that went away: what that ended, and asking for it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from app.errors import DeviceLostError, NoAdapterError
from app.gpu.device import Device
from app.messages import say, whole
from app.studio.board import Job
from app.studio.protocol import DeviceLostEvent

RETRY_AFTER_SECONDS = (0.5, 2.0)
"""A driver that restarts has no adapter for a moment."""

JOBS: tuple[Job, ...] = ("training", "loading", "checking", "generating")
"""Of several that were under way, the first tells most."""


@dataclass(frozen=True)
class Loss:
    """What went with a device.

    Attributes:
        reason: As the device told it.
        job: What was under way, or nothing.
        had_tuned: A model that was trained whole, and never downloaded, lay there.
    """

    reason: str
    job: Job | None
    had_tuned: bool

    @classmethod
    def of(cls, error: DeviceLostError, jobs: Collection[Job], *, had_tuned: bool) -> Loss:
        """Note a loss while some jobs were under way."""
        job = next((job for job in JOBS if job in jobs), None)
        return cls(error.sentence, job, had_tuned)

    def event(self) -> DeviceLostEvent:
        """Return it as the page hears of it."""
        gone = []
        if self.had_tuned:
            gone.append(whole(say("the model that was trained whole lay on the GPU and is gone")))
        return DeviceLostEvent(whole(self.reason), self.job or "", gone)


async def reopened(open_device: Callable[[], Awaitable[Device]]) -> Device:
    """Open a device after one was lost.

    Raises:
        NoAdapterError: there is none even after a while.
    """
    for seconds in RETRY_AFTER_SECONDS:
        try:
            return await open_device()
        except NoAdapterError:
            await asyncio.sleep(seconds)
    try:
        return await open_device()
    except NoAdapterError as error:
        raise NoAdapterError(
            say(
                "the GPU was lost and the browser gives no other one: Chrome refuses a page that "
                "lost it twice for two minutes, or until the page is reloaded"
            )
        ) from error
