"""The adapters on the shelf, as page and worker speak of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class AdapterInfo:
    """An adapter on the shelf.

    Attributes:
        strength: Factor of its scale when it answers: 1 as it was trained, 0 the base alone.
        has_record: Whether the run that made it can be had as run.json.
        is_saved: Whether the person has it: downloaded, kept or loaded from a file.
    """

    id: int
    rank: int
    alpha: float
    bits: int
    num_parameters: int
    origin: Literal["trained", "loaded"]
    name: str
    steps: int
    strength: float
    has_record: bool = False
    is_saved: bool = True


@dataclass(frozen=True)
class AdapterEvent:
    """What is on the shelf now, and which adapter is chosen, or none."""

    type: ClassVar[str] = "adapter"
    adapter: AdapterInfo | None
    shelf: list[AdapterInfo]


@dataclass(frozen=True)
class AdapterReplacedEvent:
    """An adapter that was never downloaded had to go: here it is, to be kept."""

    type: ClassVar[str] = "adapter-replaced"
    bytes: bytes
    filename: str
    adapter: int
