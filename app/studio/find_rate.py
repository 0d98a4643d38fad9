"""A search for a learning rate, told to the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.models.loader import Model
from app.nn.adapter import Adapter
from app.runs.rate_search import (
    FULL_RATES,
    check_room,
    point_values,
    result_values,
    search_rate,
)
from app.studio.protocol import Message, RatePointEvent, RateStageEvent
from app.studio.runs import RunLayout
from app.train.control import RunControl
from app.train.find_learning_rate import SearchConfig
from app.train.rate_curve import RatePoint


async def find_rate(
    model: Model,
    layout: RunLayout,
    kept: Adapter | None,
    control: RunControl,
    post: Callable[[Any], None],
) -> Message:
    """Search for the learning rate of a run that was laid out; see `search_rate`."""
    search = SearchConfig()
    if layout.config.mode == "full":
        check_room(layout.plan, model)
        low, high = FULL_RATES
        search = SearchConfig(lowest_rate=low, highest_rate=high)

    def tell(point: RatePoint) -> None:
        post(RatePointEvent(**point_values(point), num_steps=search.steps))

    found = await search_rate(
        model,
        layout.windows,
        layout.lora,
        layout.config,
        kept=kept,
        search=search,
        control=control,
        on_progress=lambda stage, part: post(RateStageEvent(stage, part)),
        on_point=tell,
    )
    return result_values(found)
