"""LoRA adapters: everything that other parts use, and adapter folders on disk.

A folder holds `adapter_model.safetensors`, `adapter_config.json` and a `README.md`.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from app.config import LoraConfig, ModelConfig
from app.errors import AdapterError
from app.io.adapter_tensors import (
    AdapterTensors,
    adapter_from_bytes,
    adapter_shapes,
    adapter_to_safetensors,
    embedded_config,
)
from app.io.peft_config import adapter_config_json, parse_config_bytes

__all__ = [
    "AdapterTensors",
    "adapter_config_json",
    "adapter_from_bytes",
    "adapter_shapes",
    "adapter_to_safetensors",
    "embedded_config",
    "model_card",
    "parse_config_bytes",
    "read_adapter_dir",
    "write_adapter_dir",
]

WEIGHTS_NAME = "adapter_model.safetensors"
CONFIG_NAME = "adapter_config.json"


def write_adapter_dir(
    path: Path, tensors: AdapterTensors, lora: LoraConfig, model: ModelConfig, base_name: str
) -> None:
    """Write a PEFT adapter folder, replacing an adapter that is there already.

    Raises:
        AdapterError: the tensors do not fit, or the folder cannot be written.
    """
    weights = adapter_to_safetensors(tensors, lora, model, base_name)
    config = json.dumps(adapter_config_json(lora, base_name), indent=2) + "\n"
    try:
        path.mkdir(parents=True, exist_ok=True)
        _replace(path / WEIGHTS_NAME, weights)
        _replace(path / CONFIG_NAME, config.encode())
        _replace(path / "README.md", model_card(lora, base_name).encode())
    except OSError as error:
        raise AdapterError(f"cannot write the adapter to {path}: {error.strerror}") from error


def read_adapter_dir(path: Path, model: ModelConfig) -> tuple[AdapterTensors, LoraConfig]:
    """Read a PEFT adapter folder, or a single .safetensors file.

    In a folder, `adapter_config.json` counts, as for PEFT. A single file goes by the config it
    carries, and only without one by an `adapter_config.json` beside it.

    Raises:
        FormatError: the .safetensors file is not sound.
        AdapterError: the files are missing, or the adapter does not fit the model.
    """
    weights = path / WEIGHTS_NAME if path.is_dir() else path
    if path.is_dir() and not weights.exists():
        pickled = (path / "adapter_model.bin").exists()
        raise AdapterError(
            f"{path} has no {WEIGHTS_NAME}"
            + (" but a pickle, which is never opened: convert it" if pickled else "")
            + ". Give a PEFT adapter folder or a .safetensors file"
        )
    config_path = weights.parent / CONFIG_NAME
    try:
        data = weights.read_bytes()
        config = config_path.read_bytes() if config_path.exists() else None
    except OSError as error:
        raise AdapterError(f"cannot read the adapter {path}: {error.strerror}") from error
    alone = not path.is_dir() and embedded_config(data) is not None
    if config is None or alone:
        return adapter_from_bytes(data, None, model)
    return adapter_from_bytes(data, parse_config_bytes(config), model)


def model_card(lora: LoraConfig, base_name: str) -> str:
    """Return a short README.md for the adapter's folder or repository."""
    # Only "owner/name" is a valid base_model on the Hub; free text would be refused there.
    is_id = re.fullmatch(r"[\w.-]+/[\w.-]+", base_name) is not None
    base_line = f"base_model: {base_name}\n" if is_id else ""
    return f"""---
library_name: peft
pipeline_tag: text-generation
{base_line}tags:
- lora
---

# LoRA adapter for {base_name}

Trained with LoRA Lab, on device. Rank {lora.rank}, alpha {lora.alpha:g}, on
{", ".join(lora.target_modules)}.

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained({json.dumps(base_name)})
model = PeftModel.from_pretrained(base, "path/to/this/folder")
```

The base was held in quantized form during training; on the unquantized base the adapter
behaves almost, not exactly, the same.
"""


def _replace(path: Path, data: bytes) -> None:
    """Write beside the target, then rename: a crash never leaves half a file."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)
