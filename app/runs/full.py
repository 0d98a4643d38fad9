"""A run that trains all weights, on the command line: weighed, confirmed, made and written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.config import LoraConfig, TrainConfig
from app.models.export_files import write_model_dir
from app.models.loader import Model
from app.plan.full import FullMode, check_full_run
from app.plan.modes import RunSettings
from app.plan.planner import Planner
from app.plan.probe import measure_speed
from app.text.dataset import Dataset
from app.train.control import RunControl
from app.train.evaluate import evaluate
from app.train.full.trainer import FullTrainer
from app.train.records import StepRecord


async def run_full(
    model: Model,
    dataset: Dataset,
    config: TrainConfig,
    out: Path,
    *,
    is_confirmed: bool,
    on_begin: Callable[[str, int], Callable[[StepRecord], None]],
    control: RunControl,
) -> dict[str, Any]:
    """Train all weights of a model and write it to a folder.

    Args:
        model: Its weights become the trained ones.
        dataset: What it learns from.
        config: Settings.
        out: Folder for the whole model, also where the run is stopped half-way.
        is_confirmed: Begin although the device is slower than advised.
        on_begin: Told what the run takes and how many steps it has; gives who hears of them.
        control: To stop from elsewhere.

    Returns:
        What the last line of output says.

    Raises:
        OutOfGpuMemoryError: it does not fit; nothing was changed.
        ConfigError: it must be confirmed first; nothing was changed.
        TrainingDivergedError: see `RunLoop.run`; the model is written all the same.
    """
    speed = await measure_speed(model.device)
    planner = Planner(FullMode(model), model.device, lambda settings: dataset, speed)
    plan = planner.assess(RunSettings(LoraConfig(), config))
    takes = check_full_run(plan, model, speed.gflops, is_confirmed=is_confirmed)
    trainer = FullTrainer(model, dataset.train, config)
    on_step = on_begin(takes, trainer.num_steps)
    before = await _evaluate(model, dataset, control)
    try:
        await trainer.prepare()
    except BaseException:
        trainer.destroy()
        raise
    try:
        result = await trainer.run(on_step, control)
    finally:
        # Whatever ends the run, what was learned so far is kept.
        trainer.destroy()
        await write_model_dir(out, model)
    done: dict[str, Any] = {
        "done": True,
        "mode": "full",
        "steps": result.steps,
        "loss": result.final_loss,
        "num_tokens": result.num_tokens,
        "seconds": result.seconds,
        "tokens_per_second": result.num_tokens / max(result.seconds, 1e-9),
        "skipped_steps": result.num_skipped,
        "stopped": result.stopped,
        "bytes": plan.total_bytes,
        "out": str(out),
    }
    after = await _evaluate(model, dataset, control)
    if before is not None and after is not None:
        done |= {"eval_loss_before": before[0], "perplexity_before": before[1]}
        done |= {"eval_loss": after[0], "perplexity": after[1]}
    return done


async def _evaluate(
    model: Model, dataset: Dataset, control: RunControl
) -> tuple[float, float] | None:
    """Return loss and perplexity of what was kept aside, where there is anything."""
    if dataset.evaluation is None or control.stopped:
        return None
    result = await evaluate(model, None, dataset.evaluation, control)
    return (result.loss, result.perplexity) if result is not None else None
