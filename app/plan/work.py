"""The floating-point operations of a training step, from the architecture."""

from __future__ import annotations

from typing import Literal

from app.config import LoraConfig, ModelConfig

ModeName = Literal["adapter", "full"]


def adapter_parameters(model: ModelConfig, lora: LoraConfig) -> int:
    """Return the elements of all A and B: rank · (in + out) a target projection and layer."""
    widths = sum(sum(model.projection_shape(name)) for name in lora.target_modules)
    return lora.rank * widths * model.num_hidden_layers


def projection_parameters(model: ModelConfig) -> int:
    """Return the weights of all projections, the head left out."""
    return model.num_matmul_parameters - model.vocab_size * model.hidden_size


def training_flops_per_token(
    model: ModelConfig,
    seq_len: int,
    *,
    mode: ModeName = "adapter",
    num_adapter_parameters: int = 0,
    is_checkpointing: bool = False,
) -> float:
    """Return the operations of a training step per token of a window.

    Products with the P weights take 2·P forward and 2·P for the gradient of their inputs; training
    the weights too takes 2·P more. An adapter of A parameters takes 6·A. Causal attention takes
    7·S·H·D a layer: two products forward and five backward over S/2 keys on average. Recomputing
    takes the projections', the adapter's and the attention's forward once more; the head is never
    recomputed.

    Args:
        model: Shape of the base.
        seq_len: Tokens of a window, S.
        mode: What is trained.
        num_adapter_parameters: See `adapter_parameters`.
        is_checkpointing: Whether each layer is recomputed in the backward.
    """
    width = model.num_attention_heads * model.head_dim
    attention = float(seq_len) * width * model.num_hidden_layers
    products = {"adapter": 4.0, "full": 6.0}[mode] * model.num_matmul_parameters
    flops = products + 6.0 * num_adapter_parameters + 7.0 * attention
    if is_checkpointing:
        flops += 2.0 * (projection_parameters(model) + num_adapter_parameters + attention)
    return flops


def forward_flops_per_token(
    model: ModelConfig, seq_len: int, *, num_adapter_parameters: int = 0
) -> float:
    """Return the operations of the forward alone: 2·(P + A), and 2·S·H·D of attention a layer."""
    width = model.num_attention_heads * model.head_dim
    attention = float(seq_len) * width * model.num_hidden_layers
    return 2.0 * (model.num_matmul_parameters + num_adapter_parameters + attention)


def count_micro_batches(
    num_windows: int, micro_batch_size: int, accumulation: int, num_steps: int
) -> int:
    """Return the micro-batches of a run: the last step of an epoch may have fewer.

    Args:
        num_windows: Windows of an epoch.
        micro_batch_size: Windows of a micro-batch.
        accumulation: Micro-batches of a step.
        num_steps: Updates of the run.
    """
    each = micro_batch_size * accumulation
    steps = -(-num_windows // each)
    last = -(-(num_windows - (steps - 1) * each) // micro_batch_size)
    epochs, rest = divmod(num_steps, steps)
    return epochs * ((steps - 1) * accumulation + last) + rest * accumulation
