"""The benchmark behind bench.html: the command line's figures, one event each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from app.gpu.device import Device
from app.io.folder import ModelSource
from app.plan.bench import BenchStoppedError, Figure, run_bench
from app.plan.bench_table import report_of, row_of
from app.plan.bench_tuning import BenchTuning
from app.plan.tuning_cache import TuningStore
from app.studio.protocol import BenchFigureEvent, BenchRequest, BenchStageEvent, Message
from app.train.control import RunControl


class BenchDesk:
    """Runs the benchmark, and stops it."""

    def __init__(
        self,
        post: Callable[[Any], None],
        open_source: Callable[[Any], Awaitable[ModelSource]],
        tunings: TuningStore | None = None,
    ) -> None:
        """Send events through `post`; `open_source` turns a request's source into bytes.

        With a store to keep `tunings` in, hardware is measured as it is trained on: tuned.
        """
        self._post = post
        self._open_source = open_source
        self._prepare = None if tunings is None else BenchTuning(tunings)
        self._control = RunControl()

    async def run(self, device: Device, request: BenchRequest) -> Message:
        """Measure what is asked for; every figure is an event as soon as it is there.

        Returns:
            Whether it was stopped, and all figures as text.

        Raises:
            StudioError: whatever keeps it from being measured.
        """
        figures: list[Figure] = []
        control = self._control = RunControl()

        def take(figure: Figure) -> None:
            figures.append(figure)
            row = row_of(figure)
            self._post(BenchFigureEvent(figure, row.section, list(row.cells), row.share, row.note))

        try:
            source = request.get("source")
            await run_bench(
                device,
                take,
                source=None if source is None else await self._open_source(source),
                shapes=request.get("shapes", ()),
                profile=request.get("profile", False),
                curves=request.get("curves", False),
                control=control,
                prepare=self._prepare,
                on_stage=lambda text, fraction: self._post(BenchStageEvent(text, fraction)),
            )
        except BenchStoppedError:
            pass
        return {"stopped": control.stopped, "report": report_of(figures)}

    def stop(self) -> None:
        """End it at the next figure, or inside a training step or an answer."""
        self._control.stop()
