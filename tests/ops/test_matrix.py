"""GGUF blocks become the packed layout, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from app.checks.products import repack_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.ops.matrix import new_matrix
from tests.ops.helpers import check

TYPES = ("Q4_0", "Q4_1", "Q8_0", "F16", "BF16", "F32")
SHAPES: dict[str, dict[str, Any]] = {
    "one-row": {"parts": (1,), "columns": 32},
    "prime": {"parts": (13,), "columns": 96},
    "stacked-in-chunks": {"parts": (32, 16, 7), "columns": 64, "chunk_rows": 5},
    "heads": {"parts": (64, 32), "columns": 64, "head_dim": 16},
    "heads-in-chunks": {"parts": (128, 64), "columns": 32, "head_dim": 64, "chunk_rows": 50},
    "tiny-weights": {"parts": (9,), "columns": 64, "scale": 1e-5},
    "real": {"parts": (576, 192, 192), "columns": 576, "chunk_rows": 300},
}


@pytest.mark.gpu
@pytest.mark.parametrize("gguf_type", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_repack(device: Device, shape: str, gguf_type: str) -> None:
    check(device, repack_case, gguf_type=gguf_type, **SHAPES[shape])


def test_columns_fill_groups() -> None:
    with pytest.raises(ShapeError, match=r"down has 48 columns.*multiple of 32"):
        new_matrix("down", "int4", 8, 48)


def test_size_counts_scales_once() -> None:
    assert new_matrix("w", "int4", 12, 64).size_bytes == 16 * 64 // 2 + 16 * 2 * 4
    assert new_matrix("w", "int8", 12, 64).size_bytes == 16 * 64 + 16 * 2 * 4
    assert new_matrix("w", "f16", 12, 64).size_bytes == 16 * 64 * 2
    assert new_matrix("w", "f32", 12, 64).size_bytes == 16 * 64 * 4
