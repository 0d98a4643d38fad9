"""Bring a loaded model's weights into the form they are trained in, and give the old ones back."""

from __future__ import annotations

import numpy as np

from app.gpu.device import Device, Program
from app.gpu.memory import MemoryPlan
from app.models.loader import Model
from app.nn.trainable import TrainableWeights, norms_of
from app.nn.weights import DecoderWeights
from app.ops.matrix import Matrix

COPY_BYTES = 32 << 20
"""What is held of a matrix while it is copied."""


async def take_over(
    model: Model,
    trained: TrainableWeights,
    conversion: Program,
    plan: MemoryPlan,
    *,
    keeps_base: bool = False,
) -> None:
    """Let a model have the trained weights, which start as its own; free those it had.

    Args:
        model: Loaded.
        trained: Allocated by `plan`.
        conversion: The recorded conversion of the matrices.
        plan: Its trained weights belong to the model from here on.
        keeps_base: Free nothing: another model has the loaded weights too.
    """
    device, base = model.device, model.weights
    await device.run(conversion)
    for matrix in trained.matrices:
        if matrix.matrix is not matrix.source and matrix.matrix.format == matrix.source.format:
            await _copy(device, matrix.source, matrix.matrix)
    await _copy_norms(device, base, trained)
    kept = trained.storages()
    model.weights = trained.weights
    plan.shared += [storage for storage in plan.owned if storage in kept]
    plan.owned = [storage for storage in plan.owned if storage not in kept]
    await device.wait()
    if keeps_base:
        return
    for storage in base.storages():
        if storage not in kept and storage.buffer is not None:
            device.destroy_buffer(storage.buffer)
            storage.buffer = None


async def _copy(device: Device, source: Matrix, target: Matrix) -> None:
    """Copy a matrix as it is."""
    for old, new in zip(source.bindings, target.bindings, strict=True):
        for start in range(0, old.size_bytes, COPY_BYTES):
            size = min(COPY_BYTES, old.size_bytes - start)
            data = await device.read(old.storage.buffer, start, size)
            device.write(new.storage.buffer, start, np.frombuffer(data, np.uint32))
        if source.scales is source.words:
            return


async def _copy_norms(device: Device, base: DecoderWeights, trained: TrainableWeights) -> None:
    gains = np.zeros(trained.gains.shape, np.float32)
    for row, norm in zip(gains, norms_of(base), strict=True):
        data = await device.read(norm.storage.buffer, norm.offset_bytes, norm.size_bytes)
        row[: norm.size] = np.frombuffer(data, np.float32)
    device.write(trained.gains.storage.buffer, 0, gains)
