"""The model whose weights were all trained, as page and worker speak of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class TunedInfo:
    """The trained model, held beside the one that it began as.

    Attributes:
        steps: Updates that made it.
        weights_bytes: On the GPU.
        weights_format: What its projections are stored in.
        is_saved: It was downloaded as it is now.
        is_kept: It lies in the browser's storage until it is downloaded or let go.
    """

    name: str
    steps: int
    num_parameters: int
    weights_bytes: int
    weights_format: str
    is_saved: bool
    is_kept: bool = False


@dataclass(frozen=True)
class KeptModel:
    """A trained model that was not downloaded and lies in the browser's storage.

    Attributes:
        steps: Updates that made it.
        saved_at: ISO 8601.
        base_name: The model that it began as, which has to be loaded to open it.
        is_this_model: That one is.
        bytes: Of its weights.
    """

    steps: int
    saved_at: str
    base_name: str
    is_this_model: bool
    bytes: int


@dataclass(frozen=True)
class KeptModelEvent:
    """There is such a model, or none."""

    type: ClassVar[str] = "kept-model"
    model: KeptModel | None


@dataclass(frozen=True)
class TunedEvent:
    """There is a trained model, or none."""

    type: ClassVar[str] = "tuned"
    tuned: TunedInfo | None


@dataclass(frozen=True)
class ModelPieceEvent:
    """Bytes of a file on its way to the person; a later piece replaces one of the same place.

    Attributes:
        request: Id of the request that asked for the file.
        offset: Where in the file they belong.
        fraction: Share of the file that has come.
    """

    type: ClassVar[str] = "model-piece"
    request: int
    offset: int
    bytes: bytes
    fraction: float
