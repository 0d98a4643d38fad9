"""The norm, the clip factor and the decision to skip are tested with AdamW, which uses them."""

from __future__ import annotations

import pytest

from app.checks.training import adamw_case
from app.gpu.device import Device
from app.ops.update import MAX_PARTIALS
from tests.ops.helpers import check


@pytest.mark.gpu
@pytest.mark.parametrize("size", [64 * MAX_PARTIALS - 1, 64 * MAX_PARTIALS + 1])
def test_norm_of_full_and_overfull_partials(device: Device, size: int) -> None:
    check(device, adamw_case, size=size, max_norm=0.1)
