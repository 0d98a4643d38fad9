"""A few steps of the real run, whose result is thrown away: what an estimate may stand on."""

from __future__ import annotations

from dataclasses import replace

from app.io.adapter import AdapterTensors
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.plan.mode_plan import ModePlan
from app.plan.speed import CALIBRATION_STEPS, Speed
from app.train.records import StepRecord
from app.train.trainer import Trainer


async def calibrate(
    model: Model, plan: ModePlan, speed: Speed, tensors: AdapterTensors | None = None
) -> Speed:
    """Return the speed with this very run's first steps added.

    Args:
        model: What is trained.
        plan: The run.
        speed: What is known so far.
        tensors: Of the adapter that the run starts from; else from a fresh one.

    Raises:
        OutOfGpuMemoryError: the run does not fit the device.
    """
    settings = plan.settings
    adapter = Adapter.create(model.config, model.device, settings.lora, settings.train.seed)
    records: list[StepRecord] = []
    trainer: Trainer | None = None
    try:
        if tensors is not None:
            adapter.load(tensors)
        config = replace(settings.train, steps=CALIBRATION_STEPS)
        trainer = Trainer(
            model,
            adapter,
            plan.dataset.train,
            config,
            reserved_bytes=plan.outline.reserved_bytes,
        )
        await trainer.prepare()
        await trainer.run(records.append)
    finally:
        if trainer is not None:
            trainer.destroy()
        adapter.destroy()
    return speed.measured(plan.work, [(record.step, record.seconds) for record in records])
