"""The most memory that was in use at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.gpu.device import Device


class Peak:
    """Most bytes that a device held at once."""

    def __init__(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        self.device, self.most = device, device.allocated_bytes
        create: Callable[..., Any] = device.create_buffer

        def counted(size_bytes: int, label: str) -> Any:
            buffer = create(size_bytes, label)
            self.most = max(self.most, device.allocated_bytes)
            return buffer

        monkeypatch.setattr(device, "create_buffer", counted)
