"""How long a run is, and how the learning rate changes over it."""

from __future__ import annotations

import math

from app.config import Schedule, TrainConfig


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


def count_steps(config: TrainConfig, num_windows: int, windows_per_step: int) -> int:
    """Return the updates of a run: as set, or as many as the epochs take."""
    if config.steps is not None:
        return config.steps
    per_epoch = math.ceil(num_windows / windows_per_step)
    # Rounded first: 1.1 · 10 is a little more than 11 in binary.
    return max(1, math.ceil(round(config.epochs * per_epoch, 6)))
