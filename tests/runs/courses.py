"""Short runs with all that accompanies them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from app.config import LoraConfig, TrainConfig
from app.io.checkpoint_format import Checkpoint
from app.io.checkpoint_store import CheckpointStore
from app.nn.adapter import Adapter
from app.runs.course import Course
from app.runs.history import Evaluation, Sample
from app.runs.identity import RunIdentity
from app.runs.parts import Listener, Parts
from app.text.dataset import CorpusFile, Dataset
from app.text.windows import split_eval
from app.train.control import RunControl
from app.train.records import StepRecord, TrainResult
from app.train.trainer import Trainer
from tests.conftest import run
from tests.nn.engine import Tiny, read_f32
from tests.train.runs import windows_of

LORA = LoraConfig(rank=32, alpha=32)
"""With rank 32 some matrices are large enough for adam8bit to code their moments."""

STEPS, CUT = 8, 4
CONFIG = TrainConfig(
    max_seq_len=12,
    micro_batch_size=2,
    steps=STEPS,
    learning_rate=1e-2,
    schedule="cosine",
    warmup_steps=2,
    eval_every=2,
    sample_every=4,
    checkpoint_every=CUT,
)
FILES = (CorpusFile("secret.txt", "the keeper's secret"),)


@dataclass
class Heard:
    """Everything a course told, and how it ended."""

    steps: list[StepRecord] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    result: TrainResult | None = None
    final: Evaluation | None = None
    parameters: bytes = b""
    record: dict[str, Any] = field(default_factory=dict)

    def listener(self, control: RunControl, stop_after: int = 0) -> Listener:
        """Return what hears a run, and stops it after a step."""

        def on_step(record: StepRecord) -> None:
            self.steps.append(record)
            self.order.append(f"step {record.step}")
            if record.step == stop_after:
                control.stop()

        def on_evaluation(item: Evaluation) -> None:
            self.order.append(f"evaluation {item.step}")
            self.evaluations.append(item)

        def on_sample(item: Sample) -> None:
            self.order.append(f"sample {item.step}")
            self.samples.append(item)

        return Listener(
            on_step,
            on_evaluation,
            on_sample,
            on_checkpoint=self.checkpoints.append,
            on_warning=self.warnings.append,
        )

    def told(self) -> list[tuple[Any, ...]]:
        """Return all of the steps that is computed."""
        return [
            (r.step, r.loss, r.grad_norm, r.learning_rate, r.num_tokens, r.skipped, r.ranks)
            for r in self.steps
        ]


def dataset_of(tiny: Tiny, num_tokens: int = 110, seed: int = 5) -> Dataset:
    """Return windows of random tokens, two of them kept aside."""
    train, evaluation = split_eval(windows_of(tiny, num_tokens, 12, seed), 0.2)
    return Dataset(train, evaluation, 1, 0, 0)


def follow(
    tiny: Tiny,
    config: TrainConfig = CONFIG,
    *,
    store: CheckpointStore | None = None,
    resumed: Checkpoint | None = None,
    seed: int = 0,
    dataset: Dataset | None = None,
    stop_after: int = 0,
    is_fresh: bool = False,
    is_judged: bool = True,
    with_course: Callable[[Course], None] = lambda course: None,
) -> Heard:
    """Make a run of objects of its own, from the start or from a checkpoint."""
    heard, control = Heard(), RunControl()

    listener = heard.listener(control, stop_after)
    dataset = dataset or dataset_of(tiny)
    adapter = Adapter.create(tiny.config, tiny.device, LORA, seed)
    trainer = Trainer(tiny.model, adapter, dataset.train, config)

    async def go() -> None:
        await trainer.prepare()
        identity = await RunIdentity.of(tiny.model, dataset, LORA, config)
        parts = Parts(tiny.model, adapter, dataset, config, trainer, identity, is_fresh)
        course = Course(parts, listener, store)
        with_course(course)
        if resumed is not None:
            await course.resume(resumed)
        heard.result = await course.run(control)
        if is_judged and not control.stopped:
            heard.final = await course.final_evaluation(control)
        heard.record = course.record(FILES, heard.result)

    try:
        run(go())
        heard.parameters = read_f32(tiny.device, adapter.parameters).view(np.uint32).tobytes()
    finally:
        trainer.destroy()
        adapter.destroy()
    return heard


def changed(**settings: Any) -> TrainConfig:
    """Return the settings with some changed."""
    return replace(CONFIG, **settings)
