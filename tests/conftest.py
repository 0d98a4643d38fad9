"""Fixtures that all tests share: the native device, strict floating point."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import numpy as np
import pytest

from app.errors import NoAdapterError
from app.gpu.device import Device

Result = TypeVar("Result")


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Finish a coroutine and return its result."""
    return asyncio.run(coroutine)


@pytest.fixture(autouse=True)
def _strict_numpy() -> Iterator[None]:
    """Make numpy raise where it would warn, and its legacy generator repeatable."""
    np.random.seed(0)  # what libraries draw from
    with np.errstate(all="raise"):
        yield


@pytest.fixture(scope="session")
def device() -> Iterator[Device]:
    """The machine's WebGPU device; a software adapter will do."""
    from app.gpu.native import open_native_device

    try:
        device = run(open_native_device())
    except NoAdapterError as error:
        if os.environ.get("LORA_LAB_CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    yield device
    device.destroy()
