"""How far a run should go: a look, what suits most, or all that helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.config import Schedule

PresetName = Literal["quick", "balanced", "thorough"]


@dataclass(frozen=True)
class Preset:
    """What a run is suggested by.

    Attributes:
        label: For the button.
        help: One sentence.
        run_seconds: Longest run, by whether the device is a software adapter.
        min_updates: Small corpora are read several times, for as many updates as this.
        min_epochs: Passes over the corpus at least, where time allows.
        rank: Of a fresh adapter; alpha is twice the rank.
        schedule: Of the learning rate.
    """

    label: str
    help: str
    run_seconds: dict[bool, float]
    min_updates: int
    min_epochs: int
    rank: int
    schedule: Schedule


PRESETS: dict[PresetName, Preset] = {
    "quick": Preset(
        "Quick look",
        "About a minute: does it learn from this text at all?",
        {True: 60.0, False: 60.0},
        20,
        1,
        4,
        "constant",
    ),
    "balanced": Preset(
        "Balanced",
        "What suits most texts, cut short where it would take long.",
        {True: 300.0, False: 1800.0},
        60,
        1,
        4,
        "constant",
    ),
    "thorough": Preset(
        "Thorough",
        "A wider adapter that learns for longer: up to half an hour without a GPU, two hours with "
        "one. The learning rate falls towards the end.",
        {True: 1800.0, False: 7200.0},
        240,
        3,
        16,
        "cosine",
    ),
}
