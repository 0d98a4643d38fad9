"""Channels in 1, 2 or 4 bits: their errors are measured, and they are quantized, as by the twin."""

from __future__ import annotations

import numpy as np
import pytest

from app.checks.lowra import lowra_case
from app.gpu.device import Device
from app.reference.lowra import channel_errors
from tests.ops.helpers import check

SHAPES = {
    "one-row": (1, 32, 0),
    "prime": (13, 96, 0),
    "heads": (32, 160, 16),
    "long-rows": (5, 4192, 0),
}


@pytest.mark.gpu
@pytest.mark.parametrize("is_measuring", [True, False], ids=["measures", "quantizes"])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_twin(device: Device, shape: str, is_measuring: bool) -> None:
    rows, columns, head_dim = SHAPES[shape]
    for type in ("F32", "F16", "BF16"):
        check(
            device,
            lowra_case,
            rows=rows,
            columns=columns,
            head_dim=head_dim,
            type=type,
            is_measuring=is_measuring,
        )


def test_more_bits_lose_less() -> None:
    """Of normal weights, as mean squared error; a quantizer of 1 bit cannot go below 0.363."""
    values = np.random.default_rng(0).standard_normal((16, 1024), np.float32)
    one, two, four = channel_errors(values).sum(axis=0) / values.size
    assert 0.33 < one < 0.37
    assert 0.10 < two < 0.14
    assert four < 0.01
