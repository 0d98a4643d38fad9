"""LoRA adapters as HuggingFace PEFT files, out and in.

A module `model.layers.N.self_attn.q_proj` has A (rank, in) and B (out, rank) and computes
y += (alpha / rank) · B·A·x. In the file they are named
`base_model.model.<module>.lora_{A,B}.weight`, rows in HuggingFace order. The single
.safetensors file carries its `adapter_config.json` in `__metadata__`, so that it is enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from app.config import TARGET_MODULES, LoraConfig, ModelConfig
from app.errors import AdapterError, ConfigError
from app.io.peft_config import (
    PeftConfig,
    adapter_config_json,
    parse_config_bytes,
    parse_peft_config,
    short,
)
from app.io.safetensors import read_safetensors, write_safetensors
from app.messages import say

FloatArray = npt.NDArray[np.float32]
AdapterTensors = dict[str, tuple[FloatArray, FloatArray]]
"""Module path → (A, B), float32, B's rows in HuggingFace order."""

CONFIG_KEY = "adapter_config"
"""Where the config lies in the `__metadata__` of a single-file adapter."""

_PREFIX = "base_model.model."
_KEY = re.compile(
    r"base_model\.model\.(?P<path>model\.layers\.(?P<layer>0|[1-9][0-9]{0,5})\.[a-z0-9_]+\.[a-z0-9_]+)"
    r"\.lora_(?P<half>[AB])(?:\.[^.]+)?\.weight"
)
_MLP_MODULES = ("gate_proj", "up_proj", "down_proj")


def adapter_shapes(model: ModelConfig) -> dict[str, tuple[int, int]]:
    """Return path → (out_features, in_features) of every module that can have an adapter."""
    return {
        f"model.layers.{layer}.{'mlp' if module in _MLP_MODULES else 'self_attn'}.{module}": (
            model.projection_shape(module)
        )
        for layer in range(model.num_hidden_layers)
        for module in TARGET_MODULES
    }


def adapter_to_safetensors(
    tensors: AdapterTensors, lora: LoraConfig, model: ModelConfig, base_name: str
) -> bytes:
    """Return the `adapter_model.safetensors` of an adapter, its config inside.

    Ranks below `lora.rank` are padded with zeros to it, which leaves B·A as it is. The scale that
    the config tells is alpha / rank, which every consumer knows: another is folded into B.

    Raises:
        AdapterError: modules or shapes are not those of the model, or a value is not finite.
    """
    lora.check()
    wanted = {
        path: shape
        for path, shape in adapter_shapes(model).items()
        if path.rsplit(".", 1)[-1] in lora.target_modules
    }
    wrong = sorted(wanted.keys() ^ tensors.keys())
    if wrong:
        kind = "missing" if wrong[0] in wanted else "not a target of this adapter"
        raise AdapterError(
            say("cannot export the adapter: {wrong} is {kind}", wrong=wrong[0], kind=kind)
        )
    arrays: dict[str, FloatArray] = {}
    fold = np.float32(lora.scaling * lora.rank / lora.alpha)
    for path, (a, b) in tensors.items():
        name_a, name_b = (f"{_PREFIX}{path}.lora_{half}.weight" for half in "AB")
        rank = a.shape[0] if a.ndim == 2 else 0
        if not 1 <= rank <= lora.rank:
            raise _mismatch(name_a, a.shape, f"1 to {lora.rank} rows")
        _check_half(name_a, a, (rank, wanted[path][1]))
        _check_half(name_b, b, (wanted[path][0], rank))
        arrays[name_a], arrays[name_b] = _pad(a, b if fold == 1 else fold * b, lora.rank)
    config = json.dumps(adapter_config_json(lora, base_name))
    return write_safetensors(arrays, {"format": "pt", CONFIG_KEY: config})


def adapter_from_bytes(
    safetensors: bytes, config_json: Mapping[str, Any] | None, model: ModelConfig
) -> tuple[AdapterTensors, LoraConfig]:
    """Read a plain-LoRA PEFT adapter that fits the model.

    Args:
        safetensors: the adapter file.
        config_json: the contents of `adapter_config.json`; None where only the one file is at
            hand and carries its config.
        model: the loaded model.

    Returns:
        The tensors and a config with one scale for all modules: other scales are folded into
        B, lower ranks padded with zeros. Modules of a partly adapted kind that the file leaves
        out (`layers_to_transform`) are zero.

    Raises:
        FormatError: the file is not sound safetensors.
        AdapterError: not plain LoRA, or not for this model; names the key, what was found and
            what was expected.
    """
    arrays, metadata = read_safetensors(safetensors)
    config = config_json if config_json is not None else _metadata_config(metadata)
    if config is None:
        raise AdapterError(
            say(
                "this .safetensors file does not carry its config: give adapter_config.json "
                "along with it (drop both files together)"
            )
        )
    settings = parse_peft_config(config)
    shapes = adapter_shapes(model)
    pairs = _pair_halves(arrays, shapes, model)
    wanted = _wanted_paths(pairs, settings, shapes)
    for path, halves in pairs.items():
        if path not in wanted:
            raise AdapterError(
                say(
                    "adapter tensor {values}: found, but the adapter's config does not target "
                    "this module; file and config do not belong together",
                    values=next(iter(halves.values()))[0],
                )
            )
    found = {path: _checked_pair(path, pairs[path], settings, shapes) for path in pairs}
    for path in wanted:
        if path not in found:
            raise _missing(path, "A")
    return _unify(found, settings, shapes)


def embedded_config(safetensors: bytes) -> dict[str, Any] | None:
    """Return the config that a single-file adapter carries, or None.

    Raises:
        FormatError: the file is not sound safetensors.
        AdapterError: it carries a config that is not a JSON object.
    """
    return _metadata_config(read_safetensors(safetensors)[1])


def _metadata_config(metadata: Mapping[str, str]) -> dict[str, Any] | None:
    return parse_config_bytes(metadata[CONFIG_KEY]) if CONFIG_KEY in metadata else None


def _pair_halves(
    arrays: Mapping[str, FloatArray], shapes: Mapping[str, tuple[int, int]], model: ModelConfig
) -> dict[str, dict[str, tuple[str, FloatArray]]]:
    """Return path → half → (key, array), with every key of the file understood."""
    pairs: dict[str, dict[str, tuple[str, FloatArray]]] = {}
    for key, array in arrays.items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise AdapterError(
                say("adapter tensor {key}: {key_2}", key=short(key), key_2=_explain_key(key))
            )
        path, half = match["path"], match["half"]
        if path not in shapes:
            layers = model.num_hidden_layers
            wrong = f"layer {match['layer']}" if int(match["layer"]) >= layers else f"module {path}"
            raise AdapterError(
                say(
                    "adapter tensor {key}: found {wrong}, expected layers 0 to {layers} with "
                    "{target_modules}. The adapter belongs to another model",
                    key=key,
                    wrong=wrong,
                    layers=layers - 1,
                    target_modules=", ".join(TARGET_MODULES),
                )
            )
        halves = pairs.setdefault(path, {})
        if half in halves:
            raise AdapterError(
                say(
                    "adapter tensor {key}: found a second lora_{half} of this module after "
                    "{halves}, expected one adapter in the file",
                    key=key,
                    half=half,
                    halves=halves[half][0],
                )
            )
        halves[half] = (key, array)
    if not pairs:
        raise AdapterError(
            say("the file holds no LoRA tensors, expected lora_A and lora_B weights")
        )
    return pairs


def _explain_key(key: str) -> str:
    """Say what a key that is not a LoRA half of a projection most likely is."""
    if "lora_magnitude_vector" in key:
        return "found a DoRA magnitude, expected plain LoRA (lora_A and lora_B only)"
    if "lora_embedding_" in key or "embed_tokens" in key or "lm_head" in key:
        return "found an adapted embedding or head, expected adapters of the layers only"
    if key.endswith(".bias"):
        return "found a bias, expected an adapter with bias 'none'"
    return (
        f"found a tensor that plain LoRA does not have, expected {_PREFIX}model.layers.N."
        "<self_attn or mlp>.<projection>.lora_A.weight (or lora_B)"
    )


def _wanted_paths(
    pairs: Mapping[str, Any], settings: PeftConfig, shapes: Mapping[str, tuple[int, int]]
) -> set[str]:
    """Return the modules that config and file say are adapted."""
    modules = {path.rsplit(".", 1)[-1] for path in pairs}
    wanted = set()
    for path in shapes:
        targeted = settings.targets(path)
        if targeted is None:
            targeted = path.rsplit(".", 1)[-1] in modules
        if targeted:
            wanted.add(path)
    return wanted


def _checked_pair(
    path: str,
    halves: Mapping[str, tuple[str, FloatArray]],
    settings: PeftConfig,
    shapes: Mapping[str, tuple[int, int]],
) -> tuple[FloatArray, FloatArray]:
    out_features, in_features = shapes[path]
    rank = settings.rank_of(path)
    made_for = f" (the adapter was made for {short(settings.base_name)})"
    for half, shape in (("A", (rank, in_features)), ("B", (out_features, rank))):
        if half not in halves:
            raise _missing(path, half)
        key, array = halves[half]
        _check_half(key, array, shape, made_for if settings.base_name else "")
    return halves["A"][1], halves["B"][1]


def _unify(
    found: AdapterTensors, settings: PeftConfig, shapes: Mapping[str, tuple[int, int]]
) -> tuple[AdapterTensors, LoraConfig]:
    """Bring all modules to one rank and one scale, without changing any update."""
    rank = max(a.shape[0] for a, _ in found.values())
    scales = {path: settings.scaling_of(path) for path in found}
    # The largest scale: then every factor on B is below 1 and nothing overflows.
    scale = max(scales.values())
    alpha = scale * rank
    # alpha / rank · rank may round; the usual adapter keeps its alpha to the last bit.
    if not settings.use_rslora and scale == settings.alpha / rank:
        alpha = settings.alpha
    modules = {path.rsplit(".", 1)[-1] for path in found}
    try:
        lora = LoraConfig(
            rank, alpha, tuple(module for module in TARGET_MODULES if module in modules)
        ).check()
    except ConfigError as error:
        raise AdapterError(
            say("the adapter's settings cannot be used: {error}", error=error)
        ) from error
    unified: AdapterTensors = {}
    for path, (out_features, in_features) in shapes.items():
        if path in found:
            a, b = found[path]
            if scales[path] != scale:
                with np.errstate(under="ignore"):
                    b = (b * np.float64(scales[path] / scale)).astype(np.float32)
            unified[path] = _pad(a, b, rank)
        elif path.rsplit(".", 1)[-1] in modules:
            zeros_a = np.zeros((rank, in_features), np.float32)
            unified[path] = (zeros_a, np.zeros((out_features, rank), np.float32))
    return unified, lora


def _pad(a: FloatArray, b: FloatArray, rank: int) -> tuple[FloatArray, FloatArray]:
    extra = rank - a.shape[0]
    if not extra:
        return a, b
    return np.pad(a, ((0, extra), (0, 0))), np.pad(b, ((0, 0), (0, extra)))


def _check_half(key: str, array: FloatArray, shape: tuple[int, int], hint: str = "") -> None:
    if array.shape != shape:
        raise _mismatch(key, array.shape, f"{shape} for the loaded model{hint}")
    if not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise AdapterError(
            say(
                "adapter tensor {key}: found {bad} values that are NaN or infinite, expected "
                "finite numbers. The adapter is damaged: take an earlier one",
                key=key,
                bad=bad,
            )
        )


def _mismatch(key: str, found: tuple[int, ...], expected: str) -> AdapterError:
    return AdapterError(
        say(
            "adapter tensor {key}: found shape {found}, expected {expected}. Load the "
            "model that it was trained on, or another adapter",
            key=key,
            found=found,
            expected=expected,
        )
    )


def _missing(path: str, half: str) -> AdapterError:
    return AdapterError(
        say(
            "adapter tensor {prefix}{path}.lora_{half}.weight: found none, expected one. "
            "The adapter is incomplete or belongs to another model",
            prefix=_PREFIX,
            path=path,
            half=half,
        )
    )
