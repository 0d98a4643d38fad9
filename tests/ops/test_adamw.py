"""AdamW over several steps, with clipping, decay and steps that must be skipped."""

from __future__ import annotations

import pytest

from app.checks.training import adamw_case
from app.gpu.device import Device
from tests.ops.helpers import check

pytestmark = pytest.mark.gpu

SIZES = (1, 63, 1009, 70001)


@pytest.mark.parametrize("size", SIZES)
def test_adamw(device: Device, size: int) -> None:
    check(device, adamw_case, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_clipping_and_decay(device: Device, size: int) -> None:
    check(device, adamw_case, size=size, max_norm=1.0, weight_decay=0.1)


def test_a_short_gradient_is_not_clipped(device: Device) -> None:
    check(device, adamw_case, size=100, max_norm=1000.0)


@pytest.mark.parametrize("updates", [1, 10, 999, 100_000])
def test_bias_correction_later_in_a_run(device: Device, updates: int) -> None:
    check(device, adamw_case, size=100, updates_before=updates)


def test_gradients_far_below_one(device: Device) -> None:
    """Where eps is of the size of √v."""
    check(device, adamw_case, size=100, scale=1e-7)


@pytest.mark.parametrize("max_norm", [0.0, 1.0])
@pytest.mark.parametrize("bad_loss", [False, True], ids=["gradient", "loss"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_skips_what_is_not_finite(
    device: Device, value: float, bad_loss: bool, max_norm: float
) -> None:
    shape = {"size": 300, "bad_steps": (0, 2), "weight_decay": 0.1, "max_norm": max_norm}
    check(device, adamw_case, bad_value=value, bad_loss=bad_loss, **shape)


def test_skips_a_norm_that_overflows(device: Device) -> None:
    check(device, adamw_case, size=100, bad_steps=(1,), bad_value=1e30)


def test_a_grid_of_two_axes(device: Device) -> None:
    """More workgroups than one axis takes: see app.gpu.graph.grid_1d."""
    check(device, adamw_case, size=65535 * 64 + 77, steps=1)
