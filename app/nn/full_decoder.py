"""A decoder whose weights are trained themselves: the backward of all of them.

dW of a projection is dYᵀ·X, of a norm Σ dy∘x·rstd, of the embedding the rows of dx by token;
the head adds its own as its logits are made (`app.ops.cross_entropy.head_loss`).
Source: app.reference.decoder.
"""

from __future__ import annotations

from app.config import ModelConfig
from app.gpu.graph import Graph, Tensor
from app.nn.decoder import Decoder, KeyValueCache, SavedLayer, Sequences
from app.nn.trainable import TrainableWeights
from app.ops.gradient import embedding_backward, linear_gradient, rms_norm_gain_backward
from app.ops.linear import linear_backward
from app.ops.rms_norm import rms_norm_backward
from app.ops.swiglu import swiglu_backward


class FullDecoder(Decoder):
    """Records the passes of a model that is trained whole, without an adapter.

    Args:
        config: Shape of the model.
        trained: Its weights and where their gradients are added.
        is_checkpointing: Keep only each layer's input and recompute the rest in the backward.
    """

    def __init__(
        self, config: ModelConfig, trained: TrainableWeights, *, is_checkpointing: bool = False
    ) -> None:
        super().__init__(config, trained.weights, is_checkpointing=is_checkpointing)
        self._trained = trained
        self._tokens: Tensor | None = None

    def forward(
        self,
        graph: Graph,
        tokens: Tensor,
        sequences: Sequences,
        *,
        caches: KeyValueCache | None = None,
    ) -> Tensor:
        """Record the forward pass; see `Decoder.forward`."""
        self._tokens = tokens
        return super().forward(graph, tokens, sequences, caches=caches)

    def backward(self, graph: Graph, d_hidden: Tensor) -> None:
        """Record the backward pass of the last `forward`, adding to the gradients of all weights.

        Args:
            graph: The graph that the forward was recorded into.
            d_hidden: (rows, hidden_size), gradient of `forward`'s result.
        """
        assert self._final is not None, "record the forward first"
        assert self._sequences is not None
        assert self._tokens is not None
        x, rstd = self._final
        last = len(self._trained.layers)
        dx = self._norm_backward(graph, d_hidden, x, rstd, 2 * last)
        for index in reversed(range(last)):
            saved = self._saved[index]
            if isinstance(saved, Tensor):
                _, saved = self._layer(graph, index, saved, self._sequences, None)
            dx = self._whole_layer_backward(graph, index, dx, saved, self._sequences)
        embedding_backward(graph, self._tokens, dx, self._trained.embedding.gradient)

    def _whole_layer_backward(
        self, graph: Graph, index: int, dy: Tensor, saved: SavedLayer, sequences: Sequences
    ) -> Tensor:
        """Record one layer's backward; return the gradient of its input."""
        d_activated = self._project_backward(graph, index, "down", dy, saved.down_saved.x)
        d_gate_up = swiglu_backward(graph, d_activated, saved.gate_up)
        d_normed = self._project_backward(graph, index, "gate_up", d_gate_up, saved.gate_up_saved.x)
        d_middle = self._norm_backward(
            graph, d_normed, saved.middle, saved.middle_rstd, 2 * index + 1, skip=dy
        )
        d_attended = self._project_backward(graph, index, "o", d_middle, saved.o_saved.x)
        d_qkv = self._attention_backward(graph, d_attended, saved, sequences)
        self._rotate(graph, d_qkv, sequences.positions, is_backward=True)
        d_normed = self._project_backward(graph, index, "qkv", d_qkv, saved.qkv_saved.x)
        return self._norm_backward(
            graph, d_normed, saved.x, saved.input_rstd, 2 * index, skip=d_middle
        )

    def _project_backward(
        self, graph: Graph, index: int, group: str, dy: Tensor, x: Tensor
    ) -> Tensor:
        """Add dW; return dx."""
        trained = self._trained.layers[index][group]
        linear_gradient(graph, dy, x, trained.gradient)
        return linear_backward(graph, dy, trained.matrix)

    def _norm_backward(
        self,
        graph: Graph,
        dy: Tensor,
        x: Tensor,
        rstd: Tensor,
        index: int,
        *,
        skip: Tensor | None = None,
    ) -> Tensor:
        """Add the gradient of a norm's weight; return dx."""
        rms_norm_gain_backward(graph, dy, x, rstd, self._trained.gain_gradient(index))
        weight = self._trained.norms()[index]
        return rms_norm_backward(graph, dy, x, weight, rstd, skip=skip)
