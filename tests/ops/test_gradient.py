"""Gradients of matrices, norms and the embedding table."""

from __future__ import annotations

import pytest

from app.checks.gradients import embedding_backward_case, gain_case, linear_gradient_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.ops.gradient import linear_gradient
from tests.ops.helpers import TUNINGS, check


@pytest.mark.gpu
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize(
    ("rows", "columns", "outs"), [(1, 32, 8), (13, 96, 40), (33, 160, 136), (64, 576, 960)]
)
def test_linear_gradient(device: Device, rows: int, columns: int, outs: int, tuning: str) -> None:
    check(device, linear_gradient_case, tuning, rows=rows, columns=columns, outs=outs)


@pytest.mark.gpu
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (13, 36), (70, 576)])
def test_norm_gain(device: Device, rows: int, columns: int, tuning: str) -> None:
    check(device, gain_case, tuning, rows=rows, columns=columns)


@pytest.mark.gpu
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize(
    ("rows", "vocab_size", "columns"), [(1, 1, 32), (13, 5, 96), (97, 37, 64), (64, 4001, 576)]
)
def test_embedding_table(
    device: Device, rows: int, vocab_size: int, columns: int, tuning: str
) -> None:
    shape = {"rows": rows, "vocab_size": vocab_size, "columns": columns}
    check(device, embedding_backward_case, tuning, **shape)


def test_refuses_what_does_not_fit() -> None:
    x, dy = persistent("x", (3, 32), "scratch"), persistent("dy", (3, 64), "scratch")
    with pytest.raises(ShapeError, match=r"the gradient \(64, 32\): \(32, 64\)"):
        linear_gradient(Graph("g"), dy, x, persistent("dw", (64, 32), "scratch"))
