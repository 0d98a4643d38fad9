"""The settings of a run, described for the page's form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, replace
from typing import Any

from app.config import (
    ADAPTER_BITS,
    CHECKPOINTINGS,
    CURRICULA,
    FULL_WEIGHTS,
    MODES,
    OPTIMIZERS,
    PACKINGS,
    QUANTIZATIONS,
    RANK_SCHEDULES,
    SCHEDULES,
    TARGET_MODULES,
    WHOLE,
    GenerationConfig,
    LoraConfig,
    Quantization,
    TrainConfig,
    tidied,
    unknown_settings,
)
from app.errors import ConfigError
from app.messages import Sentence, say
from app.plan.presets import PRESETS

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
    "adapter_bits": "Bits of the adapter",
    "rank_schedule": "Rank schedule",
    "lora_plus_ratio": "Learning rate of B over A",
    "optimizer": "Optimizer",
    "mode": "What is trained",
    "full_weights": "Weights in training",
    "gradient_checkpointing": "Recompute activations",
    "device_memory_gb": "Device memory, in GB",
    "weight_decay": "Weight decay",
    "max_grad_norm": "Gradient clipping",
    "packing": "Packing",
    "curriculum": "Curriculum",
    "eval_fraction": "Kept for evaluation",
    "seed": "Seed",
    "eval_every": "Evaluate every",
    "max_eval_tokens": "Tokens an evaluation",
    "early_stop_patience": "Early stop after",
    "sample_every": "Sample every",
    "sample_prompt": "Samples go on from",
    "checkpoint_every": "Checkpoint every",
    "max_new_tokens": "Longest answer",
    "temperature": "Temperature",
    "top_k": "Top-k",
    "top_p": "Top-p",
    "repetition_penalty": "Repetition penalty",
}

CHOICES: dict[str, tuple[str, ...]] = {
    "adapter_bits": tuple(map(str, ADAPTER_BITS)),
    "schedule": SCHEDULES,
    "rank_schedule": RANK_SCHEDULES,
    "optimizer": OPTIMIZERS,
    "packing": PACKINGS,
    "curriculum": CURRICULA,
    "gradient_checkpointing": CHECKPOINTINGS,
    "mode": MODES,
    "full_weights": FULL_WEIGHTS,
    "target_modules": TARGET_MODULES,
}
SWITCHES = frozenset(("use_rslora",))
OPTIONAL = frozenset(("steps", "max_eval_tokens", "device_memory_gb"))

ANSWER = GenerationConfig(temperature=0.0)
"""How the page's chat answers unless told otherwise: greedily, so that answers compare."""

GENERATION_NAMES = tuple(name for name in GenerationConfig.names() if name != "stop_token_ids")
"""What a person sets of an answer; where it ends is the model's affair."""
WORDS = frozenset(("sample_prompt",))


def describe_settings() -> list[dict[str, Any]]:
    """Return name, label, help, kind, choices and default of every setting, in form order."""
    items = (*fields(LoraConfig), *fields(TrainConfig))
    return [_describe(item, item.default) for item in items]


def describe_generation() -> list[dict[str, Any]]:
    """Return the same of every setting of an answer."""
    known = {item.name: item for item in fields(GenerationConfig)}
    return [_describe(known[name], getattr(ANSWER, name)) for name in GENERATION_NAMES]


def _describe(item: Field[Any], default: Any) -> dict[str, Any]:
    name = item.name
    return {
        "name": name,
        "label": LABELS.get(name, name.replace("_", " ").capitalize()),
        "help": item.metadata.get("help", ""),
        "kind": _kind(name),
        "choices": list(CHOICES.get(name, ())),
        "default": list(default) if isinstance(default, tuple) else default,
        "optional": name in OPTIONAL,
    }


def merge_generation(edits: Mapping[str, Any]) -> GenerationConfig:
    """Return how to answer: the page's choice with a person's edits on top.

    Raises:
        ConfigError: unknown names and values out of range, all in one message.
    """
    known = {name: tidied(name, value) for name, value in edits.items() if name in GENERATION_NAMES}
    merged = replace(ANSWER, **known)
    problems = unknown_settings(edits, GENERATION_NAMES) + merged.problems()
    if problems:
        raise ConfigError(*problems)
    return merged


def describe_presets() -> list[dict[str, str]]:
    """Return name, label and help of every preset, the furthest-going last."""
    return [
        {"name": name, "label": preset.label, "help": preset.help}
        for name, preset in PRESETS.items()
    ]


def labelled(problem: str) -> str:
    """Return a sentence on a setting, or two, with the names that the form gives them."""
    if isinstance(problem, Sentence) and "setting" in problem.values:
        named = {key: problem.values.get(key) for key in ("setting", "other")}
        return problem.with_values(
            **{key: say(LABELS[name]) for key, name in named.items() if name in LABELS}
        )
    if isinstance(problem, Sentence):
        return problem
    name, space, rest = problem.partition(" ")
    return f"{LABELS[name]}{space}{rest}" if name in LABELS else problem


def _kind(name: str) -> str:
    if name == "target_modules":
        return "modules"
    if name in CHOICES:
        return "choice"
    if name in SWITCHES:
        return "switch"
    if name in WORDS:
        return "text"
    return "int" if name in WHOLE and name != "alpha" else "float"


def quantization_of(request: Mapping[str, Any]) -> Quantization:
    """Return what a request wants weights turned into. Raises ConfigError for what there is not."""
    given = request.get("quantize", "none")
    for known in QUANTIZATIONS:
        if known == given:
            return known
    raise ConfigError(
        say(
            "quantize is {quantize}: choose from {quantizations}",
            quantize=f"{given!r}",
            quantizations=", ".join(QUANTIZATIONS),
        )
    )
