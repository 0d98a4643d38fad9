"""What is read from the curve of a search for a learning rate, and what is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from app.train.rate_curve import (
    RateCurve,
    RatePoint,
    format_rate,
    is_coming_apart,
    read_curve,
    smooth,
)

LOSS = 4.0


def search_of(changes: Sequence[float], low: float = -5.0, high: float = 0.0) -> RateCurve:
    """Read changes as a search would have met them: until they come apart."""
    exponents = np.linspace(low, high, len(changes))
    points: list[RatePoint] = []
    for step, (exponent, change) in enumerate(zip(exponents, changes, strict=True), 1):
        points.append(RatePoint(step, float(10**exponent), LOSS + float(change), LOSS))
        if is_coming_apart(points):
            return read_curve(points, stopped=False, diverged=True)
    return read_curve(points, stopped=False, diverged=False)


def fall_and_rise(num: int = 40, height: float = 3.0) -> np.ndarray:
    """Fall by 0.4 around 1e-3, rise from 3e-2 on."""
    exponents = np.linspace(-5, 0, num)
    fall = -0.4 / (1 + np.exp(-6 * (exponents + 3)))
    return np.asarray(fall + height * np.maximum(0, exponents + 1.5) ** 2)


@pytest.mark.parametrize("num", [20, 40, 80])
def test_the_suggestion_is_where_the_loss_falls_steepest(num: int) -> None:
    curve = search_of(fall_and_rise(num))
    assert curve.reason == ""
    assert curve.suggestion is not None
    assert curve.low is not None
    assert curve.high is not None
    assert curve.suggestion == pytest.approx(1e-3, rel=0.5)
    assert 1e-4 < curve.low < curve.suggestion < curve.high < 1e-1
    assert curve.fall == pytest.approx(0.4, rel=0.1)
    assert curve.suggestion == float(f"{curve.suggestion:.1e}")


@pytest.mark.parametrize("height", [3.0, 0.3])
def test_the_search_ends_soon_after_the_loss_has_risen(height: float) -> None:
    exponents = np.linspace(-5, 0, 40)
    changes = fall_and_rise(height=height)
    curve = search_of(changes)
    risen = exponents[np.flatnonzero(changes > 0.1)[0]]
    assert risen <= exponents[len(curve.smoothed) - 1] <= risen + 0.75


def test_a_jump_that_is_made_good_does_not_end_it() -> None:
    changes = fall_and_rise()
    changes[20] += 0.5
    assert len(search_of(changes).smoothed) == len(search_of(fall_and_rise()).smoothed)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], "came apart within 1 step"),
        ([0.0, 1.0, 2.0], "came apart within 4 steps"),
        ([0.0] * 40, "hardly anything"),
        (np.linspace(0, -0.005, 40), "hardly anything"),
        (np.linspace(0, 2, 40), "rose from the lowest rate on, 1e-5"),
        (-(np.linspace(0, 1, 40) ** 2), "still falling at the highest rate tried, 1e0"),
    ],
)
def test_nothing_is_suggested_where_the_curve_tells_nothing(
    changes: Sequence[float], words: str
) -> None:
    curve = search_of(changes)
    assert words in curve.reason
    assert (curve.suggestion, curve.low, curve.high) == (None, None, None)
    assert len(curve.smoothed) == len(changes) or "rose" in words


def test_a_search_that_was_stopped_tells_what_it_saw() -> None:
    def stopped(num: int) -> RateCurve:
        points = [
            RatePoint(step, float(10 ** (-5 + step / 8)), LOSS + float(change), LOSS)
            for step, change in enumerate(fall_and_rise()[:num])
        ]
        return read_curve(points, stopped=True, diverged=False)

    assert stopped(3).reason == "stopped after 3 steps: too few to tell anything"
    assert "hardly changed yet where the search was stopped" in stopped(10).reason
    assert "still falling where the search was stopped" in stopped(17).reason
    assert stopped(30).suggestion == pytest.approx(1e-3, rel=0.2)


def test_scatter_is_not_taken_for_a_fall() -> None:
    random, exponents = np.random.default_rng(0), np.linspace(-5, 0, 40)
    growing = np.minimum(1, 10 ** ((exponents + 2) / 1.5))
    rise = 10 * np.maximum(0, exponents + 1) ** 2
    even = uneven = 0
    for _ in range(500):
        noise = random.normal(0, 0.2, 40)
        even += search_of(noise).suggestion is not None
        uneven += search_of(noise * growing + rise).suggestion is not None
    assert even < 20
    assert uneven < 20


def test_a_fall_is_found_under_some_scatter() -> None:
    random, found = np.random.default_rng(0), []
    for _ in range(200):
        curve = search_of(fall_and_rise() + random.normal(0, 0.05, 40))
        if curve.suggestion is not None:
            found.append(curve.suggestion)
    assert len(found) > 180
    assert np.percentile(found, [5, 95]) == pytest.approx([1e-3, 1e-3], rel=1.0)


def test_smoothing_leaves_a_line_as_it_is() -> None:
    x = np.linspace(-5, 0, 40)
    values, slopes = smooth(x, 2 * x + 1)
    np.testing.assert_allclose(values, 2 * x + 1, atol=1e-12)
    np.testing.assert_allclose(slopes, 2, atol=1e-12)


@pytest.mark.parametrize(("rate", "text"), [(1.23e-3, "1.2e-3"), (2e-5, "2e-5"), (1.0, "1e0")])
def test_rates_are_written_with_two_digits(rate: float, text: str) -> None:
    assert format_rate(rate) == text
