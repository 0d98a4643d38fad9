"""A Llama decoder: record its forward and its hand-written backward into a graph.

x₀ = embedding(tokens); each layer: x ← x + o(attention(rope(qkv(norm(x))))), then
x ← x + down(swiglu(gate_up(norm(x)))); hidden = norm(x). The adapter enters in every
projection. Source: HuggingFace LlamaForCausalLM; app.reference.decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.config import ModelConfig
from app.gpu.graph import Graph, Tensor
from app.nn.adapter import Adapter
from app.nn.projection import (
    Projection,
    SavedProjection,
    project,
    project_backward,
    projection_of,
)
from app.nn.weights import DecoderWeights, LayerWeights, heads_of
from app.ops.attention import attention, attention_backward
from app.ops.embedding import embedding
from app.ops.kv_cache import kv_append
from app.ops.rms_norm import rms_norm, rms_norm_backward
from app.ops.rope import rope
from app.ops.swiglu import swiglu, swiglu_backward

KeyValueCache = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of every layer, (room, HK · D) each."""


@dataclass(frozen=True, eq=False)
class SavedLayer:
    """Activations of one layer that its backward reads."""

    x: Tensor
    input_rstd: Tensor
    qkv: Tensor
    qkv_saved: SavedProjection
    attended: Tensor
    logsumexp: Tensor
    o_saved: SavedProjection
    middle: Tensor
    middle_rstd: Tensor
    gate_up: Tensor
    gate_up_saved: SavedProjection
    down_saved: SavedProjection


class Decoder:
    """Records the passes of one model with one adapter.

    Args:
        config: Shape of the model.
        weights: Its frozen weights.
        adapter: Adapter to apply; None runs the base.
        gradients: Flat array like the adapter's parameters, where gradients are added.
        is_checkpointing: Keep only each layer's input and recompute the rest in the backward.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: DecoderWeights,
        adapter: Adapter | None = None,
        gradients: Tensor | None = None,
        *,
        is_checkpointing: bool = False,
    ) -> None:
        self._config = config
        self._weights = weights
        self._adapter = adapter
        self._gradients = gradients
        self._is_checkpointing = is_checkpointing
        self._heads = heads_of(config)
        self._saved: list[SavedLayer | Tensor] = []
        self._final: tuple[Tensor, Tensor] | None = None

    def forward(
        self,
        graph: Graph,
        tokens: Tensor,
        positions: Tensor,
        *,
        num_sequences: int,
        caches: KeyValueCache | None = None,
    ) -> Tensor:
        """Record the forward pass up to the last norm.

        Args:
            graph: Where to record.
            tokens: (rows,), u32.
            positions: (rows,), u32, within each sequence.
            num_sequences: The rows are this many sequences of equal length.
            caches: Key-value caches, for generation; num_sequences is 1 then.

        Returns:
            hidden, (rows, hidden_size), f32.
        """
        self._saved = []
        x = embedding(graph, tokens, self._weights.embedding)
        for index in range(len(self._weights.layers)):
            cache = caches[index] if caches is not None else None
            y, saved = self._layer(graph, index, x, positions, num_sequences, cache)
            self._saved.append(x if self._is_checkpointing else saved)
            x = y
        hidden, rstd = rms_norm(graph, x, self._weights.norm, eps=self._config.rms_norm_eps)
        self._final = (x, rstd)
        return hidden

    def backward(
        self, graph: Graph, d_hidden: Tensor, positions: Tensor, *, num_sequences: int
    ) -> None:
        """Record the backward pass of the last `forward`, adding to the gradients.

        Args:
            graph: The graph that the forward was recorded into.
            d_hidden: (rows, hidden_size), gradient of `forward`'s result.
            positions: As in the forward.
            num_sequences: As in the forward.
        """
        assert self._final is not None, "record the forward first"
        x, rstd = self._final
        dx: Tensor | None = rms_norm_backward(graph, d_hidden, x, self._weights.norm, rstd)
        for index in reversed(range(len(self._weights.layers))):
            saved = self._saved[index]
            if isinstance(saved, Tensor):
                _, saved = self._layer(graph, index, saved, positions, num_sequences, None)
            assert dx is not None
            dx = self._layer_backward(graph, index, dx, saved, positions, num_sequences)

    def _projection(self, layer: LayerWeights, index: int, group: str) -> Projection:
        return projection_of(layer.projections[group], self._adapter, self._gradients, index, group)

    def _layer(
        self,
        graph: Graph,
        index: int,
        x: Tensor,
        positions: Tensor,
        num_sequences: int,
        cache: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, SavedLayer]:
        layer, config = self._weights.layers[index], self._config
        normed, input_rstd = rms_norm(graph, x, layer.input_norm, eps=config.rms_norm_eps)
        qkv, qkv_saved = project(graph, normed, self._projection(layer, index, "qkv"), label="qkv")
        self._rotate(graph, qkv, positions)
        if cache is not None:
            kv_append(graph, qkv, positions, cache, self._heads)
        attended, logsumexp = attention(
            graph, qkv, positions, self._heads, num_sequences=num_sequences, cache=cache
        )
        middle, o_saved = project(
            graph, attended, self._projection(layer, index, "o"), residual=x, label="middle"
        )
        normed, middle_rstd = rms_norm(
            graph, middle, layer.post_attention_norm, eps=config.rms_norm_eps
        )
        gate_up, gate_up_saved = project(
            graph, normed, self._projection(layer, index, "gate_up"), label="gate_up"
        )
        activated = swiglu(graph, gate_up)
        y, down_saved = project(
            graph,
            activated,
            self._projection(layer, index, "down"),
            residual=middle,
            label="layer",
        )
        return y, SavedLayer(
            x,
            input_rstd,
            qkv,
            qkv_saved,
            attended,
            logsumexp,
            o_saved,
            middle,
            middle_rstd,
            gate_up,
            gate_up_saved,
            down_saved,
        )

    def _layer_backward(
        self,
        graph: Graph,
        index: int,
        dy: Tensor,
        saved: SavedLayer,
        positions: Tensor,
        num_sequences: int,
    ) -> Tensor | None:
        layer = self._weights.layers[index]
        d_activated = project_backward(
            graph, dy, self._projection(layer, index, "down"), saved.down_saved
        )
        assert d_activated is not None
        d_gate_up = swiglu_backward(graph, d_activated, saved.gate_up)
        d_normed = project_backward(
            graph, d_gate_up, self._projection(layer, index, "gate_up"), saved.gate_up_saved
        )
        assert d_normed is not None
        d_middle = rms_norm_backward(
            graph, d_normed, saved.middle, layer.post_attention_norm, saved.middle_rstd, skip=dy
        )
        d_attended = project_backward(
            graph, d_middle, self._projection(layer, index, "o"), saved.o_saved
        )
        assert d_attended is not None
        d_qkv = attention_backward(
            graph,
            d_attended,
            saved.qkv,
            saved.attended,
            saved.logsumexp,
            positions,
            self._heads,
            num_sequences=num_sequences,
        )
        self._rotate(graph, d_qkv, positions, is_backward=True)
        d_normed = project_backward(
            graph,
            d_qkv,
            self._projection(layer, index, "qkv"),
            saved.qkv_saved,
            wants_dx=index > 0,
        )
        if d_normed is None:
            return None
        return rms_norm_backward(
            graph, d_normed, saved.x, layer.input_norm, saved.input_rstd, skip=d_middle
        )

    def _rotate(
        self, graph: Graph, qkv: Tensor, positions: Tensor, *, is_backward: bool = False
    ) -> None:
        rope(
            graph,
            qkv,
            positions,
            self._weights.rope_table,
            num_heads=self._heads.num_heads + self._heads.num_key_value_heads,
            head_dim=self._heads.head_dim,
            is_backward=is_backward,
        )
