"""How a program is cut into submits; pure Python, so no browser is needed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.gpu.device import MAX_SUBMIT_MS
from app.gpu.pacing import Pacer


def measured(pacer: Pacer, true_ms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    starts = [0, *pacer.ends[:-1]]
    rows = [(a, b, true_ms[a:b].sum()) for a, b in zip(starts, pacer.ends, strict=True)]
    return np.array(rows, np.float64)


def longest(pacer: Pacer, true_ms: npt.NDArray[np.float64]) -> float:
    return float(measured(pacer, true_ms)[:, 2].max())


def test_a_device_that_is_slower_than_guessed_gets_shorter_submits() -> None:
    true_ms = np.full(100, 10.0)
    pacer = Pacer([1e6] * 100, flops_per_ms=1e6)
    assert longest(pacer, true_ms) > 500
    for _ in range(6):
        pacer.learn(measured(pacer, true_ms))
    assert longest(pacer, true_ms) <= 1.5 * MAX_SUBMIT_MS


def test_a_device_that_is_faster_than_guessed_gets_fewer_submits() -> None:
    true_ms = np.full(100, 0.1)
    pacer = Pacer([1e6] * 100, flops_per_ms=1e5)
    assert len(pacer.ends) > 10
    for _ in range(8):
        pacer.learn(measured(pacer, true_ms))
    assert pacer.ends == [100]


def test_kernels_whose_work_was_underestimated_are_found() -> None:
    true_ms = np.full(60, 1.0)
    true_ms[30:34] = 60.0
    pacer = Pacer([1e6] * 30 + [3e6] * 4 + [1e6] * 26, flops_per_ms=1e6)
    for _ in range(8):
        pacer.learn(measured(pacer, true_ms))
    assert longest(pacer, true_ms) <= 1.6 * MAX_SUBMIT_MS


def test_one_stall_does_not_shatter_the_program() -> None:
    true_ms = np.full(50, 3.0)
    pacer = Pacer([1e6] * 50, flops_per_ms=3.3e5)
    before = len(pacer.ends)
    stalled = measured(pacer, true_ms)
    stalled[:, 2] *= 1000
    pacer.learn(stalled)
    assert len(pacer.ends) <= 5 * before
    for _ in range(8):
        pacer.learn(measured(pacer, true_ms))
    assert len(pacer.ends) <= before + 1


def test_ends_always_cover_every_dispatch_once() -> None:
    rng = np.random.default_rng(0)
    pacer = Pacer((rng.random(700) * 1e6).tolist(), flops_per_ms=1e4)
    for _ in range(5):
        assert pacer.ends == sorted(set(pacer.ends))
        assert pacer.ends[-1] == 700
        pacer.learn(measured(pacer, rng.random(700)))
