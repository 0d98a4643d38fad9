"""What the worker tells the page between its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from app.checks.selfcheck import CheckResult
from app.studio.protocol.full import ModelPieceEvent, TunedEvent
from app.studio.protocol.message import Message, Status
from app.studio.protocol.rate import RatePointEvent, RateStageEvent


@dataclass(frozen=True)
class GpuEvent:
    """The device was opened, or tuned.

    Attributes:
        variants: Which kernel each operation class uses: see `app.gpu.tuning.Tuning`.
    """

    type: ClassVar[str] = "gpu"
    name: str
    backend: str
    is_software: bool
    features: list[str]
    variants: dict[str, str]


@dataclass(frozen=True)
class StatusEvent:
    """The one word that the page shows."""

    type: ClassVar[str] = "status"
    status: Status


@dataclass(frozen=True)
class ErrorEvent:
    """Something failed that no request waits for."""

    type: ClassVar[str] = "error"
    message: str
    kind: str


@dataclass(frozen=True)
class SettingsEvent:
    """The settings of a run and of an answer, described for the forms."""

    type: ClassVar[str] = "settings"
    fields: list[Message]
    generation: list[Message]
    presets: list[Message]


@dataclass(frozen=True)
class ModelProgressEvent:
    """Bytes of the model on their way to the GPU; then, in percent, tuning for it."""

    type: ClassVar[str] = "model-progress"
    name: str
    stage: Literal["download", "gpu", "tuning"]
    loaded_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class ModelEvent:
    """The model that is loaded now.

    Attributes:
        quantization: What its projections became while they were loaded.
        made_room: There was no room for two models: the one before it was freed first.
    """

    type: ClassVar[str] = "model"
    name: str
    architecture: str
    num_parameters: int
    num_layers: int
    vocab_size: int
    max_context: int
    weights_bytes: int
    quantization: str
    made_room: bool = False


@dataclass(frozen=True)
class ModelLostEvent:
    """The device went away, and the model with it."""

    type: ClassVar[str] = "model-lost"


@dataclass(frozen=True)
class DeviceLostEvent:
    """The device went away and nothing is under way any more: it can be asked for again.

    Attributes:
        message: What happened, in a sentence.
        job: What it interrupted: `training`, `loading`, `checking`, `generating`, or nothing.
        gone: What could not be kept, a sentence each.
    """

    type: ClassVar[str] = "device-lost"
    message: str
    job: str
    gone: list[str]


@dataclass(frozen=True)
class MemoryEvent:
    """What this page holds on the GPU."""

    type: ClassVar[str] = "memory"
    allocated_bytes: int


@dataclass(frozen=True)
class PlanEvent:
    """A run laid out: what it would do and take; `problem` says why it cannot be made.

    Attributes:
        settings: all settings by name, edits included.
        suggested: the same without the edits.
        num_tokens: tokens in the training windows; `num_eval_tokens` in those kept aside.
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
    """

    type: ClassVar[str] = "keeping"
    step: int
    fraction: float | None
    is_full: bool


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


@dataclass(frozen=True)
class AdapterInfo:
    """An adapter on the shelf.

    Attributes:
        strength: Factor of its scale when it answers: 1 as it was trained, 0 the base alone.
        has_record: Whether the run that made it can be had as run.json.
        is_saved: Whether the person has it: downloaded, kept or loaded from a file.
    """

    id: int
    rank: int
    alpha: float
    bits: int
    num_parameters: int
    origin: Literal["trained", "loaded"]
    name: str
    steps: int
    strength: float
    has_record: bool = False
    is_saved: bool = True


@dataclass(frozen=True)
class AdapterEvent:
    """What is on the shelf now, and which adapter is chosen, or none."""

    type: ClassVar[str] = "adapter"
    adapter: AdapterInfo | None
    shelf: list[AdapterInfo]


@dataclass(frozen=True)
class AdapterReplacedEvent:
    """An adapter that was never downloaded had to go: here it is, to be kept."""

    type: ClassVar[str] = "adapter-replaced"
    bytes: bytes
    filename: str
    adapter: int


@dataclass(frozen=True)
class TokenEvent:
    """Text of an answer as it is written; `request` is the id of the chat request."""

    type: ClassVar[str] = "token"
    request: int
    text: str


@dataclass(frozen=True)
class EvaluateProgressEvent:
    """Share of the text that was read with the base model or the adapter."""

    type: ClassVar[str] = "evaluate-progress"
    which: Literal["base", "lora"]
    fraction: float


@dataclass(frozen=True)
class SelfCheckEvent:
    """What is checked now, and how the case before went: `app.checks.selfcheck.CheckProgress`."""

    type: ClassVar[str] = "self-check-progress"
    num_done: int
    num_cases: int
    op: str
    case: str
    seconds_left: float | None
    last: CheckResult | None


@dataclass(frozen=True)
class BenchStageEvent:
    """What the benchmark measures now, in words, and which share of its figures is there."""

    type: ClassVar[str] = "bench-stage"
    text: str
    fraction: float


@dataclass(frozen=True)
class BenchFigureEvent:
    """One figure of the benchmark, as `python -m app bench --json` prints it, and in words.

    Attributes:
        section: Heading of the table it belongs under.
        cells: What, shape, value, range, share, as text.
        share: Of the peak, where there is one to compare with.
        note: What else the figure tells.
    """

    type: ClassVar[str] = "bench-figure"
    figure: Message
    section: str
    cells: list[str]
    share: float | None
    note: str


Event = (
    GpuEvent
    | StatusEvent
    | ErrorEvent
    | SettingsEvent
    | ModelProgressEvent
    | ModelEvent
    | ModelLostEvent
    | DeviceLostEvent
    | MemoryEvent
    | PlanEvent
    | PreparingEvent
    | StepEvent
    | EvaluationEvent
    | SampleEvent
    | KeepingEvent
    | CheckpointEvent
    | WarningEvent
    | RateStageEvent
    | RatePointEvent
    | RunHistoryEvent
    | ResumableEvent
    | AdapterEvent
    | AdapterReplacedEvent
    | TunedEvent
    | ModelPieceEvent
    | TokenEvent
    | EvaluateProgressEvent
    | SelfCheckEvent
    | BenchStageEvent
    | BenchFigureEvent
)
