"""Everything that a run carries from one update to the next, on the host and on the GPU."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from app.errors import CheckpointError
from app.gpu.device import Device
from app.gpu.graph import Graph, Storage, Tensor
from app.io.checkpoint_format import LazyArray
from app.messages import say
from app.train.ranks import ActiveRanks

Arrays = Mapping[str, npt.NDArray[Any]]
"""Name → (size,), float32 or uint32: the bits of a storage on the GPU."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        step: Updates made; the place in the windows' order and in both schedules follows.
        num_tokens: Tokens seen.
        num_skipped: Updates that were skipped, of them `skipped_in_a_row` the last ones.
        seconds: Time of the steps, pauses left out.
        active_ranks: Ranks in use.
    """

    step: int = 0
    num_tokens: int = 0
    num_skipped: int = 0
    skipped_in_a_row: int = 0
    seconds: float = 0.0
    active_ranks: ActiveRanks = field(default_factory=dict)


@dataclass(frozen=True)
class TrainerState:
    """A run between two updates: with it, it goes on to the same bits."""

    progress: Progress
    arrays: Arrays


class Milestones(Protocol):
    """What else happens in a run, between two updates."""

    def is_due(self, step: int) -> bool:
        """Return whether anything is to be done after this step."""
        ...

    async def visit(self, step: int) -> bool:
        """Do it; False ends the run here. The trainer's `progress` is that of this step."""
        ...


def lasting_tensors(update: Graph, cleared: Set[Storage]) -> dict[str, Tensor]:
    """Return by name what an update keeps for the next, each storage once and whole.

    That is every persistent tensor the update reads or writes, whichever the optimizer and
    whatever it trains, but for what the host writes before each step and for what each update
    leaves at zero: the `cleared` gradients.
    """
    found: dict[str, Tensor] = {}
    seen = set(cleared)
    for node in update.nodes:
        for tensor in node.bindings:
            storage = tensor.storage
            if storage in seen or storage.is_transient or storage.part == "scratch":
                continue
            seen.add(storage)
            name = storage.label.replace(" ", "_")
            while name in found:
                name += "_"
            found[name] = Tensor((storage.size_bytes // 4,), storage, tensor.dtype)
    return found


async def read_arrays(device: Device, tensors: Mapping[str, Tensor]) -> Arrays:
    """Read tensors back as they are."""
    arrays = {}
    for name, tensor in tensors.items():
        data = await device.read(tensor.storage.buffer, 0, tensor.size_bytes)
        arrays[name] = np.frombuffer(data, np.float32 if tensor.dtype == "f32" else np.uint32)
    return arrays


def lazy_arrays(device: Device, tensors: Mapping[str, Tensor]) -> dict[str, LazyArray]:
    """Return the same arrays as `read_arrays`, each to be read when it is wanted."""

    def lazy(tensor: Tensor) -> LazyArray:
        kind = np.float32 if tensor.dtype == "f32" else np.uint32
        return LazyArray(
            kind,
            (tensor.size,),
            lambda offset, size: device.read(tensor.storage.buffer, offset, size),
        )

    return {name: lazy(tensor) for name, tensor in tensors.items()}


def write_arrays(device: Device, tensors: Mapping[str, Tensor], arrays: Arrays) -> None:
    """Write what `read_arrays` gave.

    Raises:
        CheckpointError: the arrays are not those of these tensors; nothing was written.
    """
    _check_sizes(tensors, {name: array.size for name, array in arrays.items()})
    for name, tensor in tensors.items():
        device.write(tensor.storage.buffer, 0, arrays[name])


async def bring_arrays(
    device: Device, tensors: Mapping[str, Tensor], arrays: Mapping[str, LazyArray]
) -> None:
    """Write what lies elsewhere, a slice at a time; past Python where the host can.

    Raises:
        CheckpointError: the arrays are not those of these tensors; nothing was written.
        FormatError: they can no longer be read; some were written.
    """
    _check_sizes(tensors, {name: array.size for name, array in arrays.items()})
    for name, tensor in tensors.items():
        async for offset, data in arrays[name].slices():
            device.write(tensor.storage.buffer, offset, data)
            await device.wait()  # else all that is written waits beside the GPU at once


def _check_sizes(tensors: Mapping[str, Tensor], given: dict[str, int]) -> None:
    wanted = {name: tensor.size for name, tensor in tensors.items()}
    if wanted != given:
        names = sorted(key for key in wanted | given if wanted.get(key) != given.get(key))
        raise CheckpointError(
            say(
                "the checkpoint's {names} are not those of this run: begin it anew",
                names=", ".join(names),
            )
        )
