"""The shape of a model."""

from __future__ import annotations

from dataclasses import dataclass

from app.config.choices import TARGET_MODULES


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a decoder, in the names of HuggingFace `config.json`."""

    architecture: str
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    name: str = ""

    def projection_shape(self, module: str) -> tuple[int, int]:
        """Return (out_features, in_features) of one of `TARGET_MODULES`."""
        query = self.num_attention_heads * self.head_dim
        key_value = self.num_key_value_heads * self.head_dim
        hidden, inner = self.hidden_size, self.intermediate_size
        return {
            "q_proj": (query, hidden),
            "k_proj": (key_value, hidden),
            "v_proj": (key_value, hidden),
            "o_proj": (hidden, query),
            "gate_proj": (inner, hidden),
            "up_proj": (inner, hidden),
            "down_proj": (hidden, inner),
        }[module]

    @property
    def num_matmul_parameters(self) -> int:
        """Weights that a token is multiplied with: all projections and the head."""
        layer = 0
        for module in TARGET_MODULES:
            out_features, in_features = self.projection_shape(module)
            layer += out_features * in_features
        return layer * self.num_hidden_layers + self.vocab_size * self.hidden_size
