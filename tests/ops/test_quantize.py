"""Float weights become INT4, INT8 and NF4 as the twin says, and the twin as published."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from app.checks.products import embedding_case, linear_backward_case, linear_case
from app.checks.quantize import quantize_case
from app.gpu.device import Device
from app.ops.matrix import new_matrix
from app.ops.quantize import nf4_map
from app.reference.gguf_blocks import dequantize_blocks, quantize_blocks
from app.reference.quantize import NF4_VALUES, quantize_int4, quantize_int8, quantize_nf4
from tests.ops.helpers import TUNINGS, check

FORMATS: dict[str, dict[str, Any]] = {
    "int4": {"format": "int4"},
    "int4-symmetric": {"format": "int4", "is_symmetric": True},
    "int8": {"format": "int8"},
    "nf4": {"format": "nf4"},
}
SHAPES: dict[str, dict[str, Any]] = {
    "one-row": {"parts": (1,), "columns": 32},
    "prime": {"parts": (13,), "columns": 96},
    "stacked-in-chunks": {"parts": (48, 16, 7), "columns": 64, "chunk_rows": 16},
    "heads": {"parts": (64, 32), "columns": 64, "head_dim": 16},
    "heads-in-chunks": {"parts": (192, 96), "columns": 32, "head_dim": 96, "chunk_rows": 96},
    "tiny-weights": {"parts": (9,), "columns": 64, "scale": 1e-5},
    "many-blocks": {"parts": (21,), "columns": 1088},
    "real": {"parts": (576, 192, 192), "columns": 576, "chunk_rows": 192, "scale": 0.05},
}


@pytest.mark.gpu
@pytest.mark.parametrize("type", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("format", FORMATS)
def test_codes_equal_the_twin_s(device: Device, format: str, shape: str, type: str) -> None:
    check(device, quantize_case, type=type, **FORMATS[format], **SHAPES[shape])


@pytest.mark.gpu
@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("rows", [1, 7, 13, 64])
def test_products_read_nf4(device: Device, rows: int, tuning: str) -> None:
    for out, columns in ((1, 32), (13, 96), (40, 1088), (264, 544)):
        shape = {"rows": rows, "columns": columns, "outs": (out,), "gguf_type": "NF4"}
        check(device, linear_case, tuning, **shape)
        check(device, linear_backward_case, tuning, **shape)
    stacked = {"outs": (72, 24, 8), "columns": 160, "rank": 5, "gguf_type": "NF4"}
    check(device, linear_case, tuning, rows=rows, **stacked)
    check(device, linear_backward_case, tuning, rows=rows, **stacked)


@pytest.mark.gpu
def test_tables_may_be_nf4(device: Device) -> None:
    check(device, embedding_case, rows=5, columns=96, vocab_size=37, gguf_type="NF4")


def normal(rows: int = 256, columns: int = 1024) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((rows, columns), np.float32)


def errors(values: npt.NDArray[Any], found: npt.NDArray[Any]) -> tuple[float, float]:
    """Return mean absolute error and mean relative error, as bitsandbytes' tests take them."""
    difference = np.abs(values.astype(np.float64) - found)
    return difference.mean(), (difference / (np.abs(values.astype(np.float64)) + 1e-8)).mean()


def test_errors_stay_below_bitsandbytes_bound() -> None:
    """Blocks of at most 64 of normal data: mean error < 0.1, relative < 0.28."""
    values = normal()
    found = {
        "nf4": quantize_nf4(values, nf4_map()).values(nf4_map()),
        "int4": quantize_int4(values, is_symmetric=False).values(),
        "int4-symmetric": quantize_int4(values, is_symmetric=True).values(),
        "int8": quantize_int8(values).values(),
    }
    measured = {name: errors(values, value) for name, value in found.items()}
    assert all(absolute < 0.1 for absolute, _ in measured.values())
    assert all(relative < 0.28 for _, relative in measured.values())
    assert measured["int4"][0] < measured["int4-symmetric"][0] < measured["nf4"][0]
    assert measured["int8"][0] < 0.005


def test_double_quantization_costs_little() -> None:
    values = normal()
    found = quantize_nf4(values, nf4_map())
    exact = np.abs(values.reshape(256, -1, 64)).max(axis=2)
    assert np.abs(found.scales(nf4_map()) / exact - 1).max() < 0.03
    whole = NF4_VALUES[found.codes] * np.repeat(exact, 64, axis=1)
    assert errors(values, found.values(nf4_map()))[0] < 1.01 * errors(values, whole)[0]


def test_bits_per_weight() -> None:
    for rows, columns, most in ((1024, 1024, 4.16), (576, 576, 4.2), (576, 1536, 4.15)):
        matrix = new_matrix("weight", "nf4", rows, columns)
        assert 8 * matrix.size_bytes / (rows * columns) < most


def test_symmetric_int4_keeps_what_q4_0_files_hold() -> None:
    """Weights that came out of Q4_0 blocks go back into INT4 almost unchanged."""
    values = normal(64, 256)
    held = dequantize_blocks(quantize_blocks(values, "Q4_0"), "Q4_0", values.shape)
    again = quantize_int4(held, is_symmetric=True).values()
    assert np.abs(again - held).mean() < 2e-3


@pytest.mark.parametrize("scale", [1.0, 1e-4])
@pytest.mark.parametrize("shift", [0.0, 1.5, 9.0, -9.0])
def test_int4_has_an_exact_zero(shift: float, scale: float) -> None:
    """A zero point of 0..15 is a code of every group, where all weights have one sign too."""
    values = (normal(8, 64) + np.float32(shift)) * np.float32(scale)
    values[:, ::5] = 0
    held = quantize_int4(values, is_symmetric=False)
    assert (held.values()[values == 0] == 0).all()
    scale_, minimum = held.scale.astype(np.float32), held.minimum.astype(np.float32)
    zero = -minimum / scale_
    np.testing.assert_array_equal(zero, np.round(zero))
    assert (zero >= 0).all()
    assert (zero <= 15).all()
    # The furthest weight may be cut by half a step, and by what the scale was rounded.
    steps = np.repeat(scale_, 32, axis=1)
    assert (np.abs(held.values() - values) <= (0.5 + 15 * 2**-7 + 1e-3) * steps).all()


def test_symmetric_int4_has_an_exact_zero_and_extreme() -> None:
    values = normal(8, 64)
    values[:, ::5] = 0
    values = values.astype(np.float16).astype(np.float32)
    found = quantize_int4(values, is_symmetric=True).values()
    assert (found[values == 0] == 0).all()
    place = np.abs(values[:, :32]).argmax(axis=1)[:, None]
    extremes = (np.take_along_axis(part, place, axis=1) for part in (values, found))
    np.testing.assert_array_equal(*extremes)
