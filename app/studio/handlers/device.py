"""Requests about the device itself: what it is, whether it computes rightly, how fast it is."""

from __future__ import annotations

from typing import Any

from app.plan.tuning_cache import TuningStore
from app.studio.bench import BenchDesk
from app.studio.handlers import Handlers
from app.studio.handlers.models import OpenSource
from app.studio.protocol import Message
from app.studio.workplace import Workplace


class DeviceHandlers:
    """Describes, checks and measures the device; none of it needs a model."""

    def __init__(
        self, workplace: Workplace, open_source: OpenSource, tunings: TuningStore | None
    ) -> None:
        """The benchmark reads models through `open_source` and keeps what it tuned."""
        self._place = workplace
        self._bench = BenchDesk(workplace.post, open_source, tunings)

    @property
    def handlers(self) -> Handlers:
        """Type of request → handler."""
        return {
            "diagnose": self._diagnose,
            "self-check": self._self_check,
            "self-check-stop": self._stop_self_check,
            "device-report": self._report,
            "bench": self._run_bench,
            "bench-stop": self._stop_bench,
        }

    async def _diagnose(self, request: Any) -> Message:
        place = self._place
        device = await place.found_device()
        if not request.get("measure"):
            return place.diagnosis.describe(device)
        async with place.device_job(device):
            return await place.diagnosis.measure(device)

    async def _self_check(self, request: Any) -> Message:
        device = await self._place.found_device()
        async with self._place.device_job(device):
            return await self._place.diagnosis.check(device, request)

    async def _stop_self_check(self, _request: Message) -> None:
        self._place.diagnosis.stop()

    async def _report(self, request: Any) -> str:
        return self._place.diagnosis.report(request["about"])

    async def _run_bench(self, request: Any) -> Message:
        device = await self._place.found_device()
        async with self._place.device_job(device):
            return await self._bench.run(device, request)

    async def _stop_bench(self, _request: Message) -> None:
        self._bench.stop()
