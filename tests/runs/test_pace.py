"""How often a large checkpoint is written."""

from __future__ import annotations

import pytest

from app.runs.pace import LEAST_SECONDS, SHARE, CheckpointPace


@pytest.mark.parametrize(
    ("size_bytes", "step_seconds", "every"),
    [
        (1_000_000, 0.5, 120),  # a minute's work, not a twentieth of what is next to nothing
        (500_000_000, 2.0, 95),  # ten seconds at the assumed rate: 190 seconds of work
        (1_400_000_000, 0.25, 2128),
        (500_000_000, 600.0, 1),  # each step, where one takes longer
    ],
)
def test_a_checkpoint_costs_a_twentieth_of_the_time_at_most(
    size_bytes: int, step_seconds: float, every: int
) -> None:
    assert CheckpointPace(size_bytes, step_seconds).every == every


def test_what_was_measured_counts() -> None:
    pace = CheckpointPace(500_000_000, 2.0).with_step(1.0).with_write(4.0)
    assert pace.every == 76
    cost = 4.0 / (4.0 + pace.every * 1.0)
    assert cost <= SHARE
    assert pace.with_write(0.01).every == LEAST_SECONDS
    assert pace.with_step(0.0).every > 0
