"""How much of a text a run reads: the count, and the words for it."""

from __future__ import annotations

import pytest

from app.config import TrainConfig
from app.plan.coverage import coverage
from app.plan.speed import RunShape, RunWork


def passes(num_windows: int, batch: int, accumulation: int, num_steps: int) -> float:
    shape = RunShape("adapter", 16, batch, accumulation, 1000, False)
    return RunWork(shape, 1e9, 700, 0.0, num_windows, num_steps).passes(num_steps)


def test_the_last_step_of_an_epoch_may_read_less() -> None:
    # 10 windows, 4 a step: 4 + 4 + 2, then from the start
    counts = [passes(10, 2, 2, steps) for steps in (1, 2, 3, 4, 6)]
    assert counts == pytest.approx([0.4, 0.8, 1.0, 1.4, 2.0])


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0.0031, "reads 0.3 % of the text"),
        (0.0172, "reads 1 % of the text"),
        (0.99, "reads 99 % of the text"),
        (0.994, "reads 99 % of the text"),
        (1.0, "reads the text once"),
        (1.5, "1.5 passes over the text"),
        (3.0, "3 passes over the text"),
        (12500.0, "12,500 passes over the text"),
        (1500.5, "1,500.5 passes over the text"),
    ],
)
def test_words_never_claim_more_than_is_read(count: float, words: str) -> None:
    assert coverage(count) == words


def test_a_number_with_its_thousands_apart_is_refused_and_told_so() -> None:
    for given in ("1,000", "1.000,5", "12 000"):
        (problem,) = TrainConfig(weight_decay=given).problems()  # type: ignore[arg-type]
        assert problem.endswith("without a sign between the thousands")
    (problem,) = TrainConfig(weight_decay="ten").problems()  # type: ignore[arg-type]
    assert "thousands" not in problem
