"""A run laid out, and what a person should know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.plan.modes import Outline, RunSettings
from app.plan.speed import RunWork, TimeEstimate
from app.plan.work import ModeName
from app.text.dataset import Dataset


@dataclass(frozen=True)
class Advice:
    """A sentence, and the settings that remedy it where some do.

    Attributes:
        text: What is the matter.
        remedy: What the button says; '' where no setting helps.
        settings: Name → value, to be put over the person's own.
    """

    text: str
    remedy: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModePlan:
    """A run laid out, and what to think of it.

    Attributes:
        mode: What is trained.
        settings: Those it would run with.
        dataset: What it would learn from.
        outline: A recorded step.
        misfit: Why it does not fit the device, '' where it does.
        is_refused: A buffer is larger than the device allows: the run cannot be made at all.
        num_steps: Updates.
        work: What decides the time.
        time: How long it takes.
        notes: What was changed to make it fit or faster, a sentence each.
        warnings: What the person should know, each with its remedy.
    """

    mode: ModeName
    settings: RunSettings
    dataset: Dataset
    outline: Outline
    misfit: str
    is_refused: bool
    num_steps: int
    work: RunWork
    time: TimeEstimate
    notes: tuple[str, ...] = ()
    warnings: tuple[Advice, ...] = ()

    @property
    def is_feasible(self) -> bool:
        """Whether every buffer, and all together, fit what is known of the device."""
        return not self.misfit

    @property
    def total_bytes(self) -> int:
        """Most bytes in use at once during the run."""
        return self.outline.total_bytes

    @property
    def step_seconds(self) -> float:
        """How long a step takes."""
        return self.time.seconds / self.num_steps

    @property
    def passes(self) -> float:
        """How often the text is read: windows visited over the windows there are."""
        return self.work.passes(self.num_steps)

    @property
    def tokens_per_step(self) -> int:
        """Room of a full step, padding included."""
        shape = self.work.shape
        return shape.seq_len * shape.micro_batch_size * shape.gradient_accumulation_steps
