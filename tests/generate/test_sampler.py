"""Choosing the next token."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from app.config import GenerationConfig
from app.generate.sampler import Sampler, candidate_probabilities

Float64Array = npt.NDArray[np.float64]

NUM_DRAWS = 4000
LOGITS = np.array([1.0, 3.0, -2.0, 2.0, 2.5, 0.0], np.float32)


def softmax(scores: npt.ArrayLike) -> Float64Array:
    weights = np.exp(np.asarray(scores, np.float64) - np.max(scores))
    shares: Float64Array = weights / weights.sum()
    return shares


def draw(config: GenerationConfig, count: int = NUM_DRAWS, seen: tuple[int, ...] = ()) -> list[int]:
    sampler = Sampler(config)
    return [sampler.sample(LOGITS, seen) for _ in range(count)]


def assert_frequencies(drawn: list[int], expected: npt.ArrayLike) -> None:
    """Hold the counts against their binomial spread; five deviations never happen by chance."""
    shares = np.asarray(expected, np.float64)
    counts = np.bincount(drawn, minlength=len(shares))
    spread = np.sqrt(len(drawn) * shares * (1 - shares))
    assert (np.abs(counts - len(drawn) * shares) <= 5 * spread + 1e-9).all(), counts
    assert not counts[shares == 0].any()


def test_temperature_zero_takes_the_likeliest() -> None:
    config = GenerationConfig(temperature=0.0, top_k=2, top_p=0.1)
    assert set(draw(config, 20)) == {1}
    assert Sampler(config).sample(np.zeros(5, np.float32), []) == 0  # the first of equals


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature(temperature: float) -> None:
    config = GenerationConfig(temperature=temperature, top_p=1.0)
    assert_frequencies(draw(config), softmax(LOGITS / temperature))


@pytest.mark.parametrize("top_k", [1, 2, 3, 5, 6, 100])
def test_top_k(top_k: int) -> None:
    config = GenerationConfig(temperature=1.0, top_k=top_k, top_p=1.0)
    kept = np.argsort(-LOGITS)[:top_k]
    expected = np.zeros(6)
    expected[kept] = softmax(LOGITS[kept])
    assert_frequencies(draw(config), expected)


@pytest.mark.parametrize(("top_p", "count"), [(0.01, 1), (0.42, 1), (0.5, 2), (0.8, 3), (0.93, 4)])
def test_top_p_keeps_the_fewest_that_reach_it(top_p: float, count: int) -> None:
    shares = np.sort(softmax(LOGITS))[::-1]
    assert shares[:count].sum() >= top_p
    assert count == 1 or shares[: count - 1].sum() < top_p
    config = GenerationConfig(temperature=1.0, top_p=top_p)
    kept = np.argsort(-LOGITS)[:count]
    expected = np.zeros(6)
    expected[kept] = softmax(LOGITS[kept])
    assert_frequencies(draw(config), expected)


def test_top_p_counts_shares_after_top_k_and_temperature() -> None:
    config = GenerationConfig(temperature=2.0, top_k=3, top_p=0.6)
    candidates, probabilities = candidate_probabilities(LOGITS.astype(np.float64), config)
    within = softmax(LOGITS[[1, 4, 3]] / 2)
    assert within[0] < 0.6 <= within[:2].sum()
    assert candidates.tolist() == [1, 4]
    assert probabilities == pytest.approx(within[:2] / within[:2].sum())


@pytest.mark.parametrize("penalty", [1.5, 0.8])
def test_repetition_penalty(penalty: float) -> None:
    config = GenerationConfig(temperature=1.0, top_p=1.0, repetition_penalty=penalty)
    scores = LOGITS.astype(np.float64)
    scores[1] /= penalty  # said before, positive
    scores[2] *= penalty  # said before, negative: less likely too
    # Said twice counts once.
    assert_frequencies(draw(config, seen=(1, 2, 1)), softmax(scores))


def test_repetition_penalty_can_change_the_likeliest() -> None:
    config = GenerationConfig(temperature=0.0, repetition_penalty=1.3)
    assert draw(config, 1, seen=()) == [1]
    assert draw(config, 1, seen=(1,)) == [4]


def test_leaves_the_logits_alone() -> None:
    logits = LOGITS.copy()
    config = GenerationConfig(temperature=0.7, repetition_penalty=2.0, top_k=2)
    Sampler(config).sample(logits, [1, 2, 3])
    np.testing.assert_array_equal(logits, LOGITS)


@pytest.mark.parametrize("settings", [{}, {"top_k": 4}, {"top_p": 0.6}, {"temperature": 3.0}])
def test_the_same_seed_draws_the_same(settings: dict[str, Any]) -> None:
    drawn = [
        draw(GenerationConfig(**{"temperature": 1.5, "top_p": 1.0, "seed": seed} | settings), 60)
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_a_likely_token_beside_hopeless_ones() -> None:
    logits = np.full(1000, -1e4, np.float32)
    logits[17] = 1e4
    for settings in ({"top_p": 1.0}, {"top_p": 0.999}, {"top_k": 3}):
        config = GenerationConfig(**({"temperature": 0.1} | settings))
        assert Sampler(config).sample(logits, []) == 17


def test_a_whole_vocabulary_of_equals() -> None:
    config = GenerationConfig(temperature=1.0, top_p=0.5)
    candidates, probabilities = candidate_probabilities(np.zeros(1000), config)
    assert len(candidates) == pytest.approx(500, abs=1)
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)
