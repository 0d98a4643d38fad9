"""The operations of full training with the shapes to check them at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.checks.bench import Case
from app.checks.gradients import embedding_backward_case, gain_case, linear_gradient_case
from app.checks.rounding import convert_case, f16_update_case, int4_update_case
from app.checks.whole_weights import UPDATES, joint_norm_case, weight_update_case

FULL_TRAINING: dict[str, tuple[Case, Mapping[str, Mapping[str, Any]]]] = {
    "linear_gradient": (
        linear_gradient_case,
        {"rows": {"rows": 37, "columns": 96, "outs": 72}},
    ),
    "rms_norm_gain": (gain_case, {"rows": {"rows": 13, "columns": 68}}),
    "embedding_backward": (
        embedding_backward_case,
        {"repeated": {"rows": 41, "vocab_size": 19, "columns": 68}},
    ),
    "weight_update": (
        weight_update_case,
        {name: {"optimizer": name, "rows": 37, "columns": 64} for name in UPDATES},
    ),
    "joint_norm": (joint_norm_case, {"tensors": {"sizes": (5, 700, 64)}}),
    "convert": (convert_case, {"Q4_1": {"rows": 13, "columns": 64, "gguf_type": "Q4_1"}}),
    "f16_update": (f16_update_case, {"matrix": {"rows": 13, "columns": 64}}),
    "int4_update": (int4_update_case, {"matrix": {"rows": 13, "columns": 64}}),
}
