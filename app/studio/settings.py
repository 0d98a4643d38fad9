"""The settings of a run: described for the page's form, and merged from what it sends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from app.config import (
    CURRICULA,
    OPTIMIZERS,
    PACKINGS,
    RANK_SCHEDULES,
    SCHEDULES,
    TARGET_MODULES,
    LoraConfig,
    TrainConfig,
)
from app.errors import ConfigError

LABELS = {
    "rank": "Rank",
    "alpha": "Alpha",
    "target_modules": "Projections",
    "max_seq_len": "Window, in tokens",
    "micro_batch_size": "Windows at once",
    "gradient_accumulation_steps": "Micro-batches a step",
    "steps": "Steps",
    "epochs": "Passes over the text",
    "learning_rate": "Learning rate",
    "schedule": "Schedule",
    "warmup_steps": "Warm-up steps",
    "use_rslora": "Rank-stabilised scale",
    "rank_schedule": "Rank schedule",
    "lora_plus_ratio": "Learning rate of B over A",
    "optimizer": "Optimizer",
    "weight_decay": "Weight decay",
    "max_grad_norm": "Gradient clipping",
    "packing": "Packing",
    "curriculum": "Curriculum",
    "eval_fraction": "Kept for evaluation",
    "seed": "Seed",
}

CHOICES: dict[str, tuple[str, ...]] = {
    "schedule": SCHEDULES,
    "rank_schedule": RANK_SCHEDULES,
    "optimizer": OPTIMIZERS,
    "packing": PACKINGS,
    "curriculum": CURRICULA,
    "target_modules": TARGET_MODULES,
}
WHOLE = frozenset(
    (
        "rank",
        "max_seq_len",
        "micro_batch_size",
        "gradient_accumulation_steps",
        "steps",
        "warmup_steps",
        "seed",
    )
)
SWITCHES = frozenset(("use_rslora",))
OPTIONAL = frozenset(("steps",))

_LORA_NAMES = frozenset(item.name for item in fields(LoraConfig))
_TRAIN_NAMES = frozenset(item.name for item in fields(TrainConfig))


def describe_settings() -> list[dict[str, Any]]:
    """Return name, label, help, kind, choices and default of every setting, in form order."""
    described = []
    for item in (*fields(LoraConfig), *fields(TrainConfig)):
        name = item.name
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        described.append(
            {
                "name": name,
                "label": LABELS.get(name, name.replace("_", " ").capitalize()),
                "help": item.metadata.get("help", ""),
                "kind": _kind(name),
                "choices": list(CHOICES.get(name, ())),
                "default": default,
                "optional": name in OPTIONAL,
            }
        )
    return described


def merge_settings(
    lora: LoraConfig, train: TrainConfig, edits: Mapping[str, Any]
) -> tuple[LoraConfig, TrainConfig]:
    """Return the suggested settings with a person's edits on top.

    Whole numbers arrive from JavaScript as floats where they were computed; 4.0 is 4.

    Raises:
        ConfigError: unknown names and values out of range, all in one message.
    """
    values = {name: _coerce(name, value) for name, value in edits.items()}
    unknown = sorted(values.keys() - _LORA_NAMES - _TRAIN_NAMES)
    problems = [f"unknown setting {name!r}" for name in unknown]
    merged_lora = replace(lora, **{k: v for k, v in values.items() if k in _LORA_NAMES})
    merged_train = replace(train, **{k: v for k, v in values.items() if k in _TRAIN_NAMES})
    for settings in (merged_lora, merged_train):
        try:
            problems += settings.problems()
        except TypeError:  # a word where a number belongs: comparing raised before its sentence
            problems += _not_numbers(asdict(settings))
    if problems:
        raise ConfigError("; ".join(problems))
    return merged_lora, merged_train


def settings_message(lora: LoraConfig, train: TrainConfig) -> dict[str, Any]:
    """Return all settings by name, as the form shows them."""
    values = asdict(lora) | asdict(train)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _kind(name: str) -> str:
    if name == "target_modules":
        return "modules"
    if name in CHOICES:
        return "choice"
    if name in SWITCHES:
        return "switch"
    return "int" if name in WHOLE else "float"


def _coerce(name: str, value: Any) -> Any:
    if isinstance(value, float) and name in WHOLE and value.is_integer():
        return int(value)
    return tuple(value) if name == "target_modules" and isinstance(value, list) else value


def _not_numbers(values: Mapping[str, Any]) -> list[str]:
    return [
        f"{LABELS.get(name, name)} is {value!r}: give a number"
        for name, value in values.items()
        if _kind(name) in ("int", "float")
        and not (value is None and name in OPTIONAL)
        and (isinstance(value, bool) or not isinstance(value, int | float))
    ]
