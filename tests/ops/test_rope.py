"""Rotary position embedding in place, forward and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.checks.layers import rope_case
from app.checks.low_rank import rope_backward_hidden_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.ops.rope import rope, rope_table
from app.reference.rope import rope_tables
from tests.ops.helpers import TUNINGS, check

SHAPES: dict[str, dict[str, Any]] = {
    "one": {"rows": 1, "num_heads": 1, "head_dim": 8, "extra_columns": 0, "first": 3},
    "prime": {"rows": 13, "num_heads": 3, "head_dim": 16, "extra_columns": 20, "first": 0},
    "real": {"rows": 64, "num_heads": 12, "head_dim": 64, "extra_columns": 192, "first": 0},
    "late": {"rows": 7, "num_heads": 4, "head_dim": 128, "extra_columns": 0, "first": 8000},
}


@pytest.mark.gpu
@pytest.mark.parametrize("shape", SHAPES)
def test_rope(device: Device, shape: str) -> None:
    check(device, rope_case, **SHAPES[shape])


@pytest.mark.gpu
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize(
    ("rows", "outs", "head_dim", "rotated", "rank"),
    [
        (1, (16,), 16, 16, 4),
        (2, (24, 8, 8), 8, 32, 8),
        (13, (64, 32, 32), 16, 96, 12),
        (37, (576, 192, 192), 64, 768, 4),
        (6, (32, 32), 32, 32, 16),
        (5, (32, 16, 16), 16, 48, 2),
    ],
)
def test_backward_with_narrow_side(
    device: Device,
    rows: int,
    outs: tuple[int, ...],
    head_dim: int,
    rotated: int,
    rank: int,
    tuning: str,
) -> None:
    check(
        device,
        rope_backward_hidden_case,
        tuning,
        rows=rows,
        outs=outs,
        head_dim=head_dim,
        rotated=rotated,
        rank=rank,
    )


def test_table_is_the_twins() -> None:
    cos, sin = rope_tables(np.arange(50), 64, 1e5)
    expected = np.stack([cos, sin], axis=-1).astype(np.float32)
    np.testing.assert_array_equal(rope_table(50, 64, 1e5), expected)


def test_refuses_too_many_heads() -> None:
    positions = persistent("positions", (2,), "scratch", "u32")
    table = persistent("table", (2, 8, 2), "scratch")
    x = persistent("x", (2, 40), "scratch")
    with pytest.raises(ShapeError, match="3 heads of 16 do not fit into 40 columns"):
        rope(Graph("g"), x, positions, table, num_heads=3, head_dim=16)


@pytest.mark.parametrize(("head_dim", "columns"), [(4, 16), (8, 18)])
def test_refuses_what_is_no_whole_vec4(head_dim: int, columns: int) -> None:
    x = persistent("x", (2, columns), "scratch")
    positions = persistent("positions", (2,), "scratch", "u32")
    table = persistent("table", (2, head_dim // 2, 2), "scratch")
    with pytest.raises(ShapeError, match="multiples of 8 and 4 are needed"):
        rope(Graph("g"), x, positions, table, num_heads=2, head_dim=head_dim)
