"""AdamW with eight-bit moments: the maps, the codes, the updates."""

from __future__ import annotations

import numpy as np
import pytest

from app.checks.optimizers import adam8bit_case
from app.gpu.device import Device
from app.ops.adam8bit import dynamic_map
from app.reference.adam8bit import dequantize, quantize
from tests.ops.helpers import check


def test_maps_have_256_rising_values() -> None:
    for is_signed in (True, False):
        values = dynamic_map(is_signed=is_signed)
        assert values.shape == (256,)
        assert (np.diff(values) > 0).all()
        assert values[-1] == 1.0
        assert 0.0 in values
    signed = dynamic_map(is_signed=True)
    np.testing.assert_array_equal(signed[:127], -signed[128:255][::-1])


def test_maps_are_those_of_bitsandbytes() -> None:
    """Some of create_dynamic_map's values, bitsandbytes 0.50.2; its linspace rounds differently."""
    signed, unsigned = dynamic_map(is_signed=True), dynamic_map(is_signed=False)
    known = {0: -0.99296874, 1: -0.9789063, 124: -7.75e-6, 126: -5.5e-7, 127: 0.0, 131: 2.125e-5}
    for index, value in known.items():
        np.testing.assert_allclose(signed[index], value, rtol=2e-7)
    known = {0: 0.0, 1: 3.25e-7, 2: 7.75e-7, 3: 2.125e-6, 252: 0.9824219, 254: 0.9964844, 255: 1.0}
    for index, value in known.items():
        np.testing.assert_allclose(unsigned[index], value, rtol=2e-7)


def test_codes_are_the_nearest() -> None:
    values = np.random.default_rng(0).standard_normal(1000)
    code_values = dynamic_map(is_signed=True)
    codes, scales = quantize(values, code_values)
    error = np.abs(dequantize(codes, scales, code_values) - values)
    every = np.abs(code_values[None] * np.repeat(scales, 256)[:1000, None] - values[:, None])
    np.testing.assert_allclose(error, every.min(axis=1), atol=1e-15)


@pytest.mark.gpu
@pytest.mark.parametrize("sizes", [(1,), (300,), (4096,), (4096, 700, 8192), (5000, 63)], ids=str)
def test_adam8bit(device: Device, sizes: tuple[int, ...]) -> None:
    check(device, adam8bit_case, sizes=sizes)
