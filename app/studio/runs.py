"""Laying out a training run and estimating it, before and without allocating it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.config import LoraConfig, TrainConfig
from app.errors import Problems
from app.models.loader import Model
from app.plan.defaults import estimate_seconds, suggest_config
from app.plan.run_input import dataset_of, merge_settings, settings_values
from app.studio.corpus import TokenizedCorpus
from app.studio.protocol import PlanEvent
from app.text.dataset import Dataset
from app.text.windows import Windows
from app.train.trainer import Trainer


@dataclass(frozen=True)
class Speed:
    """What is known of the device's speed.

    Attributes:
        gflops: measured when the model was loaded.
        tokens_per_second: of the last run, by its window and micro-batch.
    """

    gflops: float
    is_software: bool
    tokens_per_second: Mapping[tuple[int, int], float] = field(default_factory=dict)

    def measured(self, layout: RunLayout, tokens_per_second: float) -> Speed:
        """Return the same with one run's rate added."""
        rates = {**self.tokens_per_second, layout.shape: tokens_per_second}
        return replace(self, tokens_per_second=rates)


@dataclass(frozen=True)
class RunLayout:
    """Settings and windows of a run."""

    lora: LoraConfig
    config: TrainConfig
    suggested_lora: LoraConfig
    suggested: TrainConfig
    dataset: Dataset

    @property
    def windows(self) -> Windows:
        """What is trained on."""
        return self.dataset.train

    @property
    def eval_windows(self) -> Windows | None:
        """What is kept aside."""
        return self.dataset.evaluation

    @property
    def shape(self) -> tuple[int, int]:
        """Window and micro-batch, which decide how fast a run goes."""
        return self.config.max_seq_len, self.config.micro_batch_size

    def event(self, trainer: Trainer, seconds: float) -> PlanEvent:
        """Return the plan as the page shows it."""
        parts = {name: size for name, size in trainer.plan.parts().items() if size}
        return replace(
            self.problem_event(""),
            num_steps=trainer.num_steps,
            num_tokens=self.windows.num_tokens,
            num_eval_tokens=self.eval_windows.num_tokens if self.eval_windows else 0,
            tokens_per_step=self.tokens_per_step(trainer),
            seconds=seconds,
            bytes={str(name): size for name, size in parts.items()},
            total_bytes=trainer.plan.total_bytes,
            optimizer_state_bytes=trainer.optimizer_state_bytes,
            occupancy=self.dataset.occupancy,
        )

    def tokens_per_step(self, trainer: Trainer) -> int:
        """Tokens of a full step."""
        return trainer.windows_per_step * int(self.windows.lengths.max())

    def problem_event(self, problem: str) -> PlanEvent:
        """Return a plan that cannot be made, and why."""
        return PlanEvent(
            settings=settings_values(self.lora, self.config),
            suggested=settings_values(self.suggested_lora, self.suggested),
            problem=problem,
        )


def lay_out(
    model: Model,
    corpus: TokenizedCorpus,
    edits: Mapping[str, Any],
    kept_lora: LoraConfig | None,
    speed: Speed,
) -> RunLayout:
    """Return settings and windows: the suggestion for this device with the edits on top.

    Args:
        model: the loaded model.
        corpus: the whole text.
        edits: settings that the person changed, by name.
        kept_lora: the current adapter's, when the run goes on from it; it wins over edits.
        speed: of the device.

    Raises:
        ConfigError: settings out of range, a window longer than the model's context; with what
            the corpus lacks, where it does.
        CorpusError: fewer than two tokens, and nothing else is wrong.
    """
    documents = corpus.documents
    suggested = suggest_config(
        model.config,
        speed.gflops,
        documents.num_tokens,
        speed.is_software,
        documents.num_documents if corpus.by_documents else None,
    )
    suggested_lora = kept_lora or LoraConfig()
    problems = Problems()
    lora, config = merge_settings(
        suggested_lora,
        suggested,
        edits,
        problems,
        model=model.config,
        model_name=model.base_name,
    )
    if kept_lora is not None:
        lora = kept_lora
    dataset = dataset_of(documents, config, problems, by_documents=corpus.by_documents)
    problems.raise_if_any()
    assert dataset is not None
    return RunLayout(lora, config, suggested_lora, suggested, dataset)


def estimate_run_seconds(model: Model, layout: RunLayout, trainer: Trainer, speed: Speed) -> float:
    """Return how long a run will take: as measured for one like it, or from its FLOP count."""
    rate = speed.tokens_per_second.get(layout.shape)
    if rate:
        return trainer.num_steps * layout.tokens_per_step(trainer) / rate
    num_tokens = layout.windows.num_tokens
    config = replace(layout.config, steps=trainer.num_steps, eval_fraction=0.0)
    return estimate_seconds(model.config, config, num_tokens, speed.gflops).seconds
