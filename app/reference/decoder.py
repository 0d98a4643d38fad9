"""A whole Llama decoder with LoRA in float64, forward and backward, built from the twins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.errors import ShapeError
from app.reference.adapter_bits import quantize_adapter, straight_through_adapter
from app.reference.attention import attention, attention_backward
from app.reference.cross_entropy import IGNORE_INDEX, cross_entropy
from app.reference.embedding import embedding, embedding_backward
from app.reference.linear import linear, linear_backward, lora_backward, weight_gradient
from app.reference.rms_norm import rms_norm, rms_norm_backward, rms_norm_gain_backward
from app.reference.rope import rope, rope_backward
from app.reference.swiglu import swiglu, swiglu_backward

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.config import LoraConfig, ModelConfig
    from app.reference.arrays import Float64Array, IntArray, RealArray

    AdapterArrays = Mapping[str, tuple[RealArray, RealArray]]
    AdapterGradients = dict[str, tuple[Float64Array, Float64Array]]


@dataclass(frozen=True)
class _LayerState:
    """What the backward of one layer reads; T = B·S rows each."""

    x: Float64Array
    attention_rstd: Float64Array
    attention_input: Float64Array
    q: Float64Array
    k: Float64Array
    v: Float64Array
    o: Float64Array
    logsumexp: Float64Array
    middle: Float64Array
    mlp_rstd: Float64Array
    mlp_input: Float64Array
    gate_up: Float64Array
    activation: Float64Array


class ReferenceDecoder:
    """Llama decoder over HuggingFace weights.

    Each layer, with h a residual stream of (T, hidden_size) rows:
        h ← h + o_proj(attention(rope(q_proj(n)), rope(k_proj(n)), v_proj(n))),  n = rms_norm(h)
        h ← h + down_proj(swiglu([gate_proj(n) | up_proj(n)])),  n = rms_norm(h)
    and logits = rms_norm(h)·headᵀ; the head is the embedding table where weights has no
    "lm_head.weight".

    Args:
        config: Shape of the model.
        weights: HuggingFace names to arrays, for example
            "model.layers.0.self_attn.q_proj.weight" (out, in), rows in HuggingFace order. Any
            mapping: each weight is asked for when it is used, so it may be made on demand.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, RealArray]) -> None:
        self.config = config
        self.weights = weights

    def forward(
        self,
        tokens: IntArray,
        adapter: AdapterArrays | None = None,
        lora: LoraConfig | None = None,
    ) -> Float64Array:
        """Return the logits of every position.

        Args:
            tokens: (B, S) token ids; every row starts at position 0.
            adapter: Module path ("model.layers.0.self_attn.q_proj") to A (rank, in) and
                B (out, rank), or None for the base.
            lora: Gives the scaling and the bits that A and B are rounded to; needed with an
                adapter.

        Returns:
            (B, S, V).
        """
        hidden, _, _ = self._hidden(tokens, _Lora.of(adapter, lora))
        return linear(hidden, self._head()).reshape(*tokens.shape, -1)

    def loss_and_gradients(
        self,
        tokens: IntArray,
        targets: IntArray,
        adapter: AdapterArrays,
        lora: LoraConfig,
        normalizer: float | None = None,
    ) -> tuple[float, AdapterGradients]:
        """Loss of one batch and its gradient with respect to every adapter tensor.

        Args:
            tokens: (B, S) token ids.
            targets: (B, S); the token to be predicted at each position, -100 for none.
            adapter: As in `forward`; may cover some modules only.
            lora: Gives the scaling; in few bits the forward and each factor's partner in the
                backward are the rounded ones, and gradients pass straight through.
            normalizer: What the summed loss is divided by; None for the number of targets.

        Returns:
            The loss in nats and, for each module of the adapter, (dA, dB).
        """
        if targets.shape != tokens.shape:
            raise ShapeError(f"targets have shape {targets.shape} but tokens {tokens.shape}")
        update = _Lora.of(adapter, lora)
        loss = self._backpropagate(tokens, targets, update, normalizer)
        return loss, update.passed_through(adapter)

    def loss_and_weight_gradients(
        self, tokens: IntArray, targets: IntArray, normalizer: float | None = None
    ) -> tuple[float, dict[str, Float64Array]]:
        """Loss of one batch, without an adapter, and its gradient with respect to every weight.

        For small vocabularies: the head's gradient is made from all logits at once. A tied head
        adds its gradient to the embedding's.

        Args:
            tokens: (B, S) token ids.
            targets: (B, S); the token to be predicted at each position, -100 for none.
            normalizer: What the summed loss is divided by; None for the number of targets.

        Returns:
            The loss in nats and, for each name of `weights`, the gradient in its shape.
        """
        gradients = {name: np.zeros(weight.shape) for name, weight in self.weights.items()}
        update = _Lora({}, 0.0, {}, 32, gradients)
        return self._backpropagate(tokens, targets, update, normalizer), gradients

    def _backpropagate(
        self, tokens: IntArray, targets: IntArray, update: _Lora, normalizer: float | None
    ) -> float:
        """Return the loss; file the gradients in `update`."""
        if normalizer is None:
            normalizer = max(1, int(np.sum(targets != IGNORE_INDEX)))
        hidden, last, states = self._hidden(tokens, update)
        head, wanted = self._head(), targets.reshape(-1)
        loss, dhidden = cross_entropy(hidden, head, wanted, normalizer=normalizer)
        if update.weights is not None:
            identity = np.eye(len(head))
            _, dlogits = cross_entropy(
                linear(hidden, head), identity, wanted, normalizer=normalizer
            )
            tied = "lm_head.weight" not in self.weights
            name = "model.embed_tokens.weight" if tied else "lm_head.weight"
            update.weights[name] += weight_gradient(dlogits, hidden)
        dx = self._norm_backward("model.norm", dhidden, *last, update)
        for index in reversed(range(len(states))):
            dx = self._layer_backward(index, dx, states[index], tokens.shape, update)
        if update.weights is not None:
            vocab_size = self.config.vocab_size
            update.weights["model.embed_tokens.weight"] += embedding_backward(
                tokens.reshape(-1), dx, vocab_size
            )
        return loss

    def _head(self) -> RealArray:
        tied = "lm_head.weight" not in self.weights
        return self.weights["model.embed_tokens.weight" if tied else "lm_head.weight"]

    def _hidden(
        self, tokens: IntArray, update: _Lora
    ) -> tuple[Float64Array, tuple[Float64Array, Float64Array], list[_LayerState]]:
        x = embedding(tokens.reshape(-1), self.weights["model.embed_tokens.weight"])
        states = []
        for index in range(self.config.num_hidden_layers):
            x, state = self._layer(index, x, (tokens.shape[0], tokens.shape[1]), update)
            states.append(state)
        hidden, rstd = self._norm("model.norm", x)
        return hidden, (x, rstd), states

    def _layer(
        self, index: int, x: Float64Array, shape: tuple[int, int], update: _Lora
    ) -> tuple[Float64Array, _LayerState]:
        config, prefix = self.config, f"model.layers.{index}"
        head_dim = config.head_dim
        positions = np.tile(np.arange(shape[1]), shape[0])

        attention_input, attention_rstd = self._norm(f"{prefix}.input_layernorm", x)
        rows_q, rows_k, rows_v = (
            self._project(f"{prefix}.self_attn.{name}_proj", attention_input, update).reshape(
                len(x), -1, head_dim
            )
            for name in "qkv"
        )
        q = rope(rows_q, positions, theta=config.rope_theta).reshape(*shape, -1, head_dim)
        k = rope(rows_k, positions, theta=config.rope_theta).reshape(*shape, -1, head_dim)
        v = rows_v.reshape(*shape, -1, head_dim)
        o, logsumexp = attention(q, k, v)
        middle = self._project(f"{prefix}.self_attn.o_proj", o.reshape(len(x), -1), update, x)

        mlp_input, mlp_rstd = self._norm(f"{prefix}.post_attention_layernorm", middle)
        gate, up = (
            self._project(f"{prefix}.mlp.{name}_proj", mlp_input, update) for name in ("gate", "up")
        )
        gate_up = np.concatenate([gate, up], axis=-1)
        activation = swiglu(gate_up)
        y = self._project(f"{prefix}.mlp.down_proj", activation, update, middle)
        return y, _LayerState(
            x=x,
            attention_rstd=attention_rstd,
            attention_input=attention_input,
            q=q,
            k=k,
            v=v,
            o=o,
            logsumexp=logsumexp,
            middle=middle,
            mlp_rstd=mlp_rstd,
            mlp_input=mlp_input,
            gate_up=gate_up,
            activation=activation,
        )

    def _layer_backward(
        self,
        index: int,
        dy: Float64Array,
        state: _LayerState,
        shape: tuple[int, ...],
        update: _Lora,
    ) -> Float64Array:
        config, prefix = self.config, f"model.layers.{index}"
        num_rows = len(dy)
        positions = np.tile(np.arange(shape[1]), shape[0])

        d_activation = self._backward(f"{prefix}.mlp.down_proj", dy, state.activation, update)
        dgate, dup = np.split(swiglu_backward(d_activation, state.gate_up), 2, axis=-1)
        d_input = self._backward(f"{prefix}.mlp.gate_proj", dgate, state.mlp_input, update)
        d_input += self._backward(f"{prefix}.mlp.up_proj", dup, state.mlp_input, update)
        dmiddle = dy + self._norm_backward(
            f"{prefix}.post_attention_layernorm", d_input, state.middle, state.mlp_rstd, update
        )

        o_rows = state.o.reshape(num_rows, -1)
        do = self._backward(f"{prefix}.self_attn.o_proj", dmiddle, o_rows, update)
        dq, dk, dv = attention_backward(
            do.reshape(state.o.shape), state.q, state.k, state.v, state.o, state.logsumexp
        )
        dq, dk = (
            rope_backward(
                gradient.reshape(num_rows, -1, config.head_dim),
                positions,
                theta=config.rope_theta,
            )
            for gradient in (dq, dk)
        )
        d_input = np.zeros_like(dy)
        for name, gradient in zip("qkv", (dq, dk, dv), strict=True):
            rows = gradient.reshape(num_rows, -1)
            module = f"{prefix}.self_attn.{name}_proj"
            d_input += self._backward(module, rows, state.attention_input, update)
        return dmiddle + self._norm_backward(
            f"{prefix}.input_layernorm", d_input, state.x, state.attention_rstd, update
        )

    def _norm(self, module: str, x: Float64Array) -> tuple[Float64Array, Float64Array]:
        return rms_norm(x, self.weights[f"{module}.weight"], eps=self.config.rms_norm_eps)

    def _norm_backward(
        self, module: str, dy: Float64Array, x: Float64Array, rstd: Float64Array, update: _Lora
    ) -> Float64Array:
        """Return dx and file the gradient of the norm's weight."""
        if update.weights is not None:
            update.weights[f"{module}.weight"] += rms_norm_gain_backward(dy, x, rstd)
        return rms_norm_backward(dy, x, self.weights[f"{module}.weight"], rstd)

    def _project(
        self, module: str, x: Float64Array, update: _Lora, residual: Float64Array | None = None
    ) -> Float64Array:
        lora_a, lora_b = update.adapter.get(module, (None, None))
        weight = self.weights[f"{module}.weight"]
        return linear(x, weight, lora_a, lora_b, update.scaling, residual)

    def _backward(
        self, module: str, dy: Float64Array, x: Float64Array, update: _Lora
    ) -> Float64Array:
        """Return dx and file the gradients of the module's weight, A and B."""
        dx = linear_backward(dy, self.weights[f"{module}.weight"])
        if update.weights is not None:
            update.weights[f"{module}.weight"] += weight_gradient(dy, x)
        if module in update.adapter:
            lora_a, lora_b = update.adapter[module]
            dx_part, da, db = lora_backward(dy, x, lora_a, lora_b, update.scaling)
            update.gradients[module] = (da, db)
            dx += dx_part
        return dx


@dataclass(frozen=True)
class _Lora:
    """An adapter as it is applied, its scaling and, after a backward, its gradients.

    Attributes:
        weights: Where the gradients of the weights themselves are added; None where none are asked.
    """

    adapter: AdapterArrays
    scaling: float
    gradients: AdapterGradients
    bits: int
    weights: dict[str, Float64Array] | None = None

    @classmethod
    def of(cls, adapter: AdapterArrays | None, lora: LoraConfig | None) -> _Lora:
        if adapter and lora is None:
            raise ShapeError("an adapter was given without its LoraConfig: pass lora too")
        if not adapter or lora is None:
            return cls({}, 0.0, {}, 32)
        bits = lora.adapter_bits
        if bits < 32:
            adapter = {path: quantize_adapter(*pair, bits) for path, pair in adapter.items()}
        return cls(adapter, lora.scaling, {}, bits)

    def passed_through(self, adapter: AdapterArrays) -> AdapterGradients:
        """Return the gradients with respect to the values that were rounded."""
        if self.bits == 32:
            return self.gradients
        return {
            path: straight_through_adapter(*pair, *adapter[path], self.bits)
            for path, pair in self.gradients.items()
        }
