"""The helper that all numeric tests lean on must itself be able to fail."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tolerances import ELEMENTWISE, Tolerance, assert_close, nmse


def test_names_the_worst_element() -> None:
    expected = np.ones((2, 3))
    actual = expected.copy()
    actual[1, 2] = 1.5
    with pytest.raises(AssertionError, match=r"^y: 1 of 6 elements .* worst at \(1, 2\)"):
        assert_close(actual, expected, ELEMENTWISE, "y")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_what_is_not_finite(bad: float) -> None:
    with pytest.raises(AssertionError, match="y: 1 of 2"):
        assert_close([1.0, bad], [1.0, 1.0], Tolerance(1.0, 1.0), "y")
    with pytest.raises(AssertionError, match="not finite"):
        assert_close([1.0, bad], [1.0, bad], Tolerance(1.0, 1.0), "y")
    assert nmse([1.0, bad], [1.0, 1.0]) == np.inf


def test_does_not_broadcast() -> None:
    with pytest.raises(AssertionError, match=r"shape is \(1,\), expected \(2,\)"):
        assert_close([1.0], [1.0, 1.0], ELEMENTWISE, "y")
    with pytest.raises(AssertionError, match="shape"):
        nmse([1.0], [1.0, 1.0])


def test_bound_is_relative_plus_absolute() -> None:
    assert_close([100.9], [100.0], Tolerance(0.01, 0.0), "y")
    assert_close([0.01], [0.0], Tolerance(0.0, 0.01), "y")
    with pytest.raises(AssertionError):
        assert_close([101.1], [100.0], Tolerance(0.01, 0.0), "y")


def test_nmse_is_relative_to_the_expected_power() -> None:
    assert nmse([3.0, 4.1], [3.0, 4.0]) == pytest.approx(0.01 / 25)
    assert nmse([0.0], [0.0]) == 0.0
    assert nmse([1.0], [0.0]) == np.inf
