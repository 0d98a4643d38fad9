"""What the page asks its worker for."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from app.config import Quantization
from app.io.source import ByteSource

RequestType = Literal[
    "load-model",
    "count-tokens",
    "check-settings",
    "preview",
    "plan",
    "train",
    "find-rate",
    "pause",
    "resume",
    "stop",
    "chat",
    "count-chat",
    "chat-stop",
    "export-adapter",
    "import-adapter",
    "edit-adapter",
    "delete-adapter",
    "evaluate",
    "diagnose",
    "self-check",
    "self-check-stop",
    "device-report",
    "bench",
    "bench-stop",
    "discard-checkpoint",
    "export-model",
    "discard-model",
    "open-kept-model",
    "discard-kept-model",
    "fit-models",
]


class ChosenFile(TypedDict):
    """A file and its name, whose extension says how it is read."""

    file: ByteSource
    name: str


class Corpus(TypedDict):
    """Text to learn from: typed (`text`) or chosen (`files`)."""

    text: NotRequired[str]
    files: NotRequired[list[ChosenFile]]


class RunRequest(TypedDict):
    """What `plan`, `train`, `find-rate` and `evaluate` ask for.

    `edits` holds the settings that the person changed; all others are suggested, by the `preset`
    (balanced where there is none). With `resume` a run goes on from the last checkpoint, with its
    own settings. `confirm_full` says that the person read what training all weights takes. A fresh
    run's adapter is called by its `run_name`.
    """

    corpus: Corpus
    edits: dict[str, Any]
    keep_adapter: bool
    resume: NotRequired[bool]
    preset: NotRequired[str]
    run_name: NotRequired[str]
    confirm_full: NotRequired[bool]


class EvaluateRequest(RunRequest):
    """What `evaluate` asks for: other text to read (`text`), or the corpus of a run.

    With `use_tuned` it is the trained model that is compared with the base, not the adapter.
    """

    text: NotRequired[str]
    use_tuned: NotRequired[bool]


class ChatMessage(TypedDict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class CountChatRequest(TypedDict):
    """A conversation whose tokens are counted while its last message is being typed."""

    messages: list[ChatMessage]
    raw: bool
    settings: dict[str, Any]


class ChatRequest(TypedDict):
    """A conversation whose next answer is asked for.

    `settings` holds those of an answer that the person changed; all others are suggested.
    `adapter` says which one answers where `use_lora`; without it, the chosen one. With `use_tuned`
    it is the model whose weights were all trained.
    """

    id: int
    messages: list[ChatMessage]
    use_lora: bool
    adapter: NotRequired[int]
    use_tuned: NotRequired[bool]
    raw: bool
    settings: dict[str, Any]


class ImportRequest(TypedDict):
    """An adapter's file or zipped folder and, where it was dropped along, its config.

    It is chosen unless `choose` is false and another one is. `made` is what an export said of how
    it was made; with it, `is_saved` false says that the person has never downloaded it.
    """

    file: ByteSource
    name: str
    config: ByteSource | None
    strength: NotRequired[float]
    choose: NotRequired[bool]
    made: NotRequired[str]
    is_saved: NotRequired[bool]


class EditAdapterRequest(TypedDict):
    """What to change of an adapter on the shelf, by its id."""

    adapter: int
    name: NotRequired[str]
    strength: NotRequired[float]
    chosen: NotRequired[bool]


class ExportRequest(TypedDict):
    """Which adapter, by its id (the chosen one without), and as what.

    With `peek` it does not count as downloaded.
    """

    adapter: NotRequired[int]
    form: NotRequired[Literal["file", "folder"]]
    peek: NotRequired[bool]


class DiagnoseRequest(TypedDict):
    """Whether the device is measured too, for which it has to be idle."""

    measure: NotRequired[bool]


class SelfCheckRequest(TypedDict):
    """Whether one case of each operation is enough."""

    quick: NotRequired[bool]


class BenchRequest(TypedDict):
    """What to measure: random weights of named shapes, or a model's file (`source`)."""

    shapes: NotRequired[list[str]]
    source: NotRequired[Any]
    profile: NotRequired[bool]
    curves: NotRequired[bool]


class FitRequest(TypedDict):
    """Models of static/catalogue.json to plan by their shape, as if they were loaded like this."""

    models: list[Any]
    quantize: NotRequired[Quantization]
    device_memory_gb: NotRequired[float | None]
