"""Windows from easy to hard, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from app.text.curriculum import difficulties, order_windows
from app.text.windows import Windows, make_windows


def windows_of(seed: int = 0) -> Windows:
    """Ninety windows whose words get rarer from one to the next."""
    random = np.random.default_rng(seed)
    rows = [random.integers(0, 2 + 20 * index, 16) for index in range(90)]
    shuffled = random.permutation(90)
    return make_windows(np.concatenate([rows[index] for index in shuffled]).astype(np.int32), 16)


def test_difficulty_is_the_mean_weight_of_the_words() -> None:
    windows = make_windows(np.array([1, 1, 1, 2, 1, 3, 4, 5], np.int32), 4)
    common, rare = np.log(3 / 3) + 1, np.log(3 / 2) + 1
    expected = [(3 * common + rare) / 4, (common + 3 * rare) / 4]
    np.testing.assert_allclose(difficulties(windows), expected, rtol=1e-12)


def test_bands_rise_and_are_shuffled_inside() -> None:
    windows = windows_of()
    order = order_windows(windows, "tfidf", seed=3, bands=9)
    assert sorted(order.tolist()) == list(range(90))
    hardness = difficulties(windows)[order].reshape(9, 10)
    assert (hardness.max(axis=1)[:-1] <= hardness.min(axis=1)[1:]).all()
    assert (np.diff(hardness, axis=1) < 0).any()


def test_same_seed_same_order() -> None:
    windows = windows_of()
    first, again, other = (order_windows(windows, "tfidf", seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize("num_windows", [1, 3])
def test_fewer_windows_than_bands(num_windows: int) -> None:
    windows = make_windows(np.arange(4 * num_windows, dtype=np.int32), 4)
    assert sorted(order_windows(windows, "tfidf", 0).tolist()) == list(range(num_windows))


def test_off_keeps_the_order() -> None:
    assert order_windows(windows_of(), "none", seed=9).tolist() == list(range(90))
