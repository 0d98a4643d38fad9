"""Root-mean-square normalisation and its gradient."""

from __future__ import annotations

import pytest

from app.checks.layers import rms_norm_case
from app.checks.low_rank import rms_norm_hidden_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.ops.rms_norm import rms_norm, rms_norm_backward
from tests.ops.helpers import TUNINGS, check


@pytest.mark.gpu
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 4), (13, 36), (7, 256), (5, 260), (64, 576), (3, 4096)]
)
def test_rms_norm(device: Device, rows: int, columns: int, tuning: str) -> None:
    check(device, rms_norm_case, tuning, rows=rows, columns=columns)


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [1e-2, 1e3])
def test_rows_of_any_size(device: Device, scale: float) -> None:
    check(device, rms_norm_case, rows=5, columns=64, scale=scale)


@pytest.mark.gpu
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize(
    ("rows", "columns", "outs", "rank"),
    [
        (1, 32, (8,), 4),
        (2, 36, (16, 8), 8),
        (13, 260, (24, 8, 8), 4),
        (5, 64, (8, 8, 8), 16),
        (37, 576, (576, 192, 192), 4),
        (7, 64, (16,), 3),
    ],
)
def test_with_narrow_side(
    device: Device, rows: int, columns: int, outs: tuple[int, ...], rank: int, tuning: str
) -> None:
    check(device, rms_norm_hidden_case, tuning, rows=rows, columns=columns, outs=outs, rank=rank)


def test_refuses_what_does_not_fit() -> None:
    graph, weight = Graph("g"), persistent("weight", (64,), "weights")
    with pytest.raises(ShapeError, match=r"weight is \(64,\) but x has 32 columns"):
        rms_norm(graph, persistent("x", (3, 32), "scratch"), weight, eps=1e-5)
    with pytest.raises(ShapeError, match=r"dy is \(2, 64\) but x is \(3, 64\)"):
        rms_norm_backward(
            graph,
            persistent("dy", (2, 64), "scratch"),
            persistent("x", (3, 64), "scratch"),
            weight,
            persistent("rstd", (3,), "scratch"),
        )
