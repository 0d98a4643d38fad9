"""What every part of the benchmark is given: device, peaks, and where figures go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from app.errors import StudioError
from app.gpu.device import Device
from app.messages import say
from app.models.loader import Model
from app.plan.probe import FmaPeak, PeakMeter, measure_copy
from app.plan.timing import HAS_PROCESSOR_TIME, Timing
from app.train.control import RunControl

Figure = dict[str, Any]
"""One line: {"bench": name, …}, ready for JSON."""

Stage = Callable[[str, float], None]
"""Told what is being measured, in words, and which share of all figures is there."""

COPY_BUDGET_SECONDS = 0.03


class BenchStoppedError(StudioError):
    """The person stopped the benchmark; the figures so far were reported."""


Prepare = Callable[["BenchRun", Model], Awaitable[None]]


@dataclass
class BenchRun:
    """One benchmark under way.

    Attributes:
        take: Gets each figure as soon as it is there.
        on_stage: See Stage.
        control: Stops it: at the next figure, and inside training steps and answers.
        meter: The FMA peak around each figure.
        model_name: Added to each figure while a model is measured.
        gflops: Rate of an INT4 product, by which a software adapter's share of work is chosen.
        num_expected: How many figures there will be.
        num_reported: How many there are.
        prepare: Called with each model before it is measured.
    """

    device: Device
    take: Callable[[Figure], None]
    on_stage: Stage = lambda text, fraction: None
    control: RunControl = field(default_factory=RunControl)
    model_name: str = ""
    gflops: float = 0.0
    num_expected: int = 1
    num_reported: int = 0
    prepare: Prepare | None = None
    meter: PeakMeter = field(init=False)

    def __post_init__(self) -> None:
        self.meter = PeakMeter(self.device)

    @property
    def is_software(self) -> bool:
        """Whether the adapter computes on the processor."""
        return self.device.info.is_software

    def check(self) -> None:
        """Raise BenchStoppedError where the person has stopped the benchmark."""
        if self.control.stopped:
            raise BenchStoppedError(say("the benchmark was stopped"))

    def stage(self, text: str) -> None:
        """Say what is measured next."""
        self.check()
        fraction = min(1.0, self.num_reported / self.num_expected)
        if self.model_name:
            text = say("{model}: {text}", model=self.model_name, text=text)
        self.on_stage(text, fraction)

    def report(self, name: str, /, **values: Any) -> None:
        """Hand a figure over."""
        model = {"model": self.model_name} if self.model_name else {}
        self.take({"bench": name, **model, **values})
        self.num_reported += 1
        self.check()

    async def report_rate(self, name: str, flops: float, timing: Timing, **values: Any) -> None:
        """Report GFLOP/s (median, slowest, fastest) and their share of the FMA peak."""
        peak = await self.meter.peak()
        gflops, low, high = (rate / 1e9 for rate in timing.rates(flops))
        self.report(
            name,
            **values,
            gflops=round(gflops, 3),
            gflops_low=round(low, 3),
            gflops_high=round(high, 3),
            ms=_milliseconds(timing),
            **self.shares(gflops, flops / 1e9 / max(timing.processor, 1e-6), peak),
        )

    async def report_bandwidth(
        self, name: str, size_bytes: float, timing: Timing, peak: float, **values: Any
    ) -> None:
        """Report GB/s (median, slowest, fastest) and their share of an equally large copy's.

        Args:
            name: Of the figure.
            size_bytes: What the operation has to read and write at the least.
            timing: Of one launch.
            peak: GB/s of the copy before it; the larger of that and of one after it counts.
            values: More fields.
        """
        peak = max(peak, await self.measure_copy(size_bytes))
        rate, low, high = (rate / 1e9 for rate in timing.rates(size_bytes))
        self.report(
            name,
            **values,
            gbytes_per_second=round(rate, 3),
            gbytes_per_second_low=round(low, 3),
            gbytes_per_second_high=round(high, 3),
            ms=_milliseconds(timing),
            bytes=int(size_bytes),
            copy_gbytes_per_second=round(peak, 3),
            share=round(rate / peak, 4),
        )

    async def measure_copy(self, size_bytes: float) -> float:
        """Return GB/s of a copy of as many bytes."""
        return await measure_copy(self.device, size_bytes, COPY_BUDGET_SECONDS)

    def shares(self, gflops: float, per_processor: float, peak: FmaPeak) -> Figure:
        """Return what part of the peak a rate is.

        processor_share, on software adapters, compares work a processor second instead of work a
        second: it is the same whatever else the machine does. Browsers compute in a process of
        their own and do not tell its time: there it is left out.
        """
        figure = {"peak_gflops": round(peak.gflops, 3), "share": round(gflops / peak.gflops, 4)}
        if self.is_software and HAS_PROCESSOR_TIME:
            figure["processor_share"] = round(per_processor / peak.gflops_per_processor, 4)
        return figure


def _milliseconds(timing: Timing) -> float:
    return round(1e3 * timing.seconds, 4)
