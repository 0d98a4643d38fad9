"""The key/value cache and the row that predicts the next token."""

from __future__ import annotations

import pytest

from app.checks.layers import kv_append_case, take_row_case
from app.gpu.device import Device
from app.ops.attention import Heads
from tests.ops.helpers import check

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    ("positions", "room", "heads"),
    [
        ((0,), 1, Heads(1, 1, 16)),
        ((3, 0, 7, 99, 8, 5), 8, Heads(2, 1, 16)),
        (tuple(range(10, 47)), 64, Heads(9, 3, 64)),
    ],
)
def test_kv_append(device: Device, positions: tuple[int, ...], room: int, heads: Heads) -> None:
    check(device, kv_append_case, positions=positions, room=room, heads=heads)


@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (13, 36), (32, 576)])
def test_take_row(device: Device, rows: int, columns: int) -> None:
    check(device, take_row_case, rows=rows, columns=columns)
