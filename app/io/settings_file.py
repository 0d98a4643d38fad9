"""Settings of a run in a file: flat, in the names of the command line, as JSON or TOML.

PEFT's and the HuggingFace Trainer's names are read too where they mean the same setting. What
a value may be is not known here: see `app.plan.run_input`.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.errors import FormatError, StudioError, json_problem
from app.io.strict_json import parse_json

SETTINGS_NAME = "settings.json"
MAX_BYTES = 1 << 20
MAX_DEPTH = 4

ALIASES = {
    "r": "rank",
    "lora_alpha": "alpha",
    "max_length": "max_seq_len",
    "max_seq_length": "max_seq_len",
    "per_device_train_batch_size": "micro_batch_size",
    "max_steps": "steps",
    "num_train_epochs": "epochs",
    "lr_scheduler_type": "schedule",
    "optim": "optimizer",
    "loraplus_lr_ratio": "lora_plus_ratio",
}
"""Names of `peft.LoraConfig`, `transformers.TrainingArguments` and `trl.SFTConfig` → ours."""


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return the settings of a file; one that ends in .toml is TOML, any other JSON.

    Raises:
        FormatError: too large, not such a file, or a setting that is given twice.
        StudioError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise StudioError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise FormatError(f"{path.name} has more than {MAX_BYTES >> 20} MiB: give settings only")
    kind = "TOML" if path.suffix.lower() == ".toml" else "JSON"
    try:
        found = _parse_toml(raw) if kind == "TOML" else _parse_json(raw)
    except (ValueError, RecursionError) as error:
        reason = json_problem(error)
        raise FormatError(f"{path.name} is not {kind} of settings: {reason}") from error
    if not isinstance(found, dict):
        raise FormatError(f'{path.name} holds no settings: give an object, such as {{"rank": 8}}')
    return _by_our_names(found, path.name)


def write_settings_file(folder: Path, values: Mapping[str, Any]) -> None:
    """Write `settings.json`, which `read_settings_file` reads, into a folder.

    Raises:
        StudioError: the folder cannot be written to.
    """
    text = json.dumps(dict(values), indent=2) + "\n"
    part = folder / f"{SETTINGS_NAME}.part"
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, folder / SETTINGS_NAME)
    except OSError as error:
        raise StudioError(f"cannot write to {folder}: {error.strerror}") from error


def _parse_json(raw: bytes) -> Any:
    return parse_json(raw, max_depth=MAX_DEPTH, object_pairs_hook=_without_repeats)


def _parse_toml(raw: bytes) -> Any:
    return tomllib.loads(raw.decode("utf-8"))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{repeated!r} is given twice")
    return found


def _by_our_names(values: Mapping[str, Any], file_name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        ours = ALIASES.get(name, name)
        if ours in found:
            raise FormatError(f"{file_name} gives {ours} under two names: give it once")
        found[ours] = value
    return found
