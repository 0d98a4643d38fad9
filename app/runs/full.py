"""A run that trains all weights, on the command line: weighed, confirmed, made and written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.config import TrainConfig
from app.io.checkpoint_format import Checkpoint
from app.models.export_files import write_model_dir
from app.models.loader import Model
from app.plan.full import FullMode, check_full_run
from app.plan.modes import RunSettings
from app.plan.planner import Planner
from app.plan.probe import measure_speed
from app.plan.run_input import RunInput
from app.runs.course import Course, check_course
from app.runs.identity import RunIdentity
from app.runs.native import checkpoints_in, result_values
from app.runs.parts import Listener, Parts
from app.runs.record import write_record
from app.runs.resumed import check_resumable
from app.text.dataset import Dataset
from app.text.windows import spread_windows
from app.train.control import RunControl
from app.train.evaluate import evaluate
from app.train.full.trainer import FullTrainer


async def run_full(
    model: Model,
    asked: RunInput,
    out: Path,
    *,
    is_confirmed: bool,
    on_begin: Callable[[str, int], Listener],
    control: RunControl,
    resumed: Checkpoint | None = None,
) -> dict[str, Any]:
    """Train all weights of a model and write it to a folder.

    Args:
        model: Its weights become the trained ones.
        asked: Settings, and what it learns from.
        out: Folder for the whole model, also where the run is stopped half-way; checkpoints lie
            in it too.
        is_confirmed: Begin although the device is slower than advised.
        on_begin: Told what the run takes and how many steps it has; gives who hears of them.
        control: To stop from elsewhere.
        resumed: Where the run goes on from; `model` is then as it was before the first step.

    Returns:
        What the last line of output says.

    Raises:
        OutOfGpuMemoryError: it does not fit; nothing was changed.
        ConfigError: it must be confirmed first; nothing was changed.
        CheckpointError: `resumed` is of another run; nothing was changed.
        TrainingDivergedError: see `RunLoop.run`; the model is written all the same.
    """
    config, dataset = asked.config, asked.dataset
    check_course(config, dataset)
    speed = await measure_speed(model.device)
    planner = Planner(FullMode(model), model.device, lambda settings: dataset, speed)
    plan = planner.assess(RunSettings(asked.lora, config))
    takes = check_full_run(plan, model, speed.gflops, is_confirmed=is_confirmed)
    identity = await RunIdentity.of(model, dataset, asked.lora, config)
    if resumed is not None:
        check_resumable(resumed, identity)
    reserved_bytes = plan.outline.reserved_bytes
    trainer = FullTrainer(model, dataset.train, config, reserved_bytes=reserved_bytes)
    listener = on_begin(takes, trainer.num_steps)
    before = None
    if resumed is None and not config.eval_every:  # else the course reads it
        before = await _evaluate(model, dataset, config, control)
    try:
        await trainer.prepare()
    except BaseException:
        trainer.destroy()
        raise
    course = Course(
        Parts(model, None, dataset, config, trainer, identity),
        listener,
        checkpoints_in(out) if config.checkpoint_every else None,
    )
    result = None
    try:
        if resumed is not None:
            await course.resume(resumed)
        result = await course.run(control)
    finally:
        # Whatever ends the run, what was learned so far is kept.
        trainer.destroy()
        await write_model_dir(out, model)
        write_record(out, course.record(asked.files, result))
    done: dict[str, Any] = {
        "done": True,
        "mode": "full",
        **result_values(result),
        "bytes": plan.total_bytes,
        "out": str(out),
    }
    after = None if control.stopped else await course.final_evaluation(control)
    if after is not None:
        done |= {"eval_loss": after.loss, "perplexity": after.perplexity} | course.before()
        if before is not None:
            done |= {"eval_loss_before": before[0], "perplexity_before": before[1]}
    write_record(out, course.record(asked.files, result))
    return done


async def _evaluate(
    model: Model, dataset: Dataset, config: TrainConfig, control: RunControl
) -> tuple[float, float] | None:
    """Return loss and perplexity of what was kept aside, where there is anything."""
    if dataset.evaluation is None or control.stopped:
        return None
    windows = spread_windows(dataset.evaluation, config.max_eval_tokens)
    result = await evaluate(model, None, windows, control, most_together=config.micro_batch_size)
    return (result.loss, result.perplexity) if result is not None else None
