"""Choose which output channels get 1, 2 or 4 bits under a budget, after LowRA: an experiment.

The criterion is the squared error of a channel's weights: a first pass over the file measures it
in 1, 2 and 4 bits, the budget then goes where a bit takes most of it away. The codes are kept in
the INT4 layout, so that every product reads them; the memory that fewer bits would save is not.
Source: arXiv:2502.08141, whose assignment is by linear programming and whose levels are learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from app.errors import ConfigError
from app.gpu.device import Device
from app.gpu.memory import padded
from app.io.source import ByteSource
from app.messages import say
from app.models.llama import LoadPlan
from app.models.upload import upload
from app.ops.matrix import Matrix

BITS = (1, 2, 4)

Errors = npt.NDArray[np.float64]
Bits = npt.NDArray[np.int64]


def check_budget(bits: float) -> None:
    """Raise ConfigError unless an average of so many bits can be had."""
    if not BITS[0] <= bits <= BITS[-1]:
        raise ConfigError(
            say(
                "quantize_bits is {bits}: give a number from {bits_2} to {bits_3}",
                bits=bits,
                bits_2=BITS[0],
                bits_3=BITS[-1],
            )
        )


def assign_bits(errors: Sequence[Errors], columns: Sequence[int], budget: float) -> list[Bits]:
    """Return the bits of every channel.

    Channels start at 1 bit. A step to 2 or from there to 4 (or from 1 to 4, where that is worth
    more a bit) is taken in the order of error saved a bit of storage, while the budget lasts.

    Args:
        errors: For each matrix (rows, 3): squared error of each row in 1, 2 and 4 bits.
        columns: Weights of a row, for each matrix.
        budget: Average bits of a weight.
    """
    sizes = np.concatenate(
        [np.full(len(rows), width, float) for rows, width in zip(errors, columns, strict=True)]
    )
    first, second, third = np.concatenate(errors).T
    slopes = np.stack([(first - second) / sizes, (second - third) / (2 * sizes)], axis=1)
    costs = np.stack([sizes, 2 * sizes], axis=1)
    # Where the second step is worth more, both are one.
    is_joint = slopes[:, 1] > slopes[:, 0]
    joint = (first - third) / (3 * sizes)
    slopes[is_joint] = joint[is_joint, None]
    order = np.argsort(-slopes.reshape(-1), kind="stable")
    spent = np.cumsum(costs.reshape(-1)[order])
    taken = np.zeros(slopes.size, bool)
    taken[order] = (spent <= (budget - 1) * sizes.sum()) & (slopes.reshape(-1)[order] > 0)
    steps = taken.reshape(slopes.shape)
    bits = np.where(steps[:, 0], np.where(steps[:, 1], 4, 2), 1)
    bounds = np.cumsum([len(rows) for rows in errors])[:-1]
    return np.split(bits, bounds)


async def choose_channels(
    device: Device,
    source: ByteSource,
    plan: LoadPlan,
    budget: float,
    on_progress: Callable[[int, int], None],
) -> dict[int, int]:
    """Measure every channel, give it its bits; return how many weights have how many bits.

    The channels' buffers are made here; `free_channels` frees them after the upload.

    Raises:
        FormatError: the file cannot be read any further.
        GpuError: the device failed.
    """
    parts = [part for part in plan.matrices if part.channels is not None]
    channels = {part.matrix: part.channels for part in parts if part.channels is not None}
    for tensor in channels.values():
        tensor.storage.buffer = device.create_buffer(
            padded(tensor.size_bytes), tensor.storage.label
        )
    measured = replace(plan, matrices=parts, vectors=[])
    await upload(device, source, measured, on_progress, is_measuring=True)
    matrices: list[Matrix] = list(channels)
    errors = []
    for tensor in channels.values():
        raw = await device.read(tensor.storage.buffer, 0, tensor.size_bytes)
        errors.append(np.frombuffer(raw, np.float32).reshape(tensor.shape).astype(np.float64))
    assigned = assign_bits(errors, [matrix.num_columns for matrix in matrices], budget)
    counts = dict.fromkeys(BITS, 0)
    for matrix, bits in zip(matrices, assigned, strict=True):
        rows = np.zeros((len(bits), 3), np.float32)
        rows[:, 0] = bits
        device.write(channels[matrix].storage.buffer, 0, rows)
        for width in BITS:
            counts[width] += int((bits == width).sum()) * matrix.num_columns
    return counts


def free_channels(device: Device, plan: LoadPlan) -> None:
    """Free what `choose_channels` made."""
    for part in plan.matrices:
        if part.channels is not None and part.channels.storage.buffer is not None:
            device.destroy_buffer(part.channels.storage.buffer)
            part.channels.storage.buffer = None
