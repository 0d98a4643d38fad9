"""The recorded form of a step that trains all weights, and the memory it needs."""

from __future__ import annotations

from dataclasses import dataclass

from app.config import Checkpointing, FullWeights, OptimizerName
from app.gpu.graph import Graph, Tensor
from app.gpu.memory import MemoryPlan, plan_memory
from app.models.loader import Model
from app.nn.full_decoder import FullDecoder
from app.nn.trainable import TrainableWeights
from app.ops.convert import convert
from app.ops.cross_entropy import head_loss
from app.ops.update import UpdateState
from app.train.checkpointing import keep_or_recompute
from app.train.full.optimizer import FullOptimizer
from app.train.state import lasting_tensors
from app.train.step import BatchInputs


@dataclass(frozen=True, eq=False)
class FullGraphs:
    """What is run once, for each micro-batch and for each update; and all their memory.

    Attributes:
        convert: Brings the loaded weights into the format they are trained in.
        plan: The most that is in use at once: while `convert` runs, the loaded weights are there
            beside the trained ones; later they are freed, unless they are kept.
    """

    convert: Graph
    micro_batch: Graph
    update: Graph
    inputs: BatchInputs
    trained: TrainableWeights
    optimizer: FullOptimizer
    plan: MemoryPlan
    is_checkpointing: bool

    @property
    def common(self) -> UpdateState:
        """What all optimizers keep."""
        return self.optimizer.common

    @property
    def lasting(self) -> dict[str, Tensor]:
        """What an update keeps for the next: what a checkpoint holds."""
        cleared = {matrix.gradient.storage for matrix in self.trained.matrices}
        return lasting_tensors(self.update, {*cleared, self.trained.gain_gradients.storage})

    @property
    def graphs(self) -> list[Graph]:
        """The graphs in the order in which `plan` takes them."""
        return [self.convert, self.micro_batch, self.update]


def record_full_training(
    model: Model,
    *,
    micro_batch_size: int,
    seq_len: int,
    optimizer: OptimizerName = "adamw",
    weights: FullWeights = "f16",
    is_packed: bool = False,
    seed: int = 0,
    gradient_checkpointing: Checkpointing = "auto",
    budget_bytes: int | None = None,
    must_fit: bool = True,
    keeps_base: bool = False,
) -> FullGraphs:
    """Record a step that trains all weights; nothing is allocated.

    Activations are kept or recomputed as `app.train.checkpointing` decides it.

    Args:
        model: Its weights are what is trained, from where they are.
        micro_batch_size: Sequences computed together.
        seq_len: Tokens of a sequence.
        optimizer: Which one.
        weights: What the weights are stored in while they are trained.
        is_packed: Windows hold several documents, which do not see each other.
        seed: Of the rounding to f16 and INT4.
        gradient_checkpointing: Whether to recompute.
        budget_bytes: Most bytes a run may take before it recomputes; by default what is known
            of the device: see `MemoryBudget`.
        must_fit: Refuse what the device's limits do not allow; else it is only recorded.
        keeps_base: The loaded weights stay as they are, beside the trained ones.

    Raises:
        ConfigError: int4 is wanted of a model whose projections are not.
        OutOfGpuMemoryError: a buffer is larger than the device allows, recomputing or not.
    """

    def record(*, is_checkpointing: bool) -> FullGraphs:
        trained = TrainableWeights.create(
            model.config, model.weights, weights, keeps_base=keeps_base
        )
        shape = (micro_batch_size, seq_len)
        return _record(model, trained, shape, optimizer, is_packed, seed, is_checkpointing)

    return keep_or_recompute(
        record, model.device, gradient_checkpointing, budget_bytes, must_fit=must_fit
    )


def _record(
    model: Model,
    trained: TrainableWeights,
    shape: tuple[int, int],
    optimizer_name: OptimizerName,
    is_packed: bool,
    seed: int,
    is_checkpointing: bool,
) -> FullGraphs:
    tuning = model.device.tuning
    conversion = Graph("conversion", tuning)
    for matrix in trained.matrices:
        if matrix.matrix.format != matrix.source.format:
            convert(conversion, matrix.source, matrix.matrix)
    inputs = BatchInputs.create(*shape)
    graph = Graph("micro-batch", tuning)
    decoder = FullDecoder(model.config, trained, is_checkpointing=is_checkpointing)
    hidden = decoder.forward(graph, inputs.tokens, inputs.sequences(is_packed=is_packed))
    d_hidden = head_loss(
        graph,
        hidden,
        trained.head.matrix,
        inputs.targets,
        inputs.normalizer,
        inputs.total,
        chunk_rows=tuning.head_rows(model.config.hidden_size, model.config.vocab_size),
        d_head=trained.head.gradient,
    )
    assert d_hidden is not None
    decoder.backward(graph, d_hidden)
    optimizer = FullOptimizer(optimizer_name, trained, seed)
    update = Graph("update", tuning)
    optimizer.record(update, inputs.total)
    plan = plan_memory([conversion, graph, update])
    # What is not converted but copied, and norms: in memory too, unless trained in place.
    known = {*plan.owned, *plan.shared}
    plan.shared += [storage for storage in model.weights.storages() if storage not in known]
    return FullGraphs(conversion, graph, update, inputs, trained, optimizer, plan, is_checkpointing)
