"""The settings of a run, described for the page's form."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from app.config import (
    CURRICULA,
    OPTIMIZERS,
    PACKINGS,
    RANK_SCHEDULES,
    SCHEDULES,
    TARGET_MODULES,
    WHOLE,
    LoraConfig,
    TrainConfig,
)

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
SWITCHES = frozenset(("use_rslora",))
OPTIONAL = frozenset(("steps",))


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


def labelled(problem: str) -> str:
    """Return a sentence on a setting with the name that the form gives it."""
    name, space, rest = problem.partition(" ")
    return f"{LABELS.get(name, name)}{space}{rest}"


def _kind(name: str) -> str:
    if name == "target_modules":
        return "modules"
    if name in CHOICES:
        return "choice"
    if name in SWITCHES:
        return "switch"
    return "int" if name in WHOLE and name != "alpha" else "float"
