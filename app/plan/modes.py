"""What can be trained, and what a step of it takes: recorded as a run would, nothing allocated."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, Protocol, TypeVar

from app.config import LoraConfig, TrainConfig
from app.gpu.budget import MemoryBudget
from app.gpu.memory import MemoryPlan
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.plan.beside import Beside, BesideShape, beside_of
from app.plan.work import ModeName, adapter_parameters, training_flops_per_token
from app.text.dataset import Dataset
from app.text.windows import Windows
from app.train.ranks import RankSchedule
from app.train.step import check_context, record_training

KEPT_OUTLINES = 32

T = TypeVar("T")

LORA_SETTINGS = frozenset(item.name for item in fields(LoraConfig))


@dataclass(frozen=True)
class RunSettings:
    """All settings of a run."""

    lora: LoraConfig
    train: TrainConfig

    def edited(self, **values: Any) -> RunSettings:
        """Return the same with some settings changed, by name."""
        lora = {name: value for name, value in values.items() if name in LORA_SETTINGS}
        train = {name: value for name, value in values.items() if name not in LORA_SETTINGS}
        return RunSettings(replace(self.lora, **lora), replace(self.train, **train))

    def value(self, name: str) -> Any:
        """Return a setting by name."""
        return getattr(self.lora if name in LORA_SETTINGS else self.train, name)


@dataclass(frozen=True)
class Outline:
    """A recorded step.

    Attributes:
        memory: Every byte that steps hold.
        flops_per_token: Of a window's token.
        num_dispatches: Of a micro-batch.
        num_trained: Parameters that are trained.
        is_checkpointing: Whether activations are recomputed.
        optimizer_state_bytes: The moments' share of the memory.
        recomputed_share: Work that recomputing adds, over all else.
        update_bytes: Memory that could be copied while an update runs, where that counts.
        checkpoint_bytes: What a checkpoint takes, where that is much; `best_bytes` more where
            an early stop keeps the best of what is trained.
        beside: What evaluations and samples take while a step's memory stays as it is.
        freed_bytes: Of `memory`, given back before the first step.
    """

    memory: MemoryPlan
    flops_per_token: float
    num_dispatches: int
    num_trained: int
    is_checkpointing: bool
    optimizer_state_bytes: int
    recomputed_share: float = 0.0
    update_bytes: float = 0.0
    checkpoint_bytes: int = 0
    best_bytes: int = 0
    beside: Beside = field(default_factory=Beside)
    freed_bytes: int = 0

    @property
    def reserved_bytes(self) -> int:
        """What evaluations and samples make the peak larger by."""
        return max(0, self.beside.peak_bytes - self.freed_bytes)

    @property
    def total_bytes(self) -> int:
        """Most bytes in use at once."""
        return self.memory.total_bytes + self.reserved_bytes

    def parts(self) -> dict[str, int]:
        """Return the bytes by what they are for; they sum to `total_bytes`."""
        parts: dict[str, int] = dict(self.memory.parts().items())
        return parts | {"evaluation": self.reserved_bytes}


class Mode(Protocol):
    """One way to train a model."""

    @property
    def name(self) -> ModeName:
        """What the command line calls it."""
        ...

    def outline(self, settings: RunSettings, dataset: Dataset) -> Outline:
        """Record a step of a run and what accompanies it, whether it fits the device or not.

        Nothing is allocated.
        """
        ...


class Kept(Generic[T]):
    """What was recorded lately: a search asks for the same again and again."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, T] = {}

    def get(self, key: Hashable, record: Callable[[], T]) -> T:
        """Return what there is of a key, recorded where it is not kept."""
        if key not in self._kept:
            self._kept[key] = record()
            if len(self._kept) > KEPT_OUTLINES:
                del self._kept[next(iter(self._kept))]
        return self._kept[key]


class Outlines:
    """Outlines of steps and of what accompanies them, each recorded once."""

    def __init__(self) -> None:
        self._steps = Kept[Outline]()
        self._beside = Kept[Beside]()

    def get(
        self,
        key: tuple[Hashable, ...],
        record: Callable[[int], Outline],
        shape: BesideShape,
        record_beside: Callable[[], Beside],
        budget_bytes: int,
    ) -> Outline:
        """Return an outline whose step leaves room for what accompanies it, where it can.

        Args:
            key: What decides the step.
            record: Given the bytes to leave.
            shape: What decides the rest, with `key`'s first item: what is trained.
            record_beside: Records that.
            budget_bytes: Most bytes in use at once.
        """
        beside = self._beside.get((key[0], shape), record_beside)
        outline = replace(self._steps.get((key, 0), lambda: record(0)), beside=beside)
        reserved = outline.reserved_bytes
        if reserved and outline.total_bytes > budget_bytes:  # it may recompute to make room
            outline = self._steps.get((key, reserved), lambda: record(reserved))
        return replace(outline, beside=beside)


class AdapterMode:
    """Low-rank adapters beside a frozen base."""

    name: ModeName = "adapter"

    def __init__(self, model: Model) -> None:
        self._model = model
        self._kept = Outlines()

    def outline(self, settings: RunSettings, dataset: Dataset) -> Outline:
        """Record a step; the same question is answered from memory.

        Raises:
            ConfigError: windows longer than the model's context.
        """
        windows = dataset.train
        check_context(self._model, windows)
        lora, train = settings.lora, settings.train
        seq_len = int(windows.lengths.max())
        count = min(train.micro_batch_size, windows.num_windows)
        is_masked = not RankSchedule(train.rank_schedule, lora.rank, 1).is_fixed
        budget = MemoryBudget.of(self._model.device, train.device_memory_gb)
        shape = BesideShape.of(self._model, train, dataset)
        return self._kept.get(
            (
                lora,
                *(train.optimizer, train.lora_plus_ratio, train.gradient_checkpointing),
                *(seq_len, count, is_masked, windows.is_packed, budget),
            ),
            lambda reserved: self._outline(
                settings, (count, seq_len), is_masked, windows, budget.memory_bytes - reserved
            ),
            shape,
            lambda: self._beside(lora, shape),
            budget.memory_bytes,
        )

    def _beside(self, lora: LoraConfig, shape: BesideShape) -> Beside:
        model = self._model
        adapter = Adapter(model.config, model.device, lora, is_planned=True)
        return beside_of(model, adapter, shape, adapter_parameters(model.config, lora))

    def _outline(
        self,
        settings: RunSettings,
        shape: tuple[int, int],
        is_masked: bool,
        windows: Windows,
        budget_bytes: int,
    ) -> Outline:
        model, (count, seq_len) = self._model, shape
        lora, train = settings.lora, settings.train
        adapter = Adapter(model.config, model.device, lora, is_planned=True)
        num_trained = adapter_parameters(model.config, lora)
        graphs = record_training(
            model,
            adapter,
            micro_batch_size=count,
            seq_len=seq_len,
            optimizer=train.optimizer,
            lora_plus_ratio=train.lora_plus_ratio,
            is_masked=is_masked,
            is_packed=windows.is_packed,
            gradient_checkpointing=train.gradient_checkpointing,
            budget_bytes=budget_bytes,
            must_fit=False,
        )
        kept, recomputed = (
            training_flops_per_token(
                model.config,
                seq_len,
                num_adapter_parameters=num_trained,
                is_checkpointing=is_checkpointing,
            )
            for is_checkpointing in (False, True)
        )
        return Outline(
            graphs.plan,
            recomputed if graphs.is_checkpointing else kept,
            len(graphs.micro_batch.nodes),
            num_trained,
            graphs.is_checkpointing,
            graphs.optimizer.state_bytes,
            recomputed / kept - 1,
        )
