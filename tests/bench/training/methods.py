"""What is compared: one setting changed at a time, all else as in the first row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        group: The comparison it belongs to.
        train: Settings of `TrainConfig` that differ from the first row's.
        lora: Settings of `LoraConfig` that differ.
    """

    group: str
    train: Mapping[str, Any] = field(default_factory=dict)
    lora: Mapping[str, Any] = field(default_factory=dict)


BASE_TRAIN: dict[str, Any] = {
    "max_seq_len": 128,
    "micro_batch_size": 1,
    "learning_rate": 2e-3,
    "schedule": "cosine",
    "warmup_steps": 3,
    "packing": "best-fit",
    "eval_fraction": 0.0,
}
"""Settings of the first row; rank 4 and alpha 8 on all projections are the defaults."""

METHODS: dict[str, Method] = {
    "baseline": Method("baseline"),
    "packing none": Method("packing", {"packing": "none"}),
    "packing dual": Method("packing", {"packing": "dual"}),
    "curriculum tfidf": Method("curriculum", {"curriculum": "tfidf"}),
    "rank progressive": Method("rank schedule", {"rank_schedule": "progressive"}),
    "rank adaptive": Method("rank schedule", {"rank_schedule": "adaptive"}),
    "rank hardware": Method(
        "rank schedule", {"rank_schedule": "hardware"}, {"rank": 16, "alpha": 32}
    ),
    "adam8bit": Method("optimizer", {"optimizer": "adam8bit"}),
    "adafactor": Method("optimizer", {"optimizer": "adafactor"}),
    "LoRA+ 16": Method("scaling", {"lora_plus_ratio": 16.0}),
    "rsLoRA": Method("scaling", lora={"use_rslora": True}),
    "2 bits": Method("adapter bits", lora={"adapter_bits": 2}),
    "1 bit": Method("adapter bits", lora={"adapter_bits": 1}),
}
"""Name → method, in the order of the table."""
