"""Several parts in one sequence: the twin against separate sequences and finite differences."""

from __future__ import annotations

import numpy as np

from app.reference.attention import attention, attention_backward
from tests.reference.gradcheck import numeric_gradient
from tests.tolerances import FINITE_DIFFERENCE, TWIN_VS_TORCH, assert_close

STARTS = np.array([[0, 0, 2, 2, 2, 5], [0, 0, 0, 0, 4, 4]])


def test_parts_equal_separate_sequences() -> None:
    rng = np.random.default_rng(5)
    q, k, v = (rng.normal(size=(2, 6, heads, 4)) for heads in (4, 2, 2))
    o, logsumexp = attention(q, k, v, starts=STARTS)
    for sequence, starts in enumerate(STARTS):
        for start in np.unique(starts):
            part = np.s_[sequence : sequence + 1, np.flatnonzero(starts == start)]
            alone, its_logsumexp = attention(q[part], k[part], v[part])
            assert_close(o[part], alone, TWIN_VS_TORCH, "o")
            assert_close(logsumexp[part], its_logsumexp, TWIN_VS_TORCH, "logsumexp")


def test_backward_of_parts() -> None:
    rng = np.random.default_rng(6)
    q, do = rng.normal(size=(2, 6, 4, 4)), rng.normal(size=(2, 6, 4, 4))
    k, v = (rng.normal(size=(2, 6, 2, 4)) for _ in range(2))

    def loss() -> float:
        return float(np.sum(do * attention(q, k, v, starts=STARTS)[0]))

    o, logsumexp = attention(q, k, v, starts=STARTS)
    gradients = attention_backward(do, q, k, v, o, logsumexp, starts=STARTS)
    for name, array, gradient in zip("qkv", (q, k, v), gradients, strict=True):
        assert_close(gradient, numeric_gradient(loss, array), FINITE_DIFFERENCE, f"d{name}")
