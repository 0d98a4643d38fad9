"""The gated activation and its gradient."""

from __future__ import annotations

import pytest

from app.checks.layers import swiglu_case
from app.checks.low_rank import swiglu_hidden_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.ops.swiglu import swiglu, swiglu_backward
from tests.ops.helpers import TUNINGS, check


@pytest.mark.gpu
@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (13, 36), (64, 1536)])
def test_swiglu(device: Device, rows: int, columns: int) -> None:
    check(device, swiglu_case, rows=rows, columns=columns)


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [60.0, 150.0])
def test_does_not_overflow(device: Device, scale: float) -> None:
    check(device, swiglu_case, rows=5, columns=64, scale=scale)


@pytest.mark.gpu
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize(
    ("rows", "columns", "rank"),
    [(1, 8, 4), (2, 40, 8), (13, 104, 12), (37, 1536, 4), (6, 64, 16), (5, 64, 5)],
)
def test_with_narrow_side(device: Device, rows: int, columns: int, rank: int, tuning: str) -> None:
    check(device, swiglu_hidden_case, tuning, rows=rows, columns=columns, rank=rank)


def test_refuses_what_does_not_fit() -> None:
    gate_up = persistent("gate_up", (3, 12), "scratch")
    with pytest.raises(ShapeError, match="gate_up has 12 columns: a multiple of 8"):
        swiglu(Graph("g"), gate_up)
    with pytest.raises(ShapeError, match=r"dy is \(3, 12\) but gate_up is \(3, 12\)"):
        swiglu_backward(Graph("g"), gate_up, gate_up)
