"""The tiny model, and a check that no test leaves anything on the GPU."""

from __future__ import annotations

import pytest

from tests.nn.engine import nothing_leaks, tiny

__all__ = ["nothing_leaks", "tiny"]


@pytest.fixture(autouse=True)
def _nothing_leaks(nothing_leaks: None) -> None:
    pass
