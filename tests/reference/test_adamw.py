"""The optimizer twin against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from app.reference.adamw import adamw, clip_scale
from tests.tolerances import EXACT, assert_close


def test_first_step_moves_by_the_learning_rate() -> None:
    # m/(1-β₁) = g and √(v/(1-β₂)) = |g|, so the first step is lr·sign(g) whatever g is.
    param, m, v = adamw(
        np.array([1.0, 1.0]),
        np.array([0.5, -8.0]),
        np.zeros(2),
        np.zeros(2),
        step=1,
        learning_rate=0.01,
        weight_decay=0.0,
    )
    assert param == pytest.approx([0.99, 1.01], rel=1e-9)
    assert m == pytest.approx([0.05, -0.8])
    assert v == pytest.approx([0.00025, 0.064])


def test_weight_decay_is_decoupled() -> None:
    zero = np.zeros(1)
    param, m, v = adamw(
        np.array([2.0]), zero, zero, zero, step=3, learning_rate=0.1, weight_decay=0.5
    )
    assert param == pytest.approx([1.9])
    assert_close(m, zero, EXACT, "m")
    assert_close(v, zero, EXACT, "v")


def test_clip_scale_applies_before_the_moments() -> None:
    zero, grad = np.zeros(1), np.array([4.0])
    _, m, v = adamw(
        zero, grad, zero, zero, step=1, learning_rate=0.1, weight_decay=0.0, clip_scale=0.25
    )
    assert m == pytest.approx([0.1])
    assert v == pytest.approx([0.001])


def test_clip_scale_uses_the_norm_over_all_gradients() -> None:
    grads = [np.array([3.0]), np.array([[0.0, 4.0]])]
    assert clip_scale(grads, 1.0) == pytest.approx(1 / (5 + 1e-6), rel=1e-12)
    assert clip_scale(grads, 6.0) == 1.0
    assert clip_scale(grads, 0.0) == 1.0
