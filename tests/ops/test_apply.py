"""Updates of weights that are stored in f16 and INT4."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from app.checks.rounding import f16_update_case, int4_update_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.ops.apply import apply_to_matrix
from app.ops.matrix import new_matrix
from app.reference.stochastic import (
    Int4Groups,
    random_bits,
    requantize_int4,
    round_f16,
    uniform_of,
    update_int4,
)
from tests.ops.helpers import check

DRAWS = 4096


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [0.1, 3e-4, 1e4])
@pytest.mark.parametrize(("rows", "columns"), [(1, 32), (37, 96), (192, 64)])
def test_f16_equals_its_twin(device: Device, rows: int, columns: int, scale: float) -> None:
    check(device, f16_update_case, rows=rows, columns=columns, scale=scale)


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [0.1, 3e-4, 1e3])
@pytest.mark.parametrize("share", [0.001, 0.02, 3.0])
@pytest.mark.parametrize(("rows", "columns"), [(1, 32), (37, 96), (192, 64)])
def test_int4_equals_its_twin(
    device: Device, rows: int, columns: int, scale: float, share: float
) -> None:
    check(device, int4_update_case, rows=rows, columns=columns, scale=scale, share=share)


def test_random_numbers_are_uniform_and_differ_by_step_and_key() -> None:
    elements = np.arange(1 << 16, dtype=np.uint32)
    drawn = {(key, step): random_bits(key, step, elements) for key in (0, 1) for step in (1, 2)}
    for bits in drawn.values():
        counts = np.bincount((uniform_of(bits) * 64).astype(int), minlength=64)
        assert ((counts - 1024) ** 2 / 1024).sum() < 120  # chi², 63 degrees: 1e-5 beyond
        ones = np.unpackbits(bits.view(np.uint8)).mean()
        assert abs(ones - 0.5) < 4 * 0.5 / np.sqrt(32 * 65536)
    keys = list(drawn)
    for first, second in zip(keys, keys[1:] + keys[:1], strict=True):
        a, b = (uniform_of(drawn[key]).astype(np.float64) for key in (first, second))
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(65536)


@pytest.mark.parametrize("value", [0.1, -1.37, 3e-5, 1.2e-7, 65000.0, 1024.25])
def test_f16_is_right_on_average(value: float) -> None:
    values = np.full(DRAWS, value, np.float32)
    rounded = round_f16(values, random_bits(7, 1, np.arange(DRAWS, dtype=np.uint32)))
    found = rounded.astype(np.float64)
    quantum = float(np.ptp(found))
    assert len(set(found.tolist())) == 2
    assert abs(found.mean() - float(values[0])) < 4 * 0.5 * quantum / np.sqrt(DRAWS)


def test_values_that_f16_has_stay() -> None:
    with np.errstate(all="ignore"):
        values = np.random.default_rng(0).standard_normal(DRAWS).astype(np.float16)
    bits = random_bits(1, 1, np.arange(DRAWS, dtype=np.uint32))
    np.testing.assert_array_equal(round_f16(values.astype(np.float32), bits), values)


def test_int4_is_right_on_average() -> None:
    drawn = np.random.default_rng(1).standard_normal(32).astype(np.float32) * np.float32(0.1)
    values = np.tile(drawn, (DRAWS, 1))
    bits = random_bits(3, 1, np.arange(values.size, dtype=np.uint32)).reshape(values.shape)
    codes, scale, minimum = requantize_int4(values, bits)
    found = codes * scale.astype(np.float64)[:, None] + minimum.astype(np.float64)[:, None]
    assert codes.max() <= 15
    bound = 4.5 * 0.5 * float(scale[0]) / np.sqrt(DRAWS)
    assert np.abs(found.mean(axis=0) - drawn).max() < bound


@pytest.mark.parametrize("share", [0.01, 0.3, 20.0])
def test_int4_updates_are_right_on_average(share: float) -> None:
    """Those that stay on the grid, those that leave it, and those that leave it far behind."""
    rng = np.random.default_rng(1)
    start = rng.standard_normal(32).astype(np.float32) * np.float32(0.1)
    element = np.arange(DRAWS * 32, dtype=np.uint32).reshape(DRAWS, 32)
    one = requantize_int4(start[None], random_bits(3, 1, element[:1]))
    held = Int4Groups(*(np.repeat(part, DRAWS, axis=0) for part in one))
    step = float(held.scale[0])
    wanted = value_of(held)[0] + rng.standard_normal(32) * share * step
    exact = np.tile(wanted.astype(np.float32), (DRAWS, 1))
    after = update_int4(held, exact, random_bits(3, 2, element))
    assert after.codes.max() <= 15
    spread = float(after.scale.max()) + step
    error = value_of(after).mean(axis=0) - exact[0]
    assert np.abs(error).max() < 4.5 * 0.5 * spread / np.sqrt(DRAWS)


def test_int4_keeps_its_grid_under_many_small_updates() -> None:
    """A new grid for each of these sixty would put weights 0.46 steps off, from 0.19."""
    rng = np.random.default_rng(4)
    start = rng.standard_normal((512, 32)).astype(np.float32) * np.float32(0.1)
    element = np.arange(start.size, dtype=np.uint32).reshape(start.shape)
    held = requantize_int4(start, random_bits(1, 0, element))
    exact, scale = value_of(held), float(held.scale.astype(np.float64).mean())
    update = rng.choice([-1.0, 1.0], start.shape) * 0.0005 * scale
    for step in range(1, 61):
        exact -= update
        wanted = (value_of(held) - update).astype(np.float32)
        held = update_int4(held, wanted, random_bits(1, step, element))
    noise = np.sqrt(((value_of(held) - exact) ** 2).mean()) / scale
    assert noise < 0.25
    assert float(held.scale.astype(np.float64).mean()) < 1.01 * scale


def test_int4_values_on_the_grid_stay() -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 16, (500, 32)).astype(np.uint32)
    scale = rng.uniform(1e-4, 0.1, 500).astype(np.float16)
    minimum = -rng.uniform(0, 1, 500).astype(np.float16)
    held = Int4Groups(codes, scale, minimum)
    values = codes.astype(np.float32) * scale.astype(np.float32)[:, None]
    values = values + minimum.astype(np.float32)[:, None]
    bits = random_bits(5, 9, np.arange(values.size, dtype=np.uint32)).reshape(values.shape)
    for name, now, before in zip(held._fields, update_int4(held, values, bits), held, strict=True):
        np.testing.assert_array_equal(now, before, name)


def value_of(groups: Int4Groups) -> npt.NDArray[np.float64]:
    """Return the weights that groups stand for."""
    scale, minimum = (part.astype(np.float64)[..., None] for part in groups[1:])
    return groups.codes * scale + minimum


def test_refuses_what_does_not_fit() -> None:
    graph, small = Graph("g"), new_matrix("small", "int8", 8, 32)
    update, delta = (persistent("t", shape, "scratch") for shape in ((8,), (32, 8)))
    with pytest.raises(ShapeError, match="a int8 matrix"):
        apply_to_matrix(graph, update, small, delta, key=1)
