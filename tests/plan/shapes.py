"""A model small enough to be tuned in seconds on a software adapter."""

from __future__ import annotations

from app.config import ModelConfig

TINY = ModelConfig(
    architecture="llama",
    hidden_size=64,
    intermediate_size=160,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    vocab_size=320,
    max_position_embeddings=128,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    tie_word_embeddings=False,
    name="tiny",
)
