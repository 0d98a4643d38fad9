"""How the learning rate changes over a run."""

from __future__ import annotations

import math

from app.config import Schedule


def learning_rate_at(
    step: int, *, num_steps: int, peak: float, schedule: Schedule, warmup_steps: int
) -> float:
    """Return the learning rate of one update.

    Warm-up rises linearly and reaches the peak at update `warmup_steps`; from there on
    constant keeps it, linear falls to 0 and cosine follows ½(1 + cos π·progress) to 0, both
    one update after the last.

    Args:
        step: Number of the update, from 1.
        num_steps: Updates of the run.
        peak: Largest learning rate.
        schedule: constant, linear or cosine.
        warmup_steps: Updates of the warm-up; 0 is none.
    """
    if step <= warmup_steps:
        return peak * step / warmup_steps
    progress = (step - 1 - warmup_steps) / max(1, num_steps - warmup_steps)
    if schedule == "linear":
        return peak * max(0.0, 1.0 - progress)
    if schedule == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return peak
