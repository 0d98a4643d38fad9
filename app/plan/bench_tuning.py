"""Tuning before the benchmark, so that it measures what a run would use; how good its picks are."""

from __future__ import annotations

from dataclasses import dataclass

from app.gpu.tuning import TuneMode
from app.messages import say
from app.models.loader import Model
from app.plan.autotune import autotune_figures
from app.plan.bench_run import BenchRun
from app.plan.tuning_cache import TuningStore
from app.plan.tuning_policy import settle_tuning


@dataclass(frozen=True)
class BenchTuning:
    """Tunes a model's device before it is measured.

    Attributes:
        store: Where tunings are kept.
        mode: When to measure.
        is_exhaustive: Also time every candidate of every class, as long as that takes.
    """

    store: TuningStore
    mode: TuneMode = "auto"
    is_exhaustive: bool = False

    async def __call__(self, run: BenchRun, model: Model) -> None:
        """Report {"bench": "tuning", …}: where it is from, and each class's variant."""
        settled = await settle_tuning(
            model,
            self.store,
            self.mode,
            on_progress=lambda name, share: run.stage(say("tuning {operation}", operation=name)),
            should_stop=lambda: run.control.stopped,
        )
        report = settled.report
        run.report(
            "tuning",
            source=settled.source,
            variants=model.device.tuning.describe(),
            **({} if report is None else {"seconds": round(report.seconds, 3)}),
        )
        if self.is_exhaustive:
            run.stage(say("every candidate of every operation"))
            async for figure in autotune_figures(model):
                run.report(str(figure.pop("bench")), **figure)
