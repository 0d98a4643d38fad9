"""A random decoder small enough for finite differences, with all the shapes distinct."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from app.config import TARGET_MODULES, LoraConfig, ModelConfig

Arrays = dict[str, npt.NDArray[np.float64]]
Adapter = dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]

CONFIG = ModelConfig(
    architecture="llama",
    hidden_size=12,
    intermediate_size=10,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=4,
    vocab_size=17,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    rope_theta=500.0,
    tie_word_embeddings=True,
    name="tiny",
)
"""hidden_size differs from num_attention_heads · head_dim, so that a mix-up fails."""

LORA = LoraConfig(rank=2, alpha=5)


def module_paths(config: ModelConfig) -> dict[str, str]:
    """Return HuggingFace path → projection name for every projection of every layer."""
    paths = {}
    for layer in range(config.num_hidden_layers):
        for module in TARGET_MODULES:
            part = "self_attn" if module in ("q_proj", "k_proj", "v_proj", "o_proj") else "mlp"
            paths[f"model.layers.{layer}.{part}.{module}"] = module
    return paths


def tiny_weights(seed: int, *, tied: bool = True) -> tuple[ModelConfig, Arrays]:
    """Return the config and random weights under HuggingFace names."""
    rng = np.random.default_rng(seed)
    config = replace(CONFIG, tie_word_embeddings=tied)
    hidden = config.hidden_size
    weights = {
        f"{path}.weight": rng.normal(size=config.projection_shape(module)) / np.sqrt(hidden)
        for path, module in module_paths(config).items()
    }
    norms = ["model.norm"]
    for layer in range(config.num_hidden_layers):
        norms += [
            f"model.layers.{layer}.input_layernorm",
            f"model.layers.{layer}.post_attention_layernorm",
        ]
    weights |= {f"{name}.weight": 1 + 0.3 * rng.normal(size=hidden) for name in norms}
    weights["model.embed_tokens.weight"] = rng.normal(size=(config.vocab_size, hidden))
    if not tied:
        weights["lm_head.weight"] = rng.normal(size=(config.vocab_size, hidden))
    return config, weights


def tiny_adapter(config: ModelConfig, lora: LoraConfig, seed: int) -> Adapter:
    """Return a random adapter on all projections, B not zero."""
    rng = np.random.default_rng(seed)
    adapter = {}
    for path, module in module_paths(config).items():
        out_features, in_features = config.projection_shape(module)
        if module in lora.target_modules:
            adapter[path] = (
                0.5 * rng.normal(size=(lora.rank, in_features)),
                0.5 * rng.normal(size=(out_features, lora.rank)),
            )
    return adapter
