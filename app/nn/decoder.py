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
from app.nn.narrow import (
    norm_backward_for,
    norm_for,
    rope_backward_for,
    swiglu_backward_for,
    swiglu_for,
)
from app.nn.projection import (
    Projection,
    SavedProjection,
    add_gradients,
    project,
    project_backward,
    projection_of,
)
from app.nn.weights import PROJECTION_GROUPS, DecoderWeights, heads_of
from app.ops.attention import attention, attention_backward
from app.ops.embedding import embedding
from app.ops.kv_cache import kv_append
from app.ops.rms_norm import rms_norm
from app.ops.rope import rope

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


@dataclass(frozen=True, eq=False)
class Sequences:
    """How the rows of a pass belong together: `count` sequences of equal length.

    Attributes:
        positions: (rows,), u32, within each sequence, or within each of its parts.
        starts: (rows,), u32: where in its sequence each row's part begins; None where every
            sequence is one part. Parts do not see each other.
    """

    count: int
    positions: Tensor
    starts: Tensor | None = None


class Decoder:
    """Records the passes of one model with one adapter.

    Args:
        config: Shape of the model.
        weights: Its frozen weights.
        adapter: Adapter to apply; None runs the base.
        gradients: Flat array like the adapter's parameters, where gradients are added.
        strength: Factor of the adapter's scale: 1 as it was trained.
        is_checkpointing: Keep only each layer's input and recompute the rest in the backward.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: DecoderWeights,
        adapter: Adapter | None = None,
        gradients: Tensor | None = None,
        *,
        strength: float = 1.0,
        is_checkpointing: bool = False,
    ) -> None:
        self._strength = strength
        self._config = config
        self._weights = weights
        self._adapter = adapter
        self._gradients = gradients
        self._is_checkpointing = is_checkpointing
        self._heads = heads_of(config)
        self._saved: list[SavedLayer | Tensor] = []
        self._sequences: Sequences | None = None
        self._final: tuple[Tensor, Tensor] | None = None

    def forward(
        self,
        graph: Graph,
        tokens: Tensor,
        sequences: Sequences,
        *,
        caches: KeyValueCache | None = None,
    ) -> Tensor:
        """Record the forward pass up to the last norm.

        Args:
            graph: Where to record.
            tokens: (rows,), u32.
            sequences: How the rows belong together.
            caches: Key-value caches, for generation; there is one sequence then.

        Returns:
            hidden, (rows, hidden_size), f32.
        """
        self._saved, self._sequences = [], sequences
        x = embedding(graph, tokens, self._weights.embedding)
        for index in range(len(self._weights.layers)):
            cache = caches[index] if caches is not None else None
            y, saved = self._layer(graph, index, x, sequences, cache)
            self._saved.append(x if self._is_checkpointing else saved)
            x = y
        hidden, rstd = rms_norm(graph, x, self._weights.norm, eps=self._config.rms_norm_eps)
        self._final = (x, rstd)
        return hidden

    def backward(self, graph: Graph, d_hidden: Tensor) -> None:
        """Record the backward pass of the last `forward`, adding to the gradients.

        Args:
            graph: The graph that the forward was recorded into.
            d_hidden: (rows, hidden_size), gradient of `forward`'s result.
        """
        assert self._final is not None, "record the forward first"
        assert self._sequences is not None
        x, rstd = self._final
        below = self._projection(len(self._weights.layers) - 1, "down")
        dx, g = norm_backward_for(graph, d_hidden, x, self._weights.norm, rstd, below)
        for index in reversed(range(len(self._weights.layers))):
            saved = self._saved[index]
            if isinstance(saved, Tensor):
                _, saved = self._layer(graph, index, saved, self._sequences, None)
            dx, g = self._layer_backward(graph, index, dx, g, saved, self._sequences)

    def _projection(self, index: int, group: str) -> Projection:
        weight = self._weights.layers[index].projections[group]
        return projection_of(weight, self._adapter, self._gradients, index, group, self._strength)

    def _layer(
        self,
        graph: Graph,
        index: int,
        x: Tensor,
        sequences: Sequences,
        cache: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, SavedLayer]:
        layer, eps = self._weights.layers[index], self._config.rms_norm_eps
        projections = {group: self._projection(index, group) for group in PROJECTION_GROUPS}
        normed, input_rstd, hidden = norm_for(
            graph, x, layer.input_norm, projections["qkv"], eps=eps
        )
        qkv, qkv_saved = project(graph, normed, projections["qkv"], hidden=hidden, label="qkv")
        if cache is None:
            self._rotate(graph, qkv, sequences.positions)
        else:
            table = self._weights.rope_table
            kv_append(graph, qkv, sequences.positions, table, cache, self._heads)
        attended, logsumexp = attention(
            graph,
            qkv,
            sequences.positions,
            self._heads,
            num_sequences=sequences.count,
            cache=cache,
            starts=sequences.starts,
        )
        middle, o_saved = project(graph, attended, projections["o"], residual=x, label="middle")
        normed, middle_rstd, hidden = norm_for(
            graph, middle, layer.post_attention_norm, projections["gate_up"], eps=eps
        )
        gate_up, gate_up_saved = project(
            graph, normed, projections["gate_up"], hidden=hidden, label="gate_up"
        )
        activated, hidden = swiglu_for(graph, gate_up, projections["down"])
        y, down_saved = project(
            graph, activated, projections["down"], hidden=hidden, residual=middle, label="layer"
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
        g: Tensor | None,
        saved: SavedLayer,
        sequences: Sequences,
    ) -> tuple[Tensor, Tensor | None]:
        """Record one layer's backward; g is the narrow side of dy for the down projection.

        Returns the same two for the layer below; at the bottom, where nothing needs them, the
        gradient of qkv.
        """
        layer = self._weights.layers[index]
        projections = {group: self._projection(index, group) for group in PROJECTION_GROUPS}
        d_activated = project_backward(graph, dy, projections["down"], saved.down_saved, d_hidden=g)
        d_gate_up, g = swiglu_backward_for(
            graph, d_activated, saved.gate_up, projections["gate_up"]
        )
        d_normed = project_backward(
            graph, d_gate_up, projections["gate_up"], saved.gate_up_saved, d_hidden=g
        )
        d_middle, g = norm_backward_for(
            graph,
            d_normed,
            saved.middle,
            layer.post_attention_norm,
            saved.middle_rstd,
            projections["o"],
            skip=dy,
        )
        d_attended = project_backward(graph, d_middle, projections["o"], saved.o_saved, d_hidden=g)
        d_qkv = self._attention_backward(graph, d_attended, saved, sequences)
        g = rope_backward_for(
            graph,
            d_qkv,
            sequences.positions,
            self._weights.rope_table,
            self._heads,
            projections["qkv"],
        )
        if index == 0:
            add_gradients(graph, d_qkv, projections["qkv"], saved.qkv_saved, d_hidden=g)
            return d_qkv, None
        d_normed = project_backward(graph, d_qkv, projections["qkv"], saved.qkv_saved, d_hidden=g)
        return norm_backward_for(
            graph,
            d_normed,
            saved.x,
            layer.input_norm,
            saved.input_rstd,
            self._projection(index - 1, "down"),
            skip=d_middle,
        )

    def _attention_backward(
        self, graph: Graph, d_attended: Tensor, saved: SavedLayer, sequences: Sequences
    ) -> Tensor:
        """Record attention's backward; return the gradient of q|k|v as they were rotated."""
        return attention_backward(
            graph,
            d_attended,
            saved.qkv,
            saved.attended,
            saved.logsumexp,
            sequences.positions,
            self._heads,
            num_sequences=sequences.count,
            starts=sequences.starts,
        )

    def _rotate(
        self, graph: Graph, qkv: Tensor, positions: Tensor, *, is_backward: bool = False
    ) -> None:
        heads = self._heads
        rope(
            graph,
            qkv,
            positions,
            self._weights.rope_table,
            num_heads=heads.num_heads + heads.num_key_value_heads,
            head_dim=heads.head_dim,
            is_backward=is_backward,
        )
