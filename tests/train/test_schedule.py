"""The learning rate over a run."""

from __future__ import annotations

import numpy as np
import pytest

from app.config import Schedule
from app.train.schedule import learning_rate_at


def rates(schedule: Schedule, num_steps: int, warmup_steps: int = 0) -> list[float]:
    return [
        learning_rate_at(
            step, num_steps=num_steps, peak=2.0, schedule=schedule, warmup_steps=warmup_steps
        )
        for step in range(1, num_steps + 1)
    ]


def test_constant() -> None:
    assert rates("constant", 5) == [2.0] * 5


def test_linear_would_reach_zero_one_update_after_the_last() -> None:
    assert rates("linear", 4) == pytest.approx([2.0, 1.5, 1.0, 0.5])


def test_cosine() -> None:
    expected = 1 + np.cos(np.pi * np.arange(5) / 5)
    assert rates("cosine", 5) == pytest.approx(expected.tolist())


def test_warm_up_reaches_the_peak_and_then_the_schedule_begins() -> None:
    assert rates("constant", 5, 3) == pytest.approx([2 / 3, 4 / 3, 2, 2, 2])
    assert rates("linear", 6, 2) == pytest.approx([1, 2, 2, 1.5, 1.0, 0.5])
    assert rates("cosine", 6, 2)[2:] == pytest.approx(rates("cosine", 4))


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_short_runs_and_long_warm_ups_stay_in_range(schedule: Schedule) -> None:
    for num_steps in (1, 2, 3):
        for warmup_steps in (0, 1, 3, 10):
            found = rates(schedule, num_steps, warmup_steps)
            assert all(0 < rate <= 2.0 for rate in found), (num_steps, warmup_steps)
    # A run that is cut short by its warm-up never gets there.
    assert rates(schedule, 3, 10) == pytest.approx([0.2, 0.4, 0.6])
