"""The frozen weights of a decoder as the engine holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.config import ModelConfig
from app.gpu.graph import Storage, Tensor
from app.ops.attention import Heads
from app.ops.matrix import Matrix

PROJECTION_GROUPS: dict[str, tuple[str, ...]] = {
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "o": ("o_proj",),
    "gate_up": ("gate_proj", "up_proj"),
    "down": ("down_proj",),
}
"""Projections that share an input are stacked in one matrix and computed in one product."""

MODULE_PATHS = {
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "o_proj": "self_attn.o_proj",
    "gate_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "down_proj": "mlp.down_proj",
}


def module_path(layer: int, module: str) -> str:
    """Return HuggingFace's path of a projection, such as model.layers.0.self_attn.q_proj."""
    return f"model.layers.{layer}.{MODULE_PATHS[module]}"


def group_bounds(config: ModelConfig, group: str) -> tuple[int, ...]:
    """Return the rows of a stacked matrix before each of its modules after the first."""
    bounds, rows = [], 0
    for module in PROJECTION_GROUPS[group][:-1]:
        rows += config.projection_shape(module)[0]
        bounds.append(rows)
    return tuple(bounds)


def group_shape(config: ModelConfig, group: str) -> tuple[int, int]:
    """Return (out_features, in_features) of a stacked matrix."""
    shapes = [config.projection_shape(module) for module in PROJECTION_GROUPS[group]]
    return sum(rows for rows, _ in shapes), shapes[0][1]


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """One decoder layer: two norms, (hidden_size,) f32, and four stacked projections."""

    input_norm: Tensor
    post_attention_norm: Tensor
    projections: dict[str, Matrix]


@dataclass(frozen=True, eq=False)
class DecoderWeights:
    """All weights of a decoder; `head` is `embedding` where they are tied."""

    embedding: Matrix
    layers: tuple[LayerWeights, ...]
    norm: Tensor
    head: Matrix
    rope_table: Tensor

    def storages(self) -> Iterator[Storage]:
        """Yield every storage once."""
        seen: set[Storage] = set()
        for tensor in self._tensors():
            if tensor.storage not in seen:
                seen.add(tensor.storage)
                yield tensor.storage

    def _tensors(self) -> Iterator[Tensor]:
        matrices = [self.embedding, self.head]
        for layer in self.layers:
            yield layer.input_norm
            yield layer.post_attention_norm
            matrices.extend(layer.projections.values())
        for matrix in matrices:
            yield from matrix.bindings
        yield self.norm
        yield self.rope_table


def heads_of(config: ModelConfig) -> Heads:
    """Return the shape of a config's attention layers."""
    return Heads(config.num_attention_heads, config.num_key_value_heads, config.head_dim)
