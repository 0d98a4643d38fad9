"""Fixtures that all tests share: the native device, strict floating point."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from app.errors import NoAdapterError
from app.gpu.device import Device

Result = TypeVar("Result")

REAL_MODEL = Path(__file__).parents[1] / "dist/models/smollm2-135m-instruct-q4_1.gguf"


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Finish a coroutine and return its result."""
    return asyncio.run(coroutine)


@pytest.fixture(autouse=True)
def _strict_numpy() -> Iterator[None]:
    """Make numpy raise where it would warn, and its legacy generator repeatable."""
    np.random.seed(0)  # what libraries draw from
    with np.errstate(all="raise"):
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's tunings out: tests compute the same everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(tmp_path_factory.mktemp("cache")))
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


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The bundled model's file; a missing one is a failure, never a skip."""
    assert REAL_MODEL.exists(), f"{REAL_MODEL} is missing: run python3 build.py first"
    return REAL_MODEL
