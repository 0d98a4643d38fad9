"""Choose how operations are computed on a device, by measuring there.

Operation classes (`app.plan.tuning_space`) are tuned one after another, those that weigh most
first; each is a race of its candidates (`app.plan.tuning_race`). What wins differs from what it
replaces in the order of its sums only, or within the tolerance that its check allows.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from app.gpu.device import Device
from app.gpu.tuning import Tuning, default_tuning
from app.models.loader import Model
from app.plan.tuning_race import RUN_SECONDS, DeviceStand, Race
from app.plan.tuning_report import OperationReport, TuningReport
from app.plan.tuning_space import Operation, operations_of
from app.plan.tuning_work import Work

BUDGET_SECONDS = {True: 60.0, False: 3.0}
"""For all classes; a software adapter compiles a kernel in about a second, and no person waits
for it unasked."""

Progress = Callable[[str, float], None]
"""Called with an operation's name and the share of all operations that is done."""


async def tune(
    model: Model,
    *,
    budget_seconds: float | None = None,
    on_progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> TuningReport:
    """Find the best tuning of a model's device; the device keeps the one it has.

    Args:
        model: Loaded; its shapes and formats are what is tuned for.
        budget_seconds: What it may take; by default it depends on the adapter. A class that its
            share does not reach keeps its prior; what a class leaves over the next ones get.
        on_progress: Told of every class.
        should_stop: Asked between candidates.

    Raises:
        DeviceLostError: a candidate lost the device.
    """
    device = model.device
    prior = default_tuning(device.info)
    work = Work(model)
    operations = operations_of(work, prior)
    if budget_seconds is None:
        budget_seconds = BUDGET_SECONDS[device.info.is_software]
    reports, started = [], time.perf_counter()
    tuning, end = prior, started + budget_seconds
    try:
        for index, operation in enumerate(operations):
            if on_progress is not None:
                on_progress(operation.name, index / len(operations))
            begun = time.perf_counter()
            share = operation.share / sum(later.share for later in operations[index:])
            race = _race(device, operation, tuning, begun + (end - begun) * share, should_stop)
            tuning = (await race.run()).apply(tuning)
            reports.append(race.report(begun))
    finally:
        work.destroy()
    return TuningReport(tuple(reports), time.perf_counter() - started, should_stop())


def _race(
    device: Device,
    operation: Operation,
    tuning: Tuning,
    deadline: float,
    should_stop: Callable[[], bool] = lambda: False,
) -> Race:
    return Race(
        operation,
        tuning,
        DeviceStand(device),
        RUN_SECONDS[device.info.is_software],
        lambda: time.perf_counter() >= deadline or should_stop(),
    )


EXHAUSTIVE_ROUNDS, EXHAUSTIVE_RUNS = 3, 2


async def autotune_figures(model: Model) -> AsyncIterator[dict[str, Any]]:
    """Yield how far tuning is from the best of an exhaustive search, a line an operation class.

    Every candidate that is right is timed in turns with all others, as long as that takes.

    Yields:
        {"bench": "autotune", …}: pick_over_best and prior_over_best are times, 1 at best;
        seconds is what tuning took. The last line is of all classes, each as long as it is.
    """
    device, work = model.device, Work(model)
    tuning = default_tuning(device.info)
    report = await tune(model)
    operations = operations_of(work, tuning)
    try:
        for operation, found in zip(operations, report.operations, strict=True):
            yield await _compare(_race(device, operation, tuning, math.inf), found)
            tuning = operation.candidate(found.pick).apply(tuning)
    finally:
        work.destroy()
    yield {"bench": "autotune_total", "seconds": round(report.seconds, 3)}


async def _compare(race: Race, found: OperationReport) -> dict[str, Any]:
    """Time every candidate of a class in turns; return how the pick and the prior compare."""
    await race.try_all()
    for _ in range(EXHAUSTIVE_ROUNDS):
        for candidate in race.ranking:
            await race.time_again(candidate, EXHAUSTIVE_RUNS)
    seconds = {candidate.label: race.seconds(candidate) for candidate in race.ranking}
    best = min(seconds, key=seconds.__getitem__)
    return {
        "bench": "autotune",
        "operation": found.operation,
        "pick": found.pick,
        "prior": found.prior,
        "best": best,
        "pick_over_best": round(seconds[found.pick] / seconds[best], 4),
        "prior_over_best": round(seconds[found.prior] / seconds[best], 4),
        "candidates": len(race.operation.candidates),
        "excluded": len(race.excluded),
        "skipped": len(found.skipped),
        "seconds": round(found.seconds, 3),
    }
