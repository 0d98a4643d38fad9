"""Optimizers of whole weights."""

from __future__ import annotations

import pytest

from app.checks.whole_weights import UPDATES, joint_norm_case, weight_update_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.ops.apply import apply_f32
from app.ops.delta import Adam8bitMoments, new_maps
from tests.ops.helpers import check


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", UPDATES)
@pytest.mark.parametrize(("rows", "columns"), [(1, 32), (37, 96), (192, 64)])
def test_updates(device: Device, optimizer: str, rows: int, columns: int) -> None:
    check(device, weight_update_case, optimizer=optimizer, rows=rows, columns=columns)


@pytest.mark.gpu
@pytest.mark.parametrize("sizes", [(4,), (1, 64, 1000), (4096, 5, 70000)], ids=str)
def test_joint_norm(device: Device, sizes: tuple[int, ...]) -> None:
    check(device, joint_norm_case, sizes=sizes)


def test_refuses_what_does_not_fit() -> None:
    gradient = persistent("gradient", (31, 8), "optimizer")
    with pytest.raises(ShapeError, match=r"248 elements: not n · 256"):
        Adam8bitMoments.create(gradient, new_maps())
    with pytest.raises(ShapeError, match=r"weights are \(4,\) but the update \(31, 8\)"):
        apply_f32(
            Graph("g"),
            persistent("update", (8,), "scratch"),
            persistent("weights", (4,), "weights"),
            gradient,
        )
