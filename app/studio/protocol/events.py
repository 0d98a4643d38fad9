"""What the worker tells the page between its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from app.checks.selfcheck import CheckResult
from app.studio.protocol.adapter import AdapterEvent, AdapterReplacedEvent
from app.studio.protocol.full import KeptModelEvent, ModelPieceEvent, TunedEvent
from app.studio.protocol.message import Message, Status
from app.studio.protocol.rate import RatePointEvent, RateStageEvent
from app.studio.protocol.run import (
    CheckpointEvent,
    EvaluationEvent,
    KeepingEvent,
    PlanEvent,
    PreparingEvent,
    ResumableEvent,
    RunHistoryEvent,
    SampleEvent,
    StepEvent,
    WarningEvent,
)


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
    | KeptModelEvent
    | ModelPieceEvent
    | TokenEvent
    | EvaluateProgressEvent
    | SelfCheckEvent
    | BenchStageEvent
    | BenchFigureEvent
)
