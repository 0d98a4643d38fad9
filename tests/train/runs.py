"""Short runs of the trainer, and the same runs in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.config import LoraConfig, TrainConfig
from app.nn.adapter import Adapter
from app.reference.adamw import adamw, clip_scale
from app.text.windows import Windows, batches, make_windows, pad_batch
from app.train.control import RunControl
from app.train.records import StepRecord, TrainResult
from app.train.schedule import learning_rate_at
from app.train.trainer import Trainer
from tests.conftest import run
from tests.nn.engine import Tensors, Tiny, random_tokens

ReferenceTensors = dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
OnStep = Callable[[StepRecord], None]


@dataclass
class Run:
    """What a run reported and how it ended."""

    records: list[StepRecord] = field(default_factory=list)
    result: TrainResult | None = None

    @property
    def losses(self) -> list[float]:
        return [record.loss for record in self.records]

    @property
    def steps(self) -> list[int]:
        return [record.step for record in self.records]


def windows_of(tiny: Tiny, num_tokens: int, max_seq_len: int, seed: int = 5) -> Windows:
    """Return windows of random tokens."""
    return make_windows(random_tokens(tiny.config, num_tokens, seed=seed), max_seq_len)


def train(
    tiny: Tiny,
    adapter: Adapter,
    windows: Windows,
    config: TrainConfig,
    *,
    control: RunControl | None = None,
    on_step: OnStep = lambda record: None,
    into: Run | None = None,
) -> Run:
    """Prepare, run and take down one training run; `into` is filled even where it raises."""
    made = into if into is not None else Run()
    trainer = Trainer(tiny.model, adapter, windows, config)

    def hear(record: StepRecord) -> None:
        made.records.append(record)
        on_step(record)

    try:
        run(trainer.prepare())
        made.result = run(trainer.run(hear, control))
    finally:
        trainer.destroy()
    return made


@dataclass(frozen=True)
class ReferenceStep:
    """One update in float64."""

    loss: float
    grad_norm: float
    learning_rate: float
    num_tokens: int


def reference_run(
    tiny: Tiny,
    tensors: Tensors,
    lora: LoraConfig,
    windows: Windows,
    config: TrainConfig,
    num_steps: int,
) -> tuple[list[ReferenceStep], ReferenceTensors]:
    """Do in float64 what the trainer is documented to do; one batch a step, whatever its size."""
    state = {
        path: [(np.asarray(part, np.float64), 0.0 * part, 0.0 * part) for part in pair]
        for path, pair in tensors.items()
    }
    made: list[ReferenceStep] = []
    per_step = config.micro_batch_size * config.gradient_accumulation_steps
    order = batches(np.arange(windows.num_windows), per_step)
    num_tokens = 0
    for step in range(1, num_steps + 1):
        indices = order[(step - 1) % len(order)]
        batch = pad_batch(windows, indices, len(indices), windows.max_seq_len)
        tokens, targets = batch.tokens, batch.targets
        adapter = {path: (a[0], b[0]) for path, (a, b) in state.items()}
        loss, gradients = tiny.reference.loss_and_gradients(tokens, targets, adapter, lora)
        flat = [part for pair in gradients.values() for part in pair]
        norm = float(np.sqrt(sum(np.sum(part**2) for part in flat)))
        rate = learning_rate_at(
            step,
            num_steps=num_steps,
            peak=config.learning_rate,
            schedule=config.schedule,
            warmup_steps=config.warmup_steps,
        )
        num_tokens += int(windows.lengths[indices].sum())
        made.append(ReferenceStep(loss, norm, rate, num_tokens))
        scale = clip_scale(flat, config.max_grad_norm)
        for path, parts in state.items():
            state[path] = [
                adamw(
                    part[0],
                    gradient,
                    part[1],
                    part[2],
                    step=step,
                    learning_rate=rate,
                    weight_decay=config.weight_decay,
                    clip_scale=scale,
                )
                for part, gradient in zip(parts, gradients[path], strict=True)
            ]
    return made, {path: (a[0], b[0]) for path, (a, b) in state.items()}
