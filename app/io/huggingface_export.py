"""The small files of a HuggingFace model: what transformers reads beside the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from app.config import ModelConfig


def config_json(
    config: ModelConfig,
    dtype: Literal["f32", "f16"],
    *,
    bos_token_id: int | None,
    eos_token_id: int | None,
) -> dict[str, Any]:
    """Return config.json of a Llama model, as LlamaConfig reads it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": bos_token_id,
        "eos_token_id": eos_token_id,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "hidden_size": config.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_layers": config.num_hidden_layers,
        "num_key_value_heads": config.num_key_value_heads,
        "pretraining_tp": 1,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_scaling": None,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tie_word_embeddings,
        "torch_dtype": {"f32": "float32", "f16": "float16"}[dtype],
        "use_cache": True,
        "vocab_size": config.vocab_size,
    }


def small_files(
    config: Mapping[str, Any],
    *,
    tokenizer_json: str,
    chat_template: str | None,
    special_tokens: Mapping[str, str],
    stop_token_ids: Sequence[int],
) -> dict[str, str]:
    """Return name → text of every file but the weights.

    Args:
        config: From `config_json`.
        tokenizer_json: "" leaves the tokenizer's files out.
        chat_template: Jinja, if the model has one.
        special_tokens: bos_token and eos_token, as written in the vocabulary.
        stop_token_ids: Where an answer ends.
    """
    generation = {
        "bos_token_id": config["bos_token_id"],
        "eos_token_id": list(stop_token_ids),
    }
    files = {"config.json": _text(config), "generation_config.json": _text(generation)}
    if tokenizer_json:
        tokenizer = {
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": config["max_position_embeddings"],
            "tokenizer_class": "PreTrainedTokenizerFast",
            **special_tokens,
        }
        if chat_template is not None:
            tokenizer["chat_template"] = chat_template
        files["tokenizer.json"] = tokenizer_json
        files["tokenizer_config.json"] = _text(tokenizer)
    return files


def _text(values: Mapping[str, Any]) -> str:
    present = {key: value for key, value in values.items() if value is not None}
    return json.dumps(present, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
