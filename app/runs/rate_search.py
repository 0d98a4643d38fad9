"""A search for a learning rate on either host: with what the run would start from, and told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from app.config import LoraConfig, TrainConfig
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.plan.full import check_full_run
from app.plan.mode_plan import ModePlan
from app.text.windows import Windows
from app.train.control import RunControl
from app.train.find_learning_rate import RateSearch, SearchConfig, find_learning_rate
from app.train.hardware_rank import choose_rank
from app.train.rate_curve import RatePoint, format_rate

FULL_RATES = (1e-6, 0.1)
"""Where a rate for all weights is looked for: they take smaller ones than an adapter does."""


def check_room(plan: ModePlan, model: Model) -> None:
    """Refuse a search over all weights that has no room beside the model.

    Args:
        plan: The run, with the loaded weights beside the trained ones.
        model: The base.

    Raises:
        OutOfGpuMemoryError: names what it needs by part and what there is.
    """
    check_full_run(plan, model, 0.0, is_confirmed=True)


async def search_rate(
    model: Model,
    windows: Windows,
    lora: LoraConfig,
    config: TrainConfig,
    *,
    kept: Adapter | None = None,
    search: SearchConfig | None = None,
    control: RunControl | None = None,
    on_progress: Callable[[str, float], None] | None = None,
    on_point: Callable[[RatePoint], None] | None = None,
) -> RateSearch:
    """Search for the learning rate of a run, with what it would start from.

    That is an adapter, or a copy of all weights: whether there is room for one says `check_room`.

    Args:
        model: Base.
        windows: What the run would learn from.
        lora: Of a fresh adapter, where none is `kept`.
        config: Settings of the run.
        kept: An adapter that the run would go on from; it is read and nothing else.
        search: See `find_learning_rate`, also for all further arguments and errors.
        control: Likewise.
        on_progress: Likewise.
        on_point: Likewise.
    """
    adapter = kept
    if adapter is None and config.mode == "adapter":
        if config.rank_schedule == "hardware":
            lora = await choose_rank(model, lora, windows, config, on_progress)
        adapter = Adapter.create(model.config, model.device, lora, config.seed)
    try:
        return await find_learning_rate(
            model,
            adapter,
            windows,
            config,
            search,
            control,
            on_progress=on_progress,
            on_point=on_point,
        )
    finally:
        if adapter is not None and adapter is not kept:
            adapter.destroy()


def point_values(point: RatePoint) -> dict[str, Any]:
    """Return one step as JSON has it."""
    return {**asdict(point), "change": point.change}


def result_values(search: RateSearch) -> dict[str, Any]:
    """Return what a search has come to as JSON has it."""
    curve = search.curve
    return {
        "suggestion": curve.suggestion,
        "range": None if curve.low is None else [curve.low, curve.high],
        "reason": curve.reason,
        "fall": curve.fall,
        "scatter": curve.scatter,
        "smoothed": list(curve.smoothed),
        "steps": len(search.points),
        "num_tokens": search.points[-1].num_tokens if search.points else 0,
        "seconds": sum(point.seconds for point in search.points),
        "stopped": search.stopped,
        "diverged": search.diverged,
    }


def describe_search(search: RateSearch) -> str:
    """Return what a search has come to in words."""
    curve = search.curve
    if curve.suggestion is None or curve.low is None or curve.high is None:
        return f"nothing to suggest: {curve.reason}"
    return (
        f"learning rate {format_rate(curve.suggestion)}: there the loss fell steepest; it fell "
        f"from {format_rate(curve.low)} on and was least at {format_rate(curve.high)}, by "
        f"{curve.fall:.2g} nats"
    )
