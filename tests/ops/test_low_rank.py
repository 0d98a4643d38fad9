"""Every kernel that reads A or B reads them packed as it reads them in f32."""

from __future__ import annotations

from typing import Any

import pytest

from app.checks.dot8 import linear_dot8_case
from app.checks.low_rank import (
    rms_norm_hidden_case,
    rope_backward_hidden_case,
    swiglu_hidden_case,
)
from app.checks.products import linear_backward_case, linear_case, lora_case
from app.gpu.device import Device
from app.gpu.tuning import SOFTWARE, choose
from tests.ops.helpers import TUNINGS, check

pytestmark = [pytest.mark.gpu, pytest.mark.parametrize("bits", [1, 2])]

MODULES: dict[str, dict[str, Any]] = {
    "rank-3": {"outs": (72, 24, 8), "columns": 160, "rank": 3},
    "rank-8": {"outs": (40, 64), "columns": 96, "rank": 8},
}
ROWS = (1, 13, 40)
"""A vector, eight rows and their rest, a tile."""


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("modules", MODULES)
@pytest.mark.parametrize("rows", ROWS)
def test_products(device: Device, rows: int, modules: str, tuning: str, bits: int) -> None:
    shape = {"rows": rows, "gguf_type": "Q4_1", "bits": bits, **MODULES[modules]}
    check(device, linear_case, tuning, **shape, has_residual=True)
    check(device, linear_backward_case, tuning, **shape)


@pytest.mark.parametrize(
    "choice",
    [
        choose("linear_dot8_vector", LANES=8, SLICES=8),
        choose("linear_dot8", "operand_direct", LANES=8),
        choose("linear_dot8_tile", OCTETS=4),
    ],
    ids=lambda choice: choice.shader,
)
def test_products_in_eight_bits(device: Device, choice: Any, bits: int) -> None:
    rows = 1 if choice.shader == "linear_dot8_vector" else 13
    shape = {"rows": rows, "gguf_type": "Q4_1", "bits": bits, **MODULES["rank-3"]}
    check(device, linear_dot8_case, SOFTWARE, choice=choice, **shape)


@pytest.mark.parametrize("modules", MODULES)
@pytest.mark.parametrize("rows", [1, 13])
def test_narrow_side(device: Device, rows: int, modules: str, bits: int) -> None:
    check(device, lora_case, rows=rows, bits=bits, **MODULES[modules])


@pytest.mark.parametrize("rank", [4, 12])
@pytest.mark.parametrize("rows", [1, 7])
def test_narrow_side_with_what_makes_it(device: Device, rows: int, rank: int, bits: int) -> None:
    shape = {"rows": rows, "rank": rank, "bits": bits}
    check(device, rms_norm_hidden_case, columns=100, outs=(24, 8, 40), **shape)
    check(device, swiglu_hidden_case, columns=104, **shape)
    heads = {"outs": (128, 64, 64), "head_dim": 64, "rotated": 192}
    check(device, rope_backward_hidden_case, **heads, **shape)
