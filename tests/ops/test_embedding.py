"""Tokens looked up in a packed table."""

from __future__ import annotations

import pytest

from app.checks.products import embedding_case
from app.gpu.device import Device
from tests.ops.helpers import check


@pytest.mark.gpu
@pytest.mark.parametrize("gguf_type", ["Q4_0", "Q4_1", "Q8_0", "F16", "F32"])
@pytest.mark.parametrize(
    ("rows", "vocab_size", "columns"), [(1, 1, 32), (13, 37, 96), (64, 4001, 576)]
)
def test_embedding(
    device: Device, rows: int, vocab_size: int, columns: int, gguf_type: str
) -> None:
    shape = {"rows": rows, "vocab_size": vocab_size, "columns": columns}
    check(device, embedding_case, **shape, gguf_type=gguf_type)
