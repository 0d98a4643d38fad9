"""What is compared: one setting changed at a time, all else as in the first row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.config import LOWRA_BITS, Quantization


@dataclass(frozen=True)
class Base:
    """What a run starts from instead of the GGUF file: the F16 folder, quantized on load or not.

    Attributes:
        quantization: What its projections become.
        bits: Average bits of a weight, with lowra.
    """

    quantization: Quantization
    bits: float = LOWRA_BITS


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        group: The comparison it belongs to.
        train: Settings of `TrainConfig` that differ from the first row's.
        lora: Settings of `LoraConfig` that differ.
        base: Where it is not the GGUF file.
    """

    group: str
    train: Mapping[str, Any] = field(default_factory=dict)
    lora: Mapping[str, Any] = field(default_factory=dict)
    base: Base | None = None

    @property
    def is_full(self) -> bool:
        """Whether it trains all weights."""
        return self.train.get("mode") == "full"


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

FULL_TRAIN: dict[str, Any] = {"mode": "full", "learning_rate": 5e-5}
"""All weights want a smaller step than an adapter that starts at zero; this one was not tuned."""

FEW_BITS = "base below three bits"
"""The group whose losses need an axis of their own."""

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
    "F16 base": Method("base", base=Base("none")),
    "int4 base": Method("base", base=Base("int4")),
    "int4-symmetric base": Method("base", base=Base("int4-symmetric")),
    "nf4 base": Method("base", base=Base("nf4")),
    "lowra base, 2.5 bits": Method(FEW_BITS, base=Base("lowra", 2.5)),
    "lowra base, 1.8 bits": Method(FEW_BITS, base=Base("lowra", 1.8)),
    "full, f16, adafactor": Method(
        "all weights",
        {**FULL_TRAIN, "full_weights": "f16", "optimizer": "adafactor"},
        base=Base("none"),
    ),
    "full, f16, adam8bit": Method(
        "all weights",
        {**FULL_TRAIN, "full_weights": "f16", "optimizer": "adam8bit"},
        base=Base("none"),
    ),
    "full, int4, adafactor": Method(
        "all weights",
        {**FULL_TRAIN, "full_weights": "int4", "optimizer": "adafactor"},
        base=Base("int4"),
    ),
}
"""Name → method, in the order of the table."""
