"""Adapters in one or two bits: packed to the last bit as the twin does, on device and on host."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from app.checks.low_bit import adapter_bits_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.io.low_bit import dequantize_rows, pack_rows, quantize_rows, unpack_rows
from app.ops.adapter_bits import pack_factors, unpack_factors
from app.reference import adapter_bits as twin
from tests.ops.helpers import check

SHAPES: dict[str, dict[str, Any]] = {
    "one-row": {"columns": 32, "outs": (8,), "rank": 1},
    "prime": {"columns": 37, "outs": (13,), "rank": 3},
    "modules-share-a-word": {"columns": 96, "outs": (24, 8, 40), "rank": 4},
    "real-qkv": {"columns": 576, "outs": (576, 192, 192), "rank": 4},
}


@pytest.mark.gpu
@pytest.mark.parametrize("bits", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_adapter_bits(device: Device, shape: str, bits: int) -> None:
    check(device, adapter_bits_case, **SHAPES[shape], bits=bits)


@pytest.mark.parametrize("bits", [1, 2])
def test_the_host_packs_like_the_twin_and_finds_rounded_values_again(bits: int) -> None:
    values = np.random.default_rng(3).standard_normal((7, 45)).astype(np.float32)
    values[2] = 0
    codes, scales = quantize_rows(values, bits)
    rounded = dequantize_rows(codes, scales, bits)
    np.testing.assert_array_equal(rounded, [twin.quantize(row, bits) for row in values])
    assert not rounded[2].any()
    np.testing.assert_array_equal(unpack_rows(pack_rows(codes, bits), 45, bits), codes)
    again = dequantize_rows(*quantize_rows(rounded, bits), bits)
    np.testing.assert_array_equal(again, rounded)


def test_codes_lie_lowest_bits_first() -> None:
    codes = np.array([[3, 0, 2, 1, 1]], np.uint8)
    assert pack_rows(codes, 2).tolist() == [[0b01_10_00_11, 0b01]]
    assert pack_rows(codes & 1, 1, align_bytes=4).tolist() == [[0b11001, 0, 0, 0]]


@pytest.mark.parametrize("bits", [1, 2])
def test_parts_keep_their_own_scales(bits: int) -> None:
    random = np.random.default_rng(4)
    parts = [random.standard_normal((3, n)).astype(np.float32) * n for n in (24, 8, 40)]
    found = unpack_factors(pack_factors(parts, bits), 3, [24, 8, 40], bits)
    for part, rounded in zip(parts, found, strict=True):
        np.testing.assert_array_equal(rounded, [twin.quantize(row, bits) for row in part])


def test_two_bits_are_near_the_best_four_levels() -> None:
    """Max (1960): four equally spaced levels lose 0.1188 of a normal distribution's power."""
    values = np.random.default_rng(5).standard_normal(100_000)
    lost = [float(np.mean((values - twin.quantize(values, bits)) ** 2)) for bits in (1, 2)]
    assert lost[0] == pytest.approx(1 - 2 / np.pi, abs=0.01)
    assert 0.1188 < lost[1] < 0.125


def test_a_gradient_is_held_only_where_a_step_would_lead_further_out() -> None:
    values = np.array([0.1] * 30 + [9.0, -9.0, 9.0, -9.0])
    gradient = np.ones(34)
    gradient[[30, 31]] = -1  # outwards at +9, inwards at -9
    passed = twin.straight_through(gradient, values, 1)
    assert passed[:30].all()
    assert passed[30:].tolist() == [0, -1, 1, 0]
    assert twin.straight_through(np.ones(5), np.zeros(5), 2).all()


def test_refuses_other_widths() -> None:
    with pytest.raises(ShapeError, match="1 or 2 bits, not 3"):
        twin.fit_scale(np.ones(3), 3)
