"""A search for a learning rate, as page and worker speak of it.

The answer is `app.runs.rate_search.result_values`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class RateStageEvent:
    """What a search does before its first step, and the share of it that is done."""

    type: ClassVar[str] = "rate-stage"
    stage: str
    fraction: float


@dataclass(frozen=True)
class RatePointEvent:
    """One step of a search: the fields of `app.train.rate_curve.RatePoint`, and its change.

    Attributes:
        num_steps: Of a search that goes through to its highest rate.
    """

    type: ClassVar[str] = "rate-point"
    step: int
    learning_rate: float
    loss: float
    loss_before: float
    num_tokens: int
    seconds: float
    change: float
    num_steps: int
