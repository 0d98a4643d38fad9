"""All ways to train a model over a corpus, side by side."""

from __future__ import annotations

from typing import Any

from app.errors import ConfigError
from app.models.loader import Model
from app.plan.advice import FREE_SETTINGS
from app.plan.calibrate import calibrate
from app.plan.full import ADVISED_GFLOPS, FullMode
from app.plan.mode_plan import ModePlan
from app.plan.modes import AdapterMode, RunSettings
from app.plan.planner import Planner, preferred
from app.plan.probe import measure_speed
from app.plan.report import UnavailableMode, report_of
from app.plan.run_input import RunInput
from app.text.dataset import Dataset, make_dataset


async def overview(
    model: Model, asked: RunInput, *, is_calibrated: bool = False
) -> list[dict[str, Any]]:
    """Return what `train` would take with exactly these settings, one report a mode.

    Args:
        model: The loaded model.
        asked: What `train` is asked for.
        is_calibrated: Make a few steps first, for a better estimate; their result is dropped.
    """
    speed = await measure_speed(model.device)

    def cut(settings: RunSettings) -> Dataset:
        return make_dataset(
            asked.documents,
            by_documents=asked.by_documents,
            max_seq_len=settings.train.max_seq_len,
            packing=settings.train.packing,
            eval_fraction=settings.train.eval_fraction,
            seed=settings.train.seed,
        )

    kept = frozenset(("rank", "alpha")) if asked.adapter is not None else frozenset[str]()
    planner = Planner(AdapterMode(model), model.device, cut, speed, kept)
    settings = RunSettings(asked.lora, asked.config)
    plan = planner.plan(settings, FREE_SETTINGS)
    if is_calibrated and not plan.is_refused:
        planner.speed = await calibrate(model, plan, speed, asked.adapter)
        plan = planner.plan(settings, FREE_SETTINGS)
    full = _full(Planner(FullMode(model), model.device, cut, speed), settings)
    # What has to be confirmed first is never chosen for a person.
    is_fast = speed.gflops >= ADVISED_GFLOPS
    fastest = preferred([plan, full] if is_fast and isinstance(full, ModePlan) else [plan])
    return [
        report_of(
            item,
            model.device,
            planner.speed,
            is_selected=item is fastest and fastest.is_feasible,
        )
        for item in (plan, full)
    ]


def _full(planner: Planner, settings: RunSettings) -> ModePlan | UnavailableMode:
    """Return the plan of training all weights, or why there is none."""
    try:
        return planner.plan(settings, FREE_SETTINGS)
    except ConfigError as error:
        return UnavailableMode("full", error.sentence)
