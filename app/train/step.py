"""The recorded form of a training step and of an evaluation, and the memory they need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from app.config import Checkpointing, ModelConfig, OptimizerName
from app.errors import ConfigError
from app.gpu.device import Device
from app.gpu.graph import Graph, Tensor, persistent
from app.gpu.memory import MemoryPlan, plan_memory
from app.gpu.tuning import Tuning
from app.messages import say
from app.models.loader import Model
from app.nn.adapter import Adapter, AdapterLayout
from app.nn.decoder import Decoder, Sequences
from app.ops.adapter_bits import PackedRows, adapter_bits, adapter_bits_backward
from app.ops.cross_entropy import head_loss
from app.ops.mask import mask, new_mask, pack_bits
from app.ops.update import UpdateState
from app.text.windows import Batch, Windows
from app.train.checkpointing import keep_or_recompute
from app.train.optimizers import Optimizer
from app.train.ranks import ActiveRanks, masks_of


@dataclass(frozen=True, eq=False)
class BatchInputs:
    """What the host writes before a micro-batch: B sequences of S tokens.

    Attributes:
        tokens: (B·S,), u32.
        targets: (B·S,), i32; negative ones are ignored.
        positions: (B·S,), u32, within each document.
        starts: (B·S,), u32: column where each token's document begins; used where windows hold
            several.
        normalizer: (1,), f32: 1 / predicted tokens of the step.
        total: (1,), f32: sum of the losses.
    """

    num_sequences: int
    seq_len: int
    tokens: Tensor
    targets: Tensor
    positions: Tensor
    starts: Tensor
    normalizer: Tensor
    total: Tensor

    @classmethod
    def create(cls, num_sequences: int, seq_len: int) -> BatchInputs:
        """Return inputs whose buffers are not allocated yet."""
        rows = num_sequences * seq_len
        return cls(
            num_sequences,
            seq_len,
            persistent("tokens", (rows,), "scratch", "u32"),
            persistent("targets", (rows,), "scratch", "i32"),
            persistent("positions", (rows,), "scratch", "u32"),
            persistent("starts", (rows,), "scratch", "u32"),
            persistent("normalizer", (1,), "scratch"),
            persistent("loss", (1,), "scratch"),
        )

    def sequences(self, *, is_packed: bool) -> Sequences:
        """Return how the rows belong together."""
        starts = self.starts if is_packed else None
        return Sequences(self.num_sequences, self.positions, starts)

    def write(self, device: Device, batch: Batch, normalizer: float) -> None:
        """Write one micro-batch; what no graph reads has no buffer and is left out."""
        for tensor, values in (
            (self.tokens, batch.tokens),
            (self.targets, batch.targets),
            (self.positions, batch.positions),
            (self.starts, batch.starts),
            (self.normalizer, np.array([normalizer], np.float32)),
        ):
            if tensor.storage.buffer is not None:
                device.write(tensor.storage.buffer, 0, np.ascontiguousarray(values))


@dataclass(frozen=True, eq=False)
class Masks:
    """Bits of the flat array, for ranks that are not in use.

    Attributes:
        trained: Elements whose gradients count.
        present: Elements that may be other than zero.
    """

    trained: Tensor
    present: Tensor

    @classmethod
    def create(cls, size: int) -> Masks:
        """Return masks whose buffers are not allocated yet."""
        return cls(new_mask("trained ranks", size), new_mask("present ranks", size))

    def write(self, device: Device, layout: AdapterLayout, active: ActiveRanks) -> None:
        """Let these ranks be in use."""
        for tensor, kept in zip(
            (self.trained, self.present), masks_of(layout, active), strict=True
        ):
            device.write(tensor.storage.buffer, 0, pack_bits(kept))


@dataclass(frozen=True, eq=False)
class TrainingGraphs:
    """A micro-batch that adds to the gradients, an update that uses them, and their memory."""

    micro_batch: Graph
    update: Graph
    inputs: BatchInputs
    gradients: Tensor
    optimizer: Optimizer
    masks: Masks | None
    packed_rows: PackedRows | None
    plan: MemoryPlan
    is_checkpointing: bool

    def initial_values(self) -> list[tuple[Tensor, npt.NDArray[Any]]]:
        """Return what must be written before the first update."""
        packed = self.packed_rows.initial_values() if self.packed_rows is not None else []
        return self.optimizer.initial_values() + packed

    @property
    def common(self) -> UpdateState:
        """What all optimizers keep."""
        return self.optimizer.common


def record_training(
    model: Model,
    adapter: Adapter,
    *,
    micro_batch_size: int,
    seq_len: int,
    optimizer: OptimizerName = "adamw",
    lora_plus_ratio: float = 1.0,
    is_masked: bool = False,
    is_packed: bool = False,
    gradient_checkpointing: Checkpointing = "auto",
    budget_bytes: int | None = None,
    must_fit: bool = True,
) -> TrainingGraphs:
    """Record a training step; nothing is allocated.

    Activations are kept or recomputed as `app.train.checkpointing` decides it.

    Args:
        model: Frozen base.
        adapter: What is trained.
        micro_batch_size: Sequences computed together.
        seq_len: Tokens of a sequence.
        optimizer: Which one.
        lora_plus_ratio: Learning rate of B over that of A.
        is_masked: Some ranks may not be in use: see `Masks`.
        is_packed: Windows hold several documents, which do not see each other.
        gradient_checkpointing: Whether to recompute.
        budget_bytes: Most bytes a run may take before it recomputes; by default what is known
            of the device: see `MemoryBudget`.
        must_fit: Refuse what the device's limits do not allow; else it is only recorded.

    Raises:
        OutOfGpuMemoryError: a buffer is larger than the device allows, recomputing or not.
    """
    shape = (micro_batch_size, seq_len)
    create = partial(Optimizer.create, optimizer, adapter.layout, lora_plus_ratio)
    record = partial(_record, model, adapter, shape, create, is_masked, is_packed)
    return keep_or_recompute(
        record, model.device, gradient_checkpointing, budget_bytes, must_fit=must_fit
    )


def _record(
    model: Model,
    adapter: Adapter,
    shape: tuple[int, int],
    create_optimizer: Callable[[], Optimizer],
    is_masked: bool,
    is_packed: bool,
    *,
    is_checkpointing: bool,
) -> TrainingGraphs:
    tuning = model.device.tuning
    inputs = BatchInputs.create(*shape)
    gradients = persistent("gradients", (adapter.layout.size,), "optimizer")
    decoder = Decoder(
        model.config, model.weights, adapter, gradients, is_checkpointing=is_checkpointing
    )
    graph = Graph("micro-batch", tuning)
    hidden = decoder.forward(graph, inputs.tokens, inputs.sequences(is_packed=is_packed))
    d_hidden = head_loss(
        graph,
        hidden,
        model.weights.head,
        inputs.targets,
        inputs.normalizer,
        inputs.total,
        chunk_rows=_head_rows(tuning, model.config),
    )
    assert d_hidden is not None
    decoder.backward(graph, d_hidden)
    optimizer = create_optimizer()
    update = Graph("update", tuning)
    masks = Masks.create(adapter.layout.size) if is_masked else None
    parameters, packed = adapter.parameters, adapter.packed
    rows = adapter.layout.packed.rows() if adapter.layout.packed is not None else None
    if packed is not None and rows is not None:
        adapter_bits_backward(update, gradients, parameters, packed, rows)
    if masks is not None:
        mask(update, gradients, masks.trained)
    optimizer.record(update, parameters, gradients, inputs.total)
    if masks is not None:
        mask(update, parameters, masks.present)
    if packed is not None and rows is not None:
        adapter_bits(update, parameters, packed, rows)
    plan = plan_memory([graph, update])
    return TrainingGraphs(
        graph, update, inputs, gradients, optimizer, masks, rows, plan, is_checkpointing
    )


def check_context(model: Model, windows: Windows) -> None:
    """Refuse windows that are longer than the model's context.

    Raises:
        ConfigError: names both lengths.
    """
    longest, context = int(windows.lengths.max()), model.weights.rope_table.shape[0]
    if longest > context:
        raise ConfigError(
            say(
                "{setting} is {given}: {base_name} has a context of {context} tokens",
                setting="max_seq_len",
                given=longest,
                base_name=model.base_name,
                context=context,
            )
        )


def record_evaluation(
    model: Model,
    adapter: Adapter | None,
    *,
    num_sequences: int,
    seq_len: int,
    is_packed: bool = False,
    strength: float = 1.0,
    losses: Tensor | None = None,
) -> tuple[Graph, BatchInputs]:
    """Record the forward pass and the loss of some sequences, without gradients.

    `losses`, (num_sequences · seq_len,), takes the loss of each position where given.
    """
    tuning = model.device.tuning
    inputs = BatchInputs.create(num_sequences, seq_len)
    graph = Graph("evaluation", tuning)
    decoder = Decoder(model.config, model.weights, adapter, strength=strength)
    hidden = decoder.forward(graph, inputs.tokens, inputs.sequences(is_packed=is_packed))
    head_loss(
        graph,
        hidden,
        model.weights.head,
        inputs.targets,
        inputs.normalizer,
        inputs.total,
        chunk_rows=_head_rows(tuning, model.config),
        wants_gradient=False,
        losses=losses,
    )
    return graph, inputs


def _head_rows(tuning: Tuning, config: ModelConfig) -> int:
    return tuning.head_rows(config.hidden_size, config.vocab_size)
