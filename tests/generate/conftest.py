"""The tiny model, a generator over it, and a check that no test leaves anything on the GPU."""

from __future__ import annotations

import pytest

from tests.generate.answers import adapter, computed, generator
from tests.nn.engine import nothing_leaks, tiny

__all__ = ["adapter", "computed", "generator", "nothing_leaks", "tiny"]


@pytest.fixture(autouse=True)
def _nothing_leaks(nothing_leaks: None) -> None:
    pass
