"""The shape of an adapter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from reprlib import repr as shown
from typing import Any

from app.config.checked import (
    Checked,
    above_zero,
    is_flag,
    is_number,
    is_whole,
    refusal,
    setting,
    whole_number,
)
from app.config.choices import ADAPTER_BITS, MAX_RANK, TARGET_MODULES
from app.messages import say


def _listed(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


@dataclass(frozen=True)
class LoraConfig(Checked):
    """A plain LoRA adapter: y += (alpha / rank) · B·A·x on the target modules."""

    rank: int = setting(4, "Width of the low-rank update; more learns more and costs more.")
    alpha: float = setting(8, "Strength of the update: its scale is alpha / rank.")
    target_modules: tuple[str, ...] = setting(
        TARGET_MODULES, "Which projections of every layer get an adapter."
    )
    use_rslora: bool = setting(
        False, "Rank-stabilised: the scale is alpha / √rank, so that a large rank learns as fast."
    )
    adapter_bits: int = setting(
        32, "Bits of a number in A and B; in 2 or 1 the adapter is a sixteenth or less as large."
    )

    @property
    def scaling(self) -> float:
        """Factor of the update: alpha / rank, or alpha / √rank (arXiv:2312.03732)."""
        return self.alpha / (math.sqrt(self.rank) if self.use_rslora else self.rank)

    def problems(self) -> list[str]:
        """Return one sentence for each setting out of range."""
        found: list[str] = []
        if not is_whole(self.rank, 1, MAX_RANK):
            found.append(refusal("rank", self.rank, whole_number(1, MAX_RANK)))
        if not is_number(self.alpha, 0, 1e6) or not self.alpha:
            found.append(refusal("alpha", self.alpha, above_zero(1000000)))
        if not is_flag(self.use_rslora):
            found.append(refusal("use_rslora", self.use_rslora, say("give true or false")))
        if not is_whole(self.adapter_bits, 1) or self.adapter_bits not in ADAPTER_BITS:
            found.append(refusal("adapter_bits", self.adapter_bits, say("give 32, 2 or 1")))
        listed = _listed(self.target_modules)
        wrong = [shown(name) for name in listed if name not in TARGET_MODULES]
        if wrong or not listed:
            choices = ", ".join(TARGET_MODULES)
            found.append(
                say(
                    "{setting} has {wrong}: choose from {choices}",
                    setting="target_modules",
                    wrong=", ".join(wrong) or say("nothing"),
                    choices=choices,
                )
            )
        elif len(set(listed)) < len(listed):
            found.append(
                say("{setting} names a projection twice: give each once", setting="target_modules")
            )
        return found
