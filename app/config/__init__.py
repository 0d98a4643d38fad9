"""Frozen settings of a model, an adapter, a training run and a generation.

Field names are those of HuggingFace `config.json`, PEFT and the command line; the `help`
metadata of a field is its one-line explanation there and in the page.
"""

from typing import Any

from app.config import checked
from app.config.checked import is_number, is_whole, unknown_settings, whole_names
from app.config.choices import (
    ADAPTER_BITS,
    CHECKPOINTINGS,
    CURRICULA,
    FULL_WEIGHTS,
    LOWRA_BITS,
    MAX_RANK,
    MODES,
    OPTIMIZERS,
    PACKINGS,
    QUANTIZATIONS,
    RANK_SCHEDULES,
    SCHEDULES,
    TARGET_MODULES,
    Checkpointing,
    Curriculum,
    FullWeights,
    OptimizerName,
    Packing,
    Quantization,
    RankScheduleName,
    Schedule,
)
from app.config.generation import GenerationConfig
from app.config.lora import LoraConfig
from app.config.model import ModelConfig
from app.config.train import TrainConfig

__all__ = [
    "ADAPTER_BITS",
    "CHECKPOINTINGS",
    "CURRICULA",
    "FULL_WEIGHTS",
    "LOWRA_BITS",
    "MAX_RANK",
    "MODES",
    "OPTIMIZERS",
    "PACKINGS",
    "QUANTIZATIONS",
    "RANK_SCHEDULES",
    "SCHEDULES",
    "TARGET_MODULES",
    "WHOLE",
    "Checkpointing",
    "Curriculum",
    "FullWeights",
    "GenerationConfig",
    "LoraConfig",
    "ModelConfig",
    "OptimizerName",
    "Packing",
    "Quantization",
    "RankScheduleName",
    "Schedule",
    "TrainConfig",
    "is_number",
    "is_whole",
    "tidied",
    "unknown_settings",
]

WHOLE = frozenset[str]().union(*map(whole_names, (LoraConfig, TrainConfig, GenerationConfig)))
"""Settings that are whole numbers, of all three."""


def tidied(name: str, value: Any) -> Any:
    """Return a value of any setting in the form that it is held in: see `checked.tidied`."""
    return checked.tidied(name, value, WHOLE)
