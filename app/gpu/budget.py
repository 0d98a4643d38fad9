"""How much memory a run may take, as far as it can be known.

WebGPU tells how large one buffer may be, never how much memory a GPU has. What is known
instead, and how sure it is, stands here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.messages import say

if TYPE_CHECKING:
    from app.gpu.adapter import AdapterInfo
    from app.gpu.device import Device

GIB = 1 << 30

ASSUMED_BYTES = 4 * GIB
"""Where nobody told: most GPUs have at least this."""


def software_share(info: AdapterInfo, computer_bytes: float) -> int:
    """Return what a software adapter may take of the computer's memory: half; 0: not known.

    A GPU's own memory is not known, however much the computer has.
    """
    return int(computer_bytes / 2) if info.is_software else 0


def format_bytes(size_bytes: float) -> str:
    """Return a size for people, in powers of ten as the page shows it."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= size:
            value = size_bytes / size
            digits = 2 if unit == "GB" else int(value < 10)
            return f"{value:.{digits}f} {unit}"
    return f"{size_bytes:.0f} B"


@dataclass(frozen=True)
class MemoryBudget:
    """What a run may take.

    Attributes:
        memory_bytes: All buffers together.
        buffer_bytes: One buffer: the least of what can be made and what can be bound.
        is_assumed: Nobody told `memory_bytes`.
        device_name: Who sets the limits.
        source: Where `memory_bytes` comes from, as a sentence.
    """

    memory_bytes: int
    buffer_bytes: int
    is_assumed: bool
    device_name: str
    source: str

    @classmethod
    def of(cls, device: Device, device_memory_gb: float | None = None) -> MemoryBudget:
        """Return the budget of a device.

        Args:
            device: Its limits bound each buffer. Software adapters compute in the computer's own
                memory, half of which is taken to be theirs; where it is known, that is the budget.
            device_memory_gb: What the person said, in 10⁹ bytes; wins over everything.
        """
        limits, name = device.limits, device.info.name
        name = name.split(" (", 1)[0]
        buffer_bytes = min(limits.max_buffer_bytes, limits.max_binding_bytes)
        if device_memory_gb is not None:
            size = int(device_memory_gb * 1e9)
            source = say("You said that {size} are there for a run.", size=format_bytes(size))
            return cls(size, buffer_bytes, False, name, source)
        if limits.memory_bytes:
            size = limits.memory_bytes
            source = say(
                "{name} computes in the computer's own memory; half of it, {size}, is taken to be "
                "free for a run.",
                name=name,
                size=format_bytes(size),
            )
            return cls(size, buffer_bytes, False, name, source)
        source = say(
            "WebGPU does not tell how much memory a GPU has; {size} are assumed. If yours has more "
            "or less, set the device memory.",
            size=format_bytes(ASSUMED_BYTES),
        )
        return cls(ASSUMED_BYTES, buffer_bytes, True, name, source)

    def misfit_memory(self, total_bytes: int) -> str:
        """Return why a run of this size is too large, or nothing."""
        if total_bytes <= self.memory_bytes:
            return ""
        sizes = {"size": format_bytes(total_bytes), "limit": format_bytes(self.memory_bytes)}
        if self.is_assumed:
            return say(
                "the run needs {size} of GPU memory, more than the {limit} that are assumed",
                **sizes,
            )
        return say("the run needs {size} of GPU memory, more than the {limit} there are", **sizes)

    def misfit_buffer(self, label: str, size: int) -> str:
        """Return that a buffer is larger than the device allows, or nothing."""
        if size <= self.buffer_bytes:
            return ""
        return say(
            "one buffer of {size} is needed ({label}); {device} allows {limit}",
            size=format_bytes(size),
            label=label,
            device=self.device_name,
            limit=format_bytes(self.buffer_bytes),
        )
