"""When a device is tuned: once, on hardware, unless somebody wants it otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from app.errors import DeviceLostError, GpuError
from app.gpu.tuning import TuneMode, default_tuning
from app.models.loader import Model
from app.plan.autotune import Progress, tune
from app.plan.tuning_cache import TuningStore, cache_key
from app.plan.tuning_report import OperationReport, TuningReport
from app.plan.tuning_space import Operation, operations_of
from app.plan.tuning_work import Work


@dataclass(frozen=True)
class Settled:
    """How a device came by its tuning.

    Attributes:
        source: Nothing was measured, or it was earlier, or now.
        report: What was measured; None for priors.
    """

    source: Literal["priors", "cache", "measured"]
    report: TuningReport | None = None


async def settle_tuning(
    model: Model,
    store: TuningStore,
    mode: TuneMode = "auto",
    *,
    may_measure: bool = True,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Settled:
    """Give a model's device its tuning, before anything is recorded for it.

    Args:
        model: Loaded; its shapes are what is tuned for.
        store: Where tunings are kept.
        mode: `never` takes the priors. `auto` takes what was measured earlier, else measures on
            hardware; a software adapter keeps its priors, because compiling the candidates there
            takes longer than they win. `always` measures anew, there as well.
        may_measure: False where `auto` must not take the time.
        on_progress: Told of every operation class.
        should_stop: Asked between candidates; once stopped, priors are used and nothing is kept.

    Raises:
        DeviceLostError: a candidate lost the device. That is remembered: from now on `auto`
            takes the priors there.
    """
    device = model.device
    prior = device.tuning = default_tuning(device.info)
    if mode == "never":
        return Settled("priors")
    operations = operations_of(Work(model), prior)
    key = cache_key(model, operations)
    if mode == "auto":
        report = _known(await store.load(key))
        if report is not None:
            try:
                device.tuning = report.tuning(operations, prior)
                return Settled("cache", report)
            except ValueError:
                pass  # of other candidates: as good as none
        if device.info.is_software or not may_measure:
            return Settled("priors")
    try:
        report = await tune(model, on_progress=on_progress, should_stop=should_stop)
    except DeviceLostError:
        await store.save(key, _priors(operations, "the device was lost").to_json())
        raise
    except GpuError:
        return Settled("priors")
    if report.was_stopped:
        return Settled("priors")
    device.tuning = report.tuning(operations, prior)
    await store.save(key, report.to_json())
    return Settled("measured", report)


def _known(text: str | None) -> TuningReport | None:
    """Return the report that a text holds; None for one that is broken or of another version."""
    try:
        return None if text is None else TuningReport.from_json(text)
    except ValueError:
        return None


def _priors(operations: Sequence[Operation], reason: str) -> TuningReport:
    """Return a report that keeps all priors, and why."""
    reports = []
    for operation in operations:
        first, *rest = (candidate.label for candidate in operation.candidates)
        excluded = dict.fromkeys(rest, reason)
        reports.append(OperationReport(operation.name, first, first, {}, excluded, (), 0.0))
    return TuningReport(tuple(reports), 0.0)
