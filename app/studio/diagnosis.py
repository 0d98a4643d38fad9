"""What the device is and measures, and whether it computes every operation rightly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from app import __version__
from app.checks.selfcheck import CheckProgress, CheckResult, run_selfcheck
from app.gpu.device import Device
from app.plan.device_report import check_summary, report_of
from app.plan.probe import describe_device, measure_rates
from app.studio.protocol import Message, SelfCheckEvent, SelfCheckRequest, to_message
from app.train.control import RunControl


class DiagnosisDesk:
    """Describes, measures and checks the device; remembers what was found, for the report."""

    def __init__(self, post: Callable[[Any], None]) -> None:
        """Send events through `post`."""
        self._post = post
        self._control = RunControl()
        self._at_work = asyncio.Lock()
        self._facts: Message | None = None
        self._peaks: dict[str, float] | None = None
        self._results: list[CheckResult] | None = None
        self._num_cases = 0

    def forget(self) -> None:
        """Drop what was measured and checked: another device may come."""
        self._peaks, self._results, self._num_cases = None, None, 0

    def describe(self, device: Device) -> Message:
        """Return what `describe_device` tells, and `peaks`, None until they are measured."""
        self._facts = {**describe_device(device), "peaks": self._peaks}
        return self._facts

    async def measure(self, device: Device) -> Message:
        """Measure the device anew; return what `describe` does."""
        async with self._at_work:
            self._peaks = await measure_rates(device)
        return self.describe(device)

    async def check(self, device: Device, request: SelfCheckRequest) -> Message:
        """Check every operation; each is an event as soon as it is begun.

        Returns:
            The `results`, whether it was `stopped`, of how many cases (`num_cases`), and a
            `summary`.
        """
        self._control, self._results, self._num_cases = RunControl(), [], 0

        def tell(progress: CheckProgress) -> None:
            assert self._results is not None
            if progress.last is not None:
                self._results.append(progress.last)
            self._num_cases = progress.num_cases
            self._post(SelfCheckEvent(**vars(progress)))

        async with self._at_work:
            results = await run_selfcheck(
                device, tell, is_quick=request.get("quick", False), control=self._control
            )
        self._results = results
        return {
            "results": [to_message(result) for result in results],
            "stopped": self._control.stopped,
            "num_cases": self._num_cases,
            "summary": check_summary(results, self._num_cases),
        }

    def stop(self) -> None:
        """End a check after the operation that it is at."""
        self._control.stop()

    async def give_way(self) -> None:
        """Stop a check, and wait for what is measured: a second or two."""
        self.stop()
        async with self._at_work:
            pass

    def report(self, about: Mapping[str, Any]) -> str:
        """Return the report, with what the page tells about itself and the browser."""
        rows = [("LoRA Lab", __version__), *((name, str(value)) for name, value in about.items())]
        return report_of(rows, self._facts, self._results, self._num_cases)
