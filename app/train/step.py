"""The recorded form of a training step and of an evaluation, and the memory they need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.config import ModelConfig
from app.errors import ConfigError, OutOfGpuMemoryError
from app.gpu.device import Device
from app.gpu.graph import Graph, Tensor, persistent
from app.gpu.memory import MemoryPlan, check_limits, plan_memory
from app.gpu.tuning import Tuning
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.nn.decoder import Decoder
from app.ops.adamw import AdamwState, adamw
from app.ops.cross_entropy import head_loss
from app.text.corpus import Windows

GIB = 1 << 30
KEEP_BUDGET_BYTES = 4 * GIB
"""Above this a run recomputes activations instead of keeping them: WebGPU does not tell how
much memory a device has, and most have at least this."""


@dataclass(frozen=True, eq=False)
class BatchInputs:
    """What the host writes before a micro-batch: B sequences of S tokens.

    Attributes:
        tokens: (B·S,), u32.
        targets: (B·S,), i32; negative ones are ignored.
        positions: (B·S,), u32, within each sequence.
        normalizer: (1,), f32: 1 / predicted tokens of the step.
        total: (1,), f32: sum of the losses.
    """

    num_sequences: int
    seq_len: int
    tokens: Tensor
    targets: Tensor
    positions: Tensor
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
            persistent("normalizer", (1,), "scratch"),
            persistent("loss", (1,), "scratch"),
        )

    def write_positions(self, device: Device) -> None:
        """Write 0..S−1 for every sequence, once."""
        positions = np.tile(np.arange(self.seq_len, dtype=np.uint32), self.num_sequences)
        device.write(self.positions.storage.buffer, 0, positions)

    def write(
        self,
        device: Device,
        tokens: NDArray[np.int32],
        targets: NDArray[np.int32],
        normalizer: float,
    ) -> None:
        """Write one micro-batch, (B, S) each."""
        device.write(self.tokens.storage.buffer, 0, np.ascontiguousarray(tokens))
        device.write(self.targets.storage.buffer, 0, np.ascontiguousarray(targets))
        device.write(self.normalizer.storage.buffer, 0, np.array([normalizer], np.float32))


@dataclass(frozen=True, eq=False)
class TrainingGraphs:
    """A micro-batch that adds to the gradients, an update that uses them, and their memory."""

    micro_batch: Graph
    update: Graph
    inputs: BatchInputs
    gradients: Tensor
    state: AdamwState
    plan: MemoryPlan
    is_checkpointing: bool


def record_training(
    model: Model,
    adapter: Adapter,
    *,
    micro_batch_size: int,
    seq_len: int,
    budget_bytes: int = KEEP_BUDGET_BYTES,
) -> TrainingGraphs:
    """Record a training step; nothing is allocated.

    Activations are kept where the plan stays within the budget and the device's limits, and
    recomputed layer by layer in the backward where it does not.

    Args:
        model: Frozen base.
        adapter: What is trained.
        micro_batch_size: Sequences computed together.
        seq_len: Tokens of a sequence.
        budget_bytes: Most bytes a run may take before it recomputes.

    Raises:
        OutOfGpuMemoryError: not even recomputing fits the device's limits.
    """
    kept = _record(model, adapter, micro_batch_size, seq_len, is_checkpointing=False)
    if kept.plan.total_bytes <= budget_bytes and _fits(kept.plan, model.device):
        return kept
    recomputed = _record(model, adapter, micro_batch_size, seq_len, is_checkpointing=True)
    check_limits(recomputed.plan, model.device)
    return recomputed


def _record(
    model: Model, adapter: Adapter, micro_batch_size: int, seq_len: int, *, is_checkpointing: bool
) -> TrainingGraphs:
    tuning = model.device.tuning
    inputs = BatchInputs.create(micro_batch_size, seq_len)
    gradients = persistent("gradients", (adapter.layout.size,), "optimizer")
    decoder = Decoder(
        model.config, model.weights, adapter, gradients, is_checkpointing=is_checkpointing
    )
    graph = Graph("micro-batch", tuning)
    hidden = decoder.forward(
        graph, inputs.tokens, inputs.positions, num_sequences=inputs.num_sequences
    )
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
    decoder.backward(graph, d_hidden, inputs.positions, num_sequences=inputs.num_sequences)
    state = AdamwState.create(adapter.layout.size)
    update = Graph("update", tuning)
    adamw(update, adapter.parameters, gradients, inputs.total, state)
    plan = plan_memory([graph, update])
    return TrainingGraphs(graph, update, inputs, gradients, state, plan, is_checkpointing)


def check_context(model: Model, windows: Windows) -> None:
    """Refuse windows that are longer than the model's context.

    Raises:
        ConfigError: names both lengths.
    """
    longest, context = int(windows.lengths.max()), model.weights.rope_table.shape[0]
    if longest > context:
        raise ConfigError(
            f"max_seq_len is {longest}: {model.base_name} has a context of {context} tokens"
        )


def record_evaluation(
    model: Model, adapter: Adapter | None, *, num_sequences: int, seq_len: int
) -> tuple[Graph, BatchInputs]:
    """Record the forward pass and the loss of some sequences, without gradients."""
    tuning = model.device.tuning
    inputs = BatchInputs.create(num_sequences, seq_len)
    graph = Graph("evaluation", tuning)
    decoder = Decoder(model.config, model.weights, adapter)
    hidden = decoder.forward(graph, inputs.tokens, inputs.positions, num_sequences=num_sequences)
    head_loss(
        graph,
        hidden,
        model.weights.head,
        inputs.targets,
        inputs.normalizer,
        inputs.total,
        chunk_rows=_head_rows(tuning, model.config),
        wants_gradient=False,
    )
    return graph, inputs


def _head_rows(tuning: Tuning, config: ModelConfig) -> int:
    return tuning.head_rows(config.hidden_size, config.vocab_size)


def _fits(plan: MemoryPlan, device: Device) -> bool:
    try:
        check_limits(plan, device)
    except OutOfGpuMemoryError:
        return False
    return True
