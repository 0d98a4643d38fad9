"""The narrow side of an adapter; gradients of A and B add up over the micro-batches."""

from __future__ import annotations

from typing import Any

import pytest

from app.checks.products import lora_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.ops.lora import lora_hidden, lora_hidden_backward
from app.ops.low_rank import LowRank
from tests.ops.helpers import TUNINGS, check

SHAPES: dict[str, dict[str, Any]] = {
    "one-row": {"rows": 1, "columns": 32, "outs": (8,), "rank": 1},
    "prime": {"rows": 13, "columns": 96, "outs": (24,), "rank": 3},
    "two-modules": {"rows": 7, "columns": 64, "outs": (16, 40), "rank": 4},
    "three-modules": {"rows": 64, "columns": 160, "outs": (72, 24, 8), "rank": 5},
    "rank-16": {"rows": 8, "columns": 32, "outs": (32, 32, 32), "rank": 16},
    "real-qkv": {"rows": 37, "columns": 576, "outs": (576, 192, 192), "rank": 4},
    "real-down": {"rows": 37, "columns": 1536, "outs": (576,), "rank": 8},
}


@pytest.mark.gpu
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_lora(device: Device, shape: str, tuning: str) -> None:
    check(device, lora_case, tuning, **SHAPES[shape])


def test_refuses_what_does_not_fit() -> None:
    low_rank = LowRank(
        4, (), persistent("a", (4, 32), "adapter"), persistent("b", (8, 4), "adapter")
    )
    x = persistent("x", (3, 64), "scratch")
    with pytest.raises(ShapeError, match=r"x has 64 columns but lora_a is \(4, 32\)"):
        lora_hidden(Graph("g"), x, low_rank, scaling=2.0)
    with pytest.raises(ShapeError, match=r"dy has 64 columns but lora_b is \(8, 4\)"):
        lora_hidden_backward(Graph("g"), x, low_rank, scaling=2.0)
