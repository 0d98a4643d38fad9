"""Which operations a device is checked with, and at which shapes: small, every branch reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.checks.bench import Case
from app.checks.dot8 import linear_dot8_case
from app.checks.full_training import FULL_TRAINING
from app.checks.layers import (
    attention_case,
    cached_attention_case,
    kv_append_case,
    rms_norm_case,
    rope_case,
    swiglu_case,
    take_row_case,
)
from app.checks.low_bit import adapter_bits_case
from app.checks.low_rank import (
    rms_norm_hidden_case,
    rope_backward_hidden_case,
    swiglu_hidden_case,
)
from app.checks.lowra import lowra_case
from app.checks.optimizers import adafactor_case, adam8bit_case, mask_case
from app.checks.products import (
    embedding_case,
    linear_backward_case,
    linear_case,
    lora_case,
    repack_case,
)
from app.checks.quantize import quantize_case
from app.checks.training import adamw_case, cross_entropy_case, head_loss_case
from app.gpu.tuning import choose
from app.messages import say
from app.ops.attention import Heads


@dataclass(frozen=True)
class Check:
    """An operation with the shapes to check it at.

    Attributes:
        shapes: By name; the first is the one of a quick check.
    """

    case: Case
    shapes: Mapping[str, Mapping[str, Any]]


CASES: dict[str, Check] = {
    "matrix": Check(
        repack_case,
        {
            "Q4_1": {"gguf_type": "Q4_1", "parts": (64, 32), "columns": 64, "head_dim": 16},
            "Q4_0": {"gguf_type": "Q4_0", "parts": (24, 7), "columns": 96, "chunk_rows": 5},
            "Q8_0": {"gguf_type": "Q8_0", "parts": (13,), "columns": 32},
        },
    ),
    "quantize": Check(
        quantize_case,
        {
            "INT4": {"format": "int4", "parts": (24, 7), "columns": 96, "type": "BF16"},
            "INT8": {"format": "int8", "parts": (13,), "columns": 32, "type": "F16"},
            "NF4": {"format": "nf4", "parts": (64, 32), "columns": 160, "head_dim": 16},
        },
    ),
    "lowra": Check(
        lowra_case,
        {"errors": {"rows": 32, "columns": 96, "type": "F16", "is_measuring": True}},
    ),
    "linear": Check(
        linear_case,
        {
            "many rows": {
                **{"rows": 13, "columns": 160, "outs": (72, 24, 8), "rank": 3},
                **{"gguf_type": "Q4_1", "has_residual": True},
            },
            "one row": {
                **{"rows": 1, "columns": 160, "outs": (72, 24, 8), "rank": 3},
                **{"gguf_type": "Q4_1", "has_residual": True},
            },
            "a tile of rows": {
                **{"rows": 40, "columns": 64, "outs": (72, 24, 8), "rank": 3},
                **{"gguf_type": "Q4_1", "has_residual": True},
            },
            "two bits": {
                **{"rows": 13, "columns": 64, "outs": (72, 24, 8), "rank": 4, "bits": 2},
                **{"gguf_type": "Q4_1"},
            },
            "NF4": {"rows": 13, "columns": 160, "outs": (72, 24, 8), "gguf_type": "NF4"},
        },
    ),
    "linear_dot8": Check(
        linear_dot8_case,
        {
            "one row": {
                **{"rows": 1, "columns": 160, "outs": (72, 24, 8), "rank": 3},
                **{"gguf_type": "Q4_1", "has_residual": True},
                "choice": choose("linear_dot8_vector", LANES=8, SLICES=8),
            },
            "many rows": {
                **{"rows": 13, "columns": 160, "outs": (72, 24, 8), "rank": 3},
                **{"gguf_type": "Q4_1", "has_residual": True},
                "choice": choose("linear_dot8", "operand_direct", LANES=8),
            },
            "tiles": {
                **{"rows": 13, "columns": 160, "outs": (72, 24, 8), "rank": 3},
                **{"gguf_type": "Q4_1", "has_residual": True},
                "choice": choose("linear_dot8_tile", OCTETS=4),
            },
        },
    ),
    "linear_backward": Check(
        linear_backward_case,
        {
            "many rows": {
                **{"rows": 13, "columns": 160, "outs": (72, 24, 8), "rank": 3},
                **{"gguf_type": "Q4_1"},
            },
            "a tile of rows": {
                **{"rows": 40, "columns": 64, "outs": (72, 24, 8), "rank": 3},
                **{"gguf_type": "Q4_1"},
            },
        },
    ),
    "lora": Check(
        lora_case, {"three modules": {"rows": 13, "columns": 96, "outs": (72, 24, 8), "rank": 5}}
    ),
    "rms_norm": Check(rms_norm_case, {"rows": {"rows": 5, "columns": 324}}),
    "rope": Check(
        rope_case,
        {"heads": {"rows": 7, "num_heads": 3, "head_dim": 64, "extra_columns": 64, "first": 500}},
    ),
    "rms_norm_hidden": Check(
        rms_norm_hidden_case,
        {
            "one row": {"rows": 1, "columns": 68, "outs": (24, 8, 8), "rank": 4},
            "many rows": {"rows": 7, "columns": 68, "outs": (24, 8, 8), "rank": 8},
        },
    ),
    "swiglu_hidden": Check(
        swiglu_hidden_case,
        {
            "one row": {"rows": 1, "columns": 104, "rank": 4},
            "many rows": {"rows": 7, "columns": 104, "rank": 8},
            "one bit": {"rows": 7, "columns": 104, "rank": 4, "bits": 1},
        },
    ),
    "rope_backward_hidden": Check(
        rope_backward_hidden_case,
        {
            "heads": {
                **{"rows": 7, "outs": (128, 64, 64), "head_dim": 64, "rotated": 192, "rank": 8},
            },
        },
    ),
    "attention": Check(
        attention_case,
        {
            "grouped": {"num_sequences": 2, "length": 21, "heads": Heads(3, 1, 64)},
            "short": {"num_sequences": 2, "length": 5, "heads": Heads(3, 1, 64)},
        },
    ),
    "kv_cache": Check(
        cached_attention_case,
        {"append": {"length": 3, "offset": 9, "room": 16, "heads": Heads(3, 1, 64)}},
    ),
    "kv_append": Check(
        kv_append_case, {"beyond": {"positions": (3, 0, 9), "room": 8, "heads": Heads(3, 1, 64)}}
    ),
    "take_row": Check(take_row_case, {"rows": {"rows": 3, "columns": 68}}),
    "swiglu": Check(swiglu_case, {"steep": {"rows": 5, "columns": 100, "scale": 60.0}}),
    "embedding": Check(
        embedding_case,
        {"Q8_0": {"rows": 9, "columns": 96, "vocab_size": 37, "gguf_type": "Q8_0"}},
    ),
    "cross_entropy": Check(
        cross_entropy_case,
        {"steep": {"rows": 3, "vocab_size": 509, "scale": 50.0, "ignored": (1,)}},
    ),
    "head_loss": Check(
        head_loss_case,
        {
            # The format of the cases above: compiling another costs more than the check itself.
            "chunks": {
                **{"rows": 19, "columns": 64, "vocab_size": 61, "chunk_rows": 8},
                **{"gguf_type": "Q4_1", "ignored": (3,)},
            },
        },
    ),
    "adapter_bits": Check(
        adapter_bits_case,
        {
            "one": {"columns": 37, "outs": (24, 8, 40), "rank": 3, "bits": 1},
            "two": {"columns": 37, "outs": (24, 8, 40), "rank": 3, "bits": 2},
        },
    ),
    "adam8bit": Check(adam8bit_case, {"tensors": {"sizes": (4096, 300)}}),
    "adafactor": Check(adafactor_case, {"matrices": {"shapes": ((4, 96), (72, 4))}}),
    "mask": Check(mask_case, {"bits": {"size": 100}}),
    "adamw": Check(
        adamw_case,
        {
            "clipped": {"size": 1009, "max_norm": 1.0, "weight_decay": 0.1},
            "skipped": {"size": 100, "bad_steps": (1, 2)},
        },
    ),
}

CASES |= {op: Check(case, shapes) for op, (case, shapes) in FULL_TRAINING.items()}

USES: dict[str, tuple[str, ...]] = {
    say("loading a model"): ("matrix",),
    say("quantizing a model"): ("quantize",),
    say("quantizing below two bits"): ("lowra",),
    say("answers"): ("linear_dot8", "kv_cache", "kv_append", "take_row"),
    say("every training step"): ("linear_backward", "rope_backward_hidden", "adamw"),
    say("training and evaluation"): ("cross_entropy", "head_loss"),
    say("adapters in one or two bits"): ("adapter_bits",),
    say("ranks that change during a run"): ("mask",),
    say("training with Adam in 8 bits"): ("adam8bit",),
    say("training with Adafactor"): ("adafactor",),
    say("training all weights"): tuple(FULL_TRAINING),
}
"""What cannot be trusted where an operation fails; all others serve answers and training."""


def use_of(op: str) -> str:
    """Return what an operation of `CASES` is used for, in words."""
    return next((use for use, ops in USES.items() if op in ops), say("answers and training"))
