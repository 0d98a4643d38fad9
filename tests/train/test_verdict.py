"""Verdicts on an adapter, from losses alone."""

from __future__ import annotations

import numpy as np
import pytest

from app.train.verdict import MIN_CHANGE, UNSURE_CHANGE, Passage, judge


def passages(gains: list[float], num_predicted: int = 100) -> list[Passage]:
    return [
        Passage(
            index,
            num_predicted + 1,
            num_predicted,
            3.0 * num_predicted,
            (3.0 - gain) * num_predicted,
        )
        for index, gain in enumerate(gains)
    ]


@pytest.mark.parametrize(
    ("gains", "train_gain", "verdict"),
    [
        ([0.5, 0.6, 0.4], None, "learned"),
        ([0.5, 0.6, 0.4], 2.0, "learned"),
        ([0.001, -0.002, 0.001], 0.0, "unchanged"),
        ([0.001, -0.002, 0.001], 0.8, "overfit"),
        ([-0.5, -0.6, -0.4], 0.8, "overfit"),
        ([-0.5, -0.6, -0.4], None, "worse"),
        ([-0.5, -0.6, -0.4], -0.1, "worse"),
        ([2.0, -1.9, 0.1, -0.1], None, "unclear"),  # as much either way: chance
        ([2.0, -1.9, 0.1, -0.1], 3.0, "unclear"),  # nor is it known that it did not learn
        ([0.9, 0.5], None, "unclear"),  # two passages say little of a third
        ([0.19], None, "unchanged"),  # a hundred tokens, a nat apart each
        ([0.21], None, "learned"),
        ([MIN_CHANGE * 0.9] * 50, None, "unchanged"),
        ([MIN_CHANGE * 1.1] * 50, None, "learned"),
    ],
)
def test_verdicts(gains: list[float], train_gain: float | None, verdict: str) -> None:
    judgement = judge(passages(gains), train_gain)
    assert judgement.verdict == verdict
    assert judgement.gain == pytest.approx(np.mean(gains))
    assert judgement.num_better == sum(gain > 0 for gain in gains)
    assert judgement.num_passages == len(gains)
    assert judgement.train_gain == train_gain


def test_the_margin_holds_what_chance_does() -> None:
    random = np.random.default_rng(0)
    called = 0
    for _ in range(400):
        gains = random.normal(0.0, 0.3, 20)
        called += judge(passages(list(gains))).verdict != "unchanged"
    assert called / 400 < 0.1  # two standard errors: about one in twenty


def test_a_single_passage_wants_tokens() -> None:
    long = passages([UNSURE_CHANGE * 1.1], 10_000)
    assert judge(long).verdict == "learned"
    assert judge(passages([UNSURE_CHANGE * 0.9], 10_000)).verdict == "unchanged"
    assert judge(passages([0.39], 25)).verdict == "unclear"


def test_long_passages_count_for_more() -> None:
    mixed = [*passages([1.0], 900), *passages([-1.0], 100)]
    assert judge(mixed).gain == pytest.approx(0.8)
