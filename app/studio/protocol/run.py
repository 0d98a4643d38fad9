"""A run from its plan to its end, as page and worker speak of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.studio.protocol.message import Message


@dataclass(frozen=True)
class PlanEvent:
    """A run laid out: what it would do and take; `problem` says why it cannot be made.

    Attributes:
        settings: all settings by name, edits included.
        suggested: the same without the edits.
        num_tokens: tokens in the training windows; `num_eval_tokens` in those kept aside.
        num_eval_windows: kept aside; each reading of their loss takes `num_eval_windows_read`.
        seconds: estimate from the device's measured speed.
        passes: how often the text is read, below 1 the share that is; `coverage` in words.
        bytes: GPU memory by what it is for; sums to `total_bytes`.
        optimizer_state_bytes: the moments' share of what `bytes` counts under optimizer.
        occupancy: share of the windows' room that holds tokens; the rest is padding.
        modes: each way to train, as `app.plan.report.report_of` tells it; this run's is selected.
    """

    type: ClassVar[str] = "plan"
    settings: Message
    suggested: Message
    problem: str = ""
    num_steps: int = 0
    num_tokens: int = 0
    num_eval_tokens: int = 0
    num_eval_windows: int = 0
    num_eval_windows_read: int = 0
    tokens_per_step: int = 0
    seconds: float = 0.0
    passes: float = 0.0
    coverage: str = ""
    bytes: dict[str, int] | None = None
    total_bytes: int = 0
    optimizer_state_bytes: int = 0
    occupancy: float = 0.0
    modes: list[Message] | None = None


@dataclass(frozen=True)
class PreparingEvent:
    """What happens before the first step."""

    type: ClassVar[str] = "preparing"
    stage: str
    fraction: float


@dataclass(frozen=True)
class StepEvent:
    """One update: the fields of `app.train.records.StepRecord`."""

    type: ClassVar[str] = "step"
    step: int
    loss: float
    grad_norm: float
    learning_rate: float
    num_tokens: int
    tokens_per_second: float
    skipped: bool
    seconds: float
    ranks: dict[str, int] | None = None
    gpu_busy: float | None = None


@dataclass(frozen=True)
class EvaluationEvent:
    """The loss of what was kept aside, after a step; of step 0, before the first."""

    type: ClassVar[str] = "evaluation"
    step: int
    loss: float
    perplexity: float


@dataclass(frozen=True)
class SampleEvent:
    """What the model writes after a step, the likeliest token each time."""

    type: ClassVar[str] = "sample"
    step: int
    prompt: str
    text: str


@dataclass(frozen=True)
class KeepingEvent:
    """A checkpoint is being written of where the run is.

    Attributes:
        fraction: Share of it that is; None while it is read back and compared.
        is_full: It holds all weights, and takes its time.
        is_model: It is what the run came to, kept until it is downloaded, and no checkpoint.
    """

    type: ClassVar[str] = "keeping"
    step: int
    fraction: float | None
    is_full: bool
    is_model: bool = False


@dataclass(frozen=True)
class CheckpointEvent:
    """The run was kept as it is after a step."""

    type: ClassVar[str] = "checkpoint"
    step: int


@dataclass(frozen=True)
class WarningEvent:
    """Something beside the training failed; the run goes on."""

    type: ClassVar[str] = "run-warning"
    message: str


@dataclass(frozen=True)
class RunHistoryEvent:
    """What a run that is gone on with had reported before: fields of the events of each."""

    type: ClassVar[str] = "run-history"
    steps: list[Message]
    evaluations: list[Message]
    samples: list[Message]


@dataclass(frozen=True)
class ResumableRun:
    """A run that was interrupted and can be gone on with.

    Attributes:
        saved_at: UTC, ISO 8601.
        is_this_model: Its base has the name of the model that is loaded.
        num_characters: Of its text, which is not kept.
        mode: What is trained, an adapter or all weights (`full`).
        bytes: Of the checkpoint.
    """

    step: int
    num_steps: int
    saved_at: str
    base_name: str
    is_this_model: bool
    num_characters: int
    mode: str
    bytes: int


@dataclass(frozen=True)
class ResumableEvent:
    """There is a run to go on with, or none."""

    type: ClassVar[str] = "resumable"
    run: ResumableRun | None
