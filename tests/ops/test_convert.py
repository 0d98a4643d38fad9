"""Conversion of packed matrices between formats."""

from __future__ import annotations

import pytest

from app.checks.rounding import convert_case
from app.errors import ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph
from app.ops.convert import convert
from app.ops.matrix import new_matrix
from tests.ops.helpers import check


@pytest.mark.gpu
@pytest.mark.parametrize("gguf_type", ["Q4_1", "Q8_0", "F16", "F32"])
def test_equals_its_twin(device: Device, gguf_type: str) -> None:
    check(device, convert_case, rows=37, columns=96, gguf_type=gguf_type)


def test_refuses_what_does_not_fit() -> None:
    graph, small = Graph("g"), new_matrix("small", "int8", 8, 32)
    with pytest.raises(ShapeError, match="int8 one"):
        convert(graph, small, new_matrix("large", "int8", 8, 32))
    with pytest.raises(ShapeError, match=r"cannot become a f32 one \(16, 32\)"):
        convert(graph, small, new_matrix("large", "f32", 16, 32))
