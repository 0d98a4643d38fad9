"""LoRA adapters: everything that other parts use, and adapter folders on disk.

A folder holds `adapter_model.safetensors`, `adapter_config.json` and a `README.md`, and of an
adapter in one or two bits `adapter_model.lorabits` as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.config import LoraConfig, ModelConfig
from app.errors import AdapterError
from app.io.adapter_tensors import (
    AdapterTensors,
    adapter_shapes,
    adapter_to_safetensors,
    embedded_config,
)
from app.io.adapter_tensors import (
    adapter_from_bytes as peft_adapter_from_bytes,
)
from app.io.adapter_zip import CONFIG_NAME, WEIGHTS_NAME
from app.io.model_card import model_card
from app.io.packed_adapter import (
    SUFFIX,
    is_packed_adapter,
    packed_adapter_bytes,
    packed_adapter_from_bytes,
)
from app.io.peft_config import adapter_config_json, parse_config_bytes
from app.messages import say

__all__ = [
    "AdapterTensors",
    "adapter_config_json",
    "adapter_from_bytes",
    "adapter_shapes",
    "adapter_to_safetensors",
    "embedded_config",
    "is_packed_adapter",
    "model_card",
    "packed_adapter_bytes",
    "parse_config_bytes",
    "read_adapter_dir",
    "write_adapter_dir",
]

PACKED_NAME = f"adapter_model{SUFFIX}"


def adapter_from_bytes(
    data: bytes, config_json: Mapping[str, Any] | None, model: ModelConfig
) -> tuple[AdapterTensors, LoraConfig]:
    """Read a PEFT adapter or one of our packed files, whichever the bytes are.

    Args:
        data: The file.
        config_json: The contents of `adapter_config.json` where it came along; a packed file
            needs none.
        model: The loaded model.

    Raises:
        FormatError, AdapterError: it is not sound, not plain LoRA, or not for this model.
    """
    if is_packed_adapter(data):
        return packed_adapter_from_bytes(data, model)
    return peft_adapter_from_bytes(data, config_json, model)


def write_adapter_dir(
    path: Path, tensors: AdapterTensors, lora: LoraConfig, model: ModelConfig, base_name: str
) -> None:
    """Write a PEFT adapter folder, replacing an adapter that is there already.

    With `adapter_bits` of 1 or 2 the packed file lies in it too; the PEFT file holds the same
    values in f32.

    Raises:
        AdapterError: the tensors do not fit, or the folder cannot be written.
    """
    weights = adapter_to_safetensors(tensors, lora, model, base_name)
    config = json.dumps(adapter_config_json(lora, base_name), indent=2) + "\n"
    packed = None
    if lora.adapter_bits < 32:
        packed = packed_adapter_bytes(tensors, lora, model, base_name)
    try:
        path.mkdir(parents=True, exist_ok=True)
        _replace(path / WEIGHTS_NAME, weights)
        _replace(path / CONFIG_NAME, config.encode())
        _replace(path / "README.md", model_card(lora, base_name).encode())
        if packed is None:
            (path / PACKED_NAME).unlink(missing_ok=True)
        else:
            _replace(path / PACKED_NAME, packed)
    except OSError as error:
        raise AdapterError(
            say(
                "cannot write the adapter to {path}: {strerror}", path=path, strerror=error.strerror
            )
        ) from error


def read_adapter_dir(path: Path, model: ModelConfig) -> tuple[AdapterTensors, LoraConfig]:
    """Read a PEFT adapter folder, a single .safetensors file or a packed file.

    In a folder, `adapter_config.json` counts, as for PEFT. A single file goes by the config it
    carries, and only without one by an `adapter_config.json` beside it.

    Raises:
        FormatError: the .safetensors file is not sound.
        AdapterError: the files are missing, or the adapter does not fit the model.
    """
    weights = path / WEIGHTS_NAME if path.is_dir() else path
    if path.is_dir() and not weights.exists() and (path / PACKED_NAME).exists():
        weights = path / PACKED_NAME
    if path.is_dir() and not weights.exists():
        pickled = (path / "adapter_model.bin").exists()
        raise AdapterError(
            say(
                "{path} has no {weights_name} but a pickle, which is never opened: convert it. "
                "Give a PEFT adapter folder or a .safetensors file",
                path=path,
                weights_name=WEIGHTS_NAME,
            )
            if pickled
            else say(
                "{path} has no {weights_name}. Give a PEFT adapter folder or a .safetensors file",
                path=path,
                weights_name=WEIGHTS_NAME,
            )
        )
    config_path = weights.parent / CONFIG_NAME
    try:
        data = weights.read_bytes()
        config = config_path.read_bytes() if config_path.exists() else None
    except OSError as error:
        raise AdapterError(
            say("cannot read the adapter {path}: {strerror}", path=path, strerror=error.strerror)
        ) from error
    if is_packed_adapter(data):
        return adapter_from_bytes(data, None, model)
    alone = not path.is_dir() and embedded_config(data) is not None
    if config is None or alone:
        return adapter_from_bytes(data, None, model)
    return adapter_from_bytes(data, parse_config_bytes(config), model)


def _replace(path: Path, data: bytes) -> None:
    """Write beside the target, then rename: a crash never leaves half a file."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)
