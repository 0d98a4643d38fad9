"""A device whose limits are simulated; what it allocates is real."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.config import ModelConfig
from app.errors import OutOfGpuMemoryError
from app.gpu.device import Device
from app.gpu.memory import padded
from app.models.loader import Model
from app.models.random import ByteTokenizer, new_weights


class LimitedDevice:
    """Another device with less memory and smaller buffers."""

    def __init__(self, device: Device, memory_bytes: int, buffer_bytes: int, is_told: bool) -> None:
        """Allow `memory_bytes` in all, told as WebGPU does not or kept from the engine."""
        self._device = device
        self._memory_bytes = memory_bytes
        self.allocated_bytes = 0
        self.tuning = device.tuning
        self.limits = replace(
            device.limits,
            max_buffer_bytes=buffer_bytes,
            max_binding_bytes=buffer_bytes,
            memory_bytes=memory_bytes if is_told else 0,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def create_buffer(self, size_bytes: int, label: str) -> Any:
        """Allocate on the real device, unless it is more than this one has."""
        if size_bytes > self.limits.max_buffer_bytes:
            raise OutOfGpuMemoryError(f"{label}: too large a buffer")
        if self.allocated_bytes + size_bytes > self._memory_bytes:
            raise OutOfGpuMemoryError(f"{label}: no memory left")
        buffer = self._device.create_buffer(size_bytes, label)
        self.allocated_bytes += size_bytes
        return buffer

    def destroy_buffer(self, buffer: Any) -> None:
        """Give a buffer back."""
        self.allocated_bytes -= buffer.size
        self._device.destroy_buffer(buffer)


def hollow_model(config: ModelConfig) -> Model:
    """Return a model whose weights have no buffers yet, and no device."""
    weights, _, _ = new_weights(config)
    return Model(config, weights, ByteTokenizer(config.vocab_size), None, config.name, None)  # type: ignore[arg-type]


def fill_hollow(model: Model, device: Any) -> None:
    """Allocate the weights; what they hold does not matter."""
    model.device = device
    for storage in model.weights.storages():
        storage.buffer = device.create_buffer(padded(storage.size_bytes), storage.label)
