"""Elements that a mask leaves out become zero, the others stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from app.checks.optimizers import mask_case
from app.gpu.device import Device
from app.ops.mask import pack_bits
from tests.ops.helpers import check


@pytest.mark.gpu
@pytest.mark.parametrize("size", [1, 31, 64, 1009])
def test_mask(device: Device, size: int) -> None:
    check(device, mask_case, size=size)


def test_bits_lie_lowest_first() -> None:
    kept = np.zeros(40, np.bool_)
    kept[[0, 5, 31, 32]] = True
    assert pack_bits(kept).tolist() == [1 | 1 << 5 | 1 << 31, 1]
