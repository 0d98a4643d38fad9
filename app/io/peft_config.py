"""The `adapter_config.json` of HuggingFace PEFT: what we write and what we can read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

from app.config import MAX_RANK, TARGET_MODULES, LoraConfig
from app.errors import AdapterError, json_problem
from app.io.strict_json import parse_json
from app.messages import say

MAX_CONFIG_BYTES = 1 << 20
MAX_CONFIG_DEPTH = 32

_MUST_BE_OFF = {
    "use_dora": "DoRA",
    "modules_to_save": say("fully trained modules"),
    "lora_bias": say("a LoRA bias"),
    "fan_in_fan_out": say("transposed weights"),
    "trainable_token_indices": say("trained token embeddings"),
    "target_parameters": say("LoRA on bare parameters"),
    "layer_replication": say("replicated layers"),
    "alora_invocation_tokens": say("activated LoRA"),
    "use_qalora": "QALoRA",
    "use_bdlora": say("block-diagonal LoRA"),
    "arrow_config": say("Arrow routing"),
    "kasa_config": "KaSA",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
}
"""Settings that change the mathematics or add tensors; all must be absent, null or false."""

_PLAIN_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")
"""Ways to start A and B that leave the base weights alone (PiSSA, OLoRA, LoftQ do not)."""

_PLAIN_PATTERN = re.compile(r"\^?[\w.]+\$?")


def adapter_config_json(lora: LoraConfig, base_name: str) -> dict[str, Any]:
    """Return the contents of `adapter_config.json` for an adapter of this engine.

    The scale is alpha / rank for every module, with no patterns: some consumers drop those
    silently. `lora_alpha` is a whole number wherever it can be; some accept nothing else.
    """
    alpha: int | float = int(lora.alpha) if float(lora.alpha).is_integer() else float(lora.alpha)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "revision": None,
        "r": lora.rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "target_modules": list(lora.target_modules),
        "bias": "none",
        "fan_in_fan_out": False,
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "layers_to_transform": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "init_lora_weights": True,
        "inference_mode": True,
    }


@dataclass(frozen=True)
class PeftConfig:
    """The settings of a foreign adapter that decide what its tensors mean."""

    base_name: str
    rank: int
    alpha: float
    use_rslora: bool
    target_modules: tuple[str, ...] | None
    """None where PEFT was given a pattern: then the tensors themselves say which."""
    exclude_modules: tuple[str, ...]
    layers: frozenset[int] | None
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]

    def targets(self, path: str) -> bool | None:
        """Whether `model.layers.N.…` gets an adapter; None where only the tensors know."""
        layer = int(path.split(".")[2])
        if self.layers is not None and layer not in self.layers:
            return False
        if _matches(self.exclude_modules, path) is not None:
            return False
        if self.target_modules is None:
            return None
        return _matches(self.target_modules, path) is not None

    def rank_of(self, path: str) -> int:
        """Return the rank that the config gives a module."""
        key = _matches(self.rank_pattern, path)
        return self.rank if key is None else self.rank_pattern[key]

    def scaling_of(self, path: str) -> float:
        """Return alpha / rank, or alpha / √rank with rank-stabilised LoRA."""
        key = _matches(self.alpha_pattern, path)
        alpha = self.alpha if key is None else self.alpha_pattern[key]
        rank = self.rank_of(path)
        return alpha / sqrt(rank) if self.use_rslora else alpha / rank


def parse_config_bytes(data: bytes | str) -> dict[str, Any]:
    """Parse the text of an `adapter_config.json`. Raises AdapterError where it is not one."""
    raw = data.encode() if isinstance(data, str) else data
    if len(raw) > MAX_CONFIG_BYTES:
        raise AdapterError(
            say(
                "adapter_config.json has {num_raw} bytes, the limit is {max_config_bytes}: "
                "this is not the config of an adapter",
                num_raw=len(raw),
                max_config_bytes=MAX_CONFIG_BYTES,
            )
        )
    try:
        config = parse_json(raw, max_depth=MAX_CONFIG_DEPTH)
    except ValueError as error:
        raise AdapterError(
            say(
                "adapter_config.json is not valid JSON ({error}): export the adapter again",
                error=json_problem(error),
            )
        ) from error
    if not isinstance(config, dict):
        raise AdapterError(
            say("adapter_config.json is not a JSON object: export the adapter again")
        )
    return config


def parse_peft_config(config: Mapping[str, Any]) -> PeftConfig:
    """Check that a config describes a plain LoRA and return what matters of it.

    Raises:
        AdapterError: names the setting, what was found and what was expected.
    """
    if str(config.get("peft_type")).upper() != "LORA":
        raise _bad("peft_type", config.get("peft_type"), "'LORA'")
    for key, meaning in _MUST_BE_OFF.items():
        if config.get(key):
            raise _bad(
                key, config[key], say("none: {meaning} cannot be used here", meaning=meaning)
            )
    if config.get("bias", "none") != "none":
        raise _bad("bias", config["bias"], say("'none': trained biases cannot be used here"))
    start = config.get("init_lora_weights", True)
    if not isinstance(start, bool | str | None) or start not in _PLAIN_STARTS:
        raise _bad(
            "init_lora_weights",
            start,
            say("true: other ways change the base model, convert it first"),
        )
    rslora = config.get("use_rslora") or False
    if not isinstance(rslora, bool):
        raise _bad("use_rslora", rslora, say("true or false"))
    return PeftConfig(
        base_name=str(config.get("base_model_name_or_path") or ""),
        rank=_rank("r", config.get("r", 8)),
        alpha=_alpha("lora_alpha", config.get("lora_alpha", 8)),
        use_rslora=rslora,
        target_modules=_target_modules(config.get("target_modules")),
        exclude_modules=_names("exclude_modules", config.get("exclude_modules") or []),
        layers=_layers(config.get("layers_to_transform")),
        rank_pattern={
            key: _rank(f"rank_pattern[{key!r}]", value)
            for key, value in _pattern("rank_pattern", config.get("rank_pattern")).items()
        },
        alpha_pattern={
            key: _alpha(f"alpha_pattern[{key!r}]", value)
            for key, value in _pattern("alpha_pattern", config.get("alpha_pattern")).items()
        },
    )


def short(value: Any) -> str:
    """Return a value for a message, cut where a file brings something huge."""
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _bad(key: str, found: Any, expected: str) -> AdapterError:
    return AdapterError(
        say(
            "adapter config: {key} is {found}, expected {expected}",
            key=short(key)[1:-1],
            found=short(found),
            expected=expected,
        )
    )


def _rank(key: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_RANK:
        raise _bad(key, value, say("a whole number from 1 to {limit}", limit=MAX_RANK))
    return value


def _alpha(key: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < 1e6 or not isfinite(value):
        raise _bad(key, value, say("a number above 0"))
    return value if isinstance(value, float) else float(value)


def _names(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise _bad(key, value, say("a list of module names"))
    return tuple(value)


def _target_modules(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        # A regular expression from a file is never run: it could take for ever.
        return None
    names = _names("target_modules", value)
    wrong = [name for name in names if name.rsplit(".", 1)[-1] not in TARGET_MODULES]
    if wrong or not names:
        expected = say("some of {modules}", modules=", ".join(TARGET_MODULES))
        raise _bad("target_modules", wrong or list(names), expected)
    return names


def _layers(value: Any) -> frozenset[int] | None:
    if value is None or value == []:
        return None
    layers = [value] if type(value) is int else value
    if not isinstance(layers, list) or not all(type(layer) is int for layer in layers):
        raise _bad("layers_to_transform", value, say("null, a layer number or a list of them"))
    return frozenset(layers)


def _pattern(key: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _bad(key, value, say("an object from module names to numbers"))
    for name in value:
        if not _PLAIN_PATTERN.fullmatch(name):
            raise _bad(f"{key} name", name, say("a module name or path, not a regular expression"))
    return value


def _matches(names: Iterable[str], path: str) -> str | None:
    """Return the first name that is the path or its end, by PEFT's rule, or None."""
    for name in names:
        bare = name.removesuffix("$")
        if bare.startswith("^"):
            if path == bare[1:]:
                return name
        elif path == bare or path.endswith("." + bare):
            return name
    return None
