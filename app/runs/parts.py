"""What a run is made of, and who hears of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from app.config import LoraConfig, TrainConfig
from app.io.checkpoint_format import Checkpoint
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.runs.history import Evaluation, Sample
from app.runs.identity import RunIdentity
from app.text.dataset import Dataset
from app.train.loop import RunLoop
from app.train.records import StepRecord


def _ignore(_: Any) -> None:
    pass


def _ignore_two(_: Any, __: Any) -> None:
    pass


class Copies(Protocol):
    """Keeps what a run has made so far elsewhere than on the GPU, now and then."""

    def is_due(self) -> bool:
        """Return whether it is time for one."""
        ...

    async def keep(self) -> None:
        """Read it back and keep it."""
        ...


@dataclass(frozen=True)
class Listener:
    """Who hears of what, as it happens; `copies` are made between two updates.

    Attributes:
        on_keeping: Told while a checkpoint is written: after which step, and which share of it
            is; None while it is read back.
    """

    on_step: Callable[[StepRecord], None] = _ignore
    on_evaluation: Callable[[Evaluation], None] = _ignore
    on_sample: Callable[[Sample], None] = _ignore
    on_keeping: Callable[[int, float | None], None] = _ignore_two
    on_checkpoint: Callable[[Checkpoint], None] = _ignore
    on_warning: Callable[[str], None] = _ignore
    copies: Copies | None = None


@dataclass(frozen=True)
class Parts:
    """What a run is made of; the trainer is prepared.

    Attributes:
        adapter: What is trained; None where it is the model itself.
        is_fresh: The adapter changes nothing yet: until its first update it is as if there were
            none.
    """

    model: Model
    adapter: Adapter | None
    dataset: Dataset
    config: TrainConfig
    trainer: RunLoop
    identity: RunIdentity
    is_fresh: bool = False

    @property
    def lora(self) -> LoraConfig | None:
        """Shape of the adapter."""
        return self.adapter.lora if self.adapter is not None else None
