"""Turn a HuggingFace config.json into a ModelConfig, or say exactly why it cannot be used."""

from __future__ import annotations

from math import isfinite
from typing import Any

from app.config import ModelConfig
from app.errors import FormatError
from app.messages import say

_FIXED: dict[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "pretraining_tp": (1,),
    "rope_scaling": (None,),
    "quantization_config": (None,),
}
"""Settings that change the mathematics, and the values that the engine computes with; the
first is what a missing key means."""


def model_config_from_json(values: Any, name: str) -> ModelConfig:
    """Return the shape of a Llama model after checking every number.

    Args:
        values: The contents of config.json.
        name: Of the model, for messages and where the config brings none.

    Raises:
        FormatError: another architecture, a variant with other mathematics (scaled RoPE,
            biases, quantized weights), or a number that is missing or out of range.
    """
    config = _Config(values, name)
    architecture = config.value("model_type", None)
    if architecture != "llama":
        raise config.bad(
            "model_type",
            architecture,
            say("'llama' (SmolLM2, TinyLlama, Llama 2): choose such a model"),
        )
    for key, allowed in _FIXED.items():
        found = config.value(key, allowed[0])
        if key == "rope_scaling" and _is_plain_rope(found):
            continue
        if found not in allowed:
            raise config.bad(
                key, found, say("{value}: this variant is not supported", value=repr(allowed[0]))
            )
    hidden = config.whole("hidden_size")
    heads = config.whole("num_attention_heads")
    kv_heads = config.whole("num_key_value_heads", heads)
    if heads % kv_heads:
        raise config.bad(
            "num_key_value_heads", kv_heads, say("a divisor of {heads} heads", heads=heads)
        )
    if config.value("head_dim", None) is None and hidden % heads:
        raise config.bad(
            "num_attention_heads", heads, say("a divisor of {hidden} (hidden_size)", hidden=hidden)
        )
    head_dim = config.whole("head_dim", hidden // heads)
    if head_dim % 2:
        raise config.bad("head_dim", head_dim, say("an even number"))
    is_tied = config.value("tie_word_embeddings", False)
    if not isinstance(is_tied, bool):
        raise config.bad("tie_word_embeddings", is_tied, say("true or false"))
    return ModelConfig(
        architecture="llama",
        hidden_size=hidden,
        intermediate_size=config.whole("intermediate_size"),
        num_hidden_layers=config.whole("num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        vocab_size=config.whole("vocab_size"),
        max_position_embeddings=config.whole("max_position_embeddings", 2048),
        rms_norm_eps=config.real("rms_norm_eps", 1e-6, 0.1),
        rope_theta=_rope_theta(config),
        tie_word_embeddings=is_tied,
        name=str(config.value("_name_or_path", None) or name),
    )


class _Config:
    """Checked access to the values of config.json."""

    def __init__(self, values: Any, name: str) -> None:
        self.name = name
        if not isinstance(values, dict):
            raise FormatError(
                say("{name}: config.json is no JSON object: fetch the model again", name=name)
            )
        self._values = values

    def bad(self, key: str, found: Any, expected: str) -> FormatError:
        shown = repr(found)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return FormatError(
            say(
                "{name}: {key} in config.json is {shown}, expected {expected}",
                name=self.name,
                key=key,
                shown=shown,
                expected=expected,
            )
        )

    def value(self, key: str, default: Any) -> Any:
        found = self._values.get(key)
        return default if found is None else found

    def whole(self, key: str, default: int | None = None) -> int:
        found = self.value(key, default)
        if type(found) is not int or not 0 < found < 2**31:
            raise self.bad(key, found, say("one whole number above 0"))
        return found

    def real(self, key: str, default: float, limit: float) -> float:
        return self.check_real(key, self.value(key, default), limit)

    def check_real(self, key: str, found: Any, limit: float) -> float:
        if type(found) not in (int, float) or not isfinite(found) or not 0 < found <= limit:
            raise self.bad(key, found, say("a number above 0, up to {limit}", limit=f"{limit:g}"))
        return float(found)


def _is_plain_rope(scaling: Any) -> bool:
    """Whether a rope_scaling or rope_parameters object stretches nothing."""
    if not isinstance(scaling, dict):
        return False
    kinds = {scaling.get("rope_type", "default"), scaling.get("type", "default")}
    return kinds == {"default"} and scaling.get("factor", 1.0) == 1.0


def _rope_theta(config: _Config) -> float:
    """Return the base of the rotations: a key of its own, or inside rope_parameters."""
    parameters = config.value("rope_parameters", None)
    if parameters is None:
        return config.real("rope_theta", 10000.0, 1e12)
    if not _is_plain_rope(parameters):
        raise config.bad(
            "rope_parameters",
            parameters,
            say("no stretched positions: choose a model without"),
        )
    theta = parameters.get("rope_theta", config.value("rope_theta", 10000.0))
    return config.check_real("rope_theta", theta, 1e12)
