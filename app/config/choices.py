"""What settings can be chosen from, and how far they may go."""

from __future__ import annotations

from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]
SCHEDULES: tuple[Schedule, ...] = ("constant", "linear", "cosine")

OptimizerName = Literal["adamw", "adam8bit", "adafactor"]
OPTIMIZERS: tuple[OptimizerName, ...] = ("adamw", "adam8bit", "adafactor")

Packing = Literal["none", "dual", "best-fit"]
PACKINGS: tuple[Packing, ...] = ("none", "dual", "best-fit")

Curriculum = Literal["none", "tfidf"]
CURRICULA: tuple[Curriculum, ...] = ("none", "tfidf")

Checkpointing = Literal["auto", "on", "off"]
CHECKPOINTINGS: tuple[Checkpointing, ...] = ("auto", "on", "off")

ADAPTER_BITS = (32, 2, 1)
"""Bits of an element of A or B, as the model computes with it."""

RankScheduleName = Literal["fixed", "progressive", "adaptive", "hardware"]
RANK_SCHEDULES: tuple[RankScheduleName, ...] = ("fixed", "progressive", "adaptive", "hardware")

Quantization = Literal["none", "int4", "int4-symmetric", "nf4", "lowra"]
QUANTIZATIONS: tuple[Quantization, ...] = ("none", "int4", "int4-symmetric", "nf4", "lowra")
"""What becomes of F32, F16 and BF16 weights while a model is loaded; lowra is an experiment."""

LOWRA_BITS = 1.8
"""Average bits of a weight that lowra aims at where nothing is said."""

Mode = Literal["adapter", "full"]
MODES: tuple[Mode, ...] = ("adapter", "full")

FullWeights = Literal["f16", "f32", "int4"]
FULL_WEIGHTS: tuple[FullWeights, ...] = ("f16", "f32", "int4")
"""What all weights are stored in while they are trained."""

TARGET_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The seven linear projections of a Llama layer, in the order the engine records them."""

MAX_RANK = 256
MAX_SEQ_LEN = 8192
MAX_STEPS = 10**9
MAX_EPOCHS = 10**6
MAX_TOKENS = 10**12
