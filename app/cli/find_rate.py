"""`find-lr`: which learning rate a run should take."""

from __future__ import annotations

import argparse
import signal

from app.cli.opening import open_model
from app.cli.output import Output
from app.cli.run_settings import read_settings
from app.errors import Problems
from app.nn.adapter import Adapter
from app.plan.full import FullMode
from app.plan.modes import RunSettings
from app.plan.planner import Planner
from app.plan.probe import measure_speed
from app.runs.rate_search import (
    check_room,
    describe_search,
    point_values,
    result_values,
    search_rate,
)
from app.train.control import RunControl
from app.train.find_learning_rate import SearchConfig
from app.train.rate_curve import RatePoint, format_rate


async def find_rate(options: argparse.Namespace) -> None:
    """Raise the learning rate step by step and tell where the loss falls steepest."""
    output, problems = Output(is_json=options.json), Problems()
    search = SearchConfig(options.search_steps, options.lowest_rate, options.highest_rate)
    with problems.gathered():
        search.check()
    if options.resume:
        problems.add("--resume goes on with a run: leave it out, or give --adapter")
    asked = await read_settings(options, problems=problems)
    model = await open_model(options, output, may_measure=True)
    if asked.config.mode == "full":
        mode = FullMode(model, keeps_base=True)
        speed = await measure_speed(model.device)
        planner = Planner(mode, model.device, lambda _: asked.dataset, speed)
        check_room(planner.assess(RunSettings(asked.lora, asked.config)), model)
    kept = None
    if asked.adapter is not None:
        kept = Adapter(model.config, model.device, asked.lora)
        kept.load(asked.adapter)

    def tell(point: RatePoint) -> None:
        output.result(
            point_values(point),
            f"step {point.step}/{search.steps}  learning rate {format_rate(point.learning_rate)}"
            f"  loss {point.loss:.4f}  change {point.change:+.4f}",
        )

    control = RunControl()
    signal.signal(signal.SIGINT, lambda *_: control.stop())
    found = await search_rate(
        model,
        asked.dataset.train,
        asked.lora,
        asked.config,
        kept=kept,
        search=search,
        control=control,
        on_progress=lambda stage, share: output.progress(f"{share:4.0%} {stage}"),
        on_point=tell,
    )
    output.result({"done": True, **result_values(found)}, describe_search(found))
