"""Each twin's backward against central differences, mid-graph: under a random upstream gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from app.reference.attention import attention, attention_backward
from app.reference.cross_entropy import IGNORE_INDEX, cross_entropy
from app.reference.embedding import embedding
from app.reference.linear import linear, linear_backward, lora_backward
from app.reference.rms_norm import rms_norm, rms_norm_backward
from app.reference.rope import rope, rope_backward, rope_tables
from app.reference.swiglu import swiglu, swiglu_backward
from tests.reference.gradcheck import numeric_gradient
from tests.tolerances import EXACT, FINITE_DIFFERENCE, TWIN_VS_TORCH, assert_close

if TYPE_CHECKING:
    from app.reference.arrays import Float64Array, IntArray


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261121)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 3, 5)])
def test_rms_norm_backward(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    x, dy = rng.normal(size=shape), rng.normal(size=shape)
    weight = rng.normal(size=shape[-1])
    _, rstd = rms_norm(x, weight, eps=1e-5)
    numeric = numeric_gradient(lambda: float(np.sum(dy * rms_norm(x, weight, eps=1e-5)[0])), x)
    assert_close(rms_norm_backward(dy, x, weight, rstd), numeric, FINITE_DIFFERENCE, "dx")


def test_rms_norm_gives_unit_root_mean_square(rng: np.random.Generator) -> None:
    y, _ = rms_norm(5 * rng.normal(size=(4, 9)), np.ones(9), eps=0.0)
    assert_close(np.mean(y * y, axis=-1), np.ones(4), TWIN_VS_TORCH, "mean square")


def test_rope_backward(rng: np.random.Generator) -> None:
    x, dy = rng.normal(size=(5, 2, 6)), rng.normal(size=(5, 2, 6))
    positions = np.array([0, 1, 2, 17, 1000])
    numeric = numeric_gradient(lambda: float(np.sum(dy * rope(x, positions, theta=1e4))), x)
    assert_close(rope_backward(dy, positions, theta=1e4), numeric, FINITE_DIFFERENCE, "dx")


def test_rope_scores_depend_on_distance_only(rng: np.random.Generator) -> None:
    q, k = rng.normal(size=(1, 1, 8)), rng.normal(size=(1, 1, 8))

    def score(query_position: int, key_position: int) -> float:
        rotated_q = rope(q, np.array([query_position]), theta=1e4)
        return float(np.sum(rotated_q * rope(k, np.array([key_position]), theta=1e4)))

    assert score(9, 4) == pytest.approx(score(105, 100), rel=1e-10)
    assert score(9, 4) != pytest.approx(score(9, 5), rel=1e-3)


def test_rope_leaves_position_zero_alone(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1, 3, 4))
    assert_close(rope(x, np.array([0]), theta=1e4), x, EXACT, "y")
    assert rope_tables(np.array([2]), 4, 1e4)[1][0] == pytest.approx([np.sin(2), np.sin(0.02)])


@pytest.mark.parametrize("heads", [(1, 1), (4, 2), (3, 1), (2, 2)])
def test_attention_backward(rng: np.random.Generator, heads: tuple[int, int]) -> None:
    num_heads, num_key_value_heads = heads
    q, do = rng.normal(size=(2, 5, num_heads, 4)), rng.normal(size=(2, 5, num_heads, 4))
    k, v = (rng.normal(size=(2, 5, num_key_value_heads, 4)) for _ in range(2))

    def loss() -> float:
        return float(np.sum(do * attention(q, k, v)[0]))

    o, logsumexp = attention(q, k, v)
    for name, array, gradient in zip(
        "qkv", (q, k, v), attention_backward(do, q, k, v, o, logsumexp), strict=True
    ):
        assert_close(gradient, numeric_gradient(loss, array), FINITE_DIFFERENCE, f"d{name}")


def test_attention_is_causal(rng: np.random.Generator) -> None:
    q, k, v = (rng.normal(size=(1, 6, 2, 4)) for _ in range(3))
    before, _ = attention(q, k, v)
    k[:, 4:], v[:, 4:] = 100.0, 100.0
    after, _ = attention(q, k, v)
    assert_close(after[:, :4], before[:, :4], EXACT, "o of the queries before the change")
    assert np.abs(after[:, 4:] - before[:, 4:]).min() > 1e-3
    assert_close(before[:, 0], attention(q[:, :1], k[:, :1], v[:, :1])[0][:, 0], EXACT, "first o")


def test_attention_with_cache_equals_attention_at_once(rng: np.random.Generator) -> None:
    q = rng.normal(size=(2, 7, 4, 4))
    k, v = rng.normal(size=(2, 7, 2, 4)), rng.normal(size=(2, 7, 2, 4))
    o, logsumexp = attention(q, k, v)
    late_o, late_logsumexp = attention(q[:, 5:], k, v, query_offset=5)
    assert_close(late_o, o[:, 5:], TWIN_VS_TORCH, "o")
    assert_close(late_logsumexp, logsumexp[:, 5:], TWIN_VS_TORCH, "logsumexp")


def test_attention_reads_its_own_group(rng: np.random.Generator) -> None:
    q, k = np.zeros((1, 1, 4, 2)), np.zeros((1, 1, 2, 2))
    v = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    o, _ = attention(q, k, v)
    assert o[0, 0].tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]


def test_attention_survives_large_scores() -> None:
    q = np.full((1, 3, 1, 1), 1e3)
    k = np.array([-1e3, 0.0, 1e3]).reshape(1, 3, 1, 1)
    o, logsumexp = attention(q, k, k)
    assert_close(o[0, :, 0, 0], [-1e3, 0.0, 1e3], EXACT, "o")
    assert_close(logsumexp[0, :, 0], [-1e6, 0.0, 1e6], EXACT, "logsumexp")


def test_swiglu_backward(rng: np.random.Generator) -> None:
    gate_up, dy = 3 * rng.normal(size=(3, 10)), rng.normal(size=(3, 5))
    numeric = numeric_gradient(lambda: float(np.sum(dy * swiglu(gate_up))), gate_up)
    assert_close(swiglu_backward(dy, gate_up), numeric, FINITE_DIFFERENCE, "d_gate_up")


def test_swiglu_survives_large_gates() -> None:
    y = swiglu(np.array([[1e4, -1e4, 0.0, 2.0, 2.0, 2.0]]))
    assert y.tolist() == [[2e4, 0.0, 0.0]]


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 7, 5, 2)])
def test_linear_backward(rng: np.random.Generator, shape: tuple[int, int, int, int]) -> None:
    num_tokens, in_features, out_features, rank = shape
    x, residual = rng.normal(size=(num_tokens, in_features)), rng.normal(size=(1, out_features))
    weight = rng.normal(size=(out_features, in_features))
    lora_a, lora_b = rng.normal(size=(rank, in_features)), rng.normal(size=(out_features, rank))
    dy = rng.normal(size=(num_tokens, out_features))
    scaling = 1.75

    def loss() -> float:
        return float(np.sum(dy * linear(x, weight, lora_a, lora_b, scaling, residual)))

    dx = linear_backward(dy, weight, lora_a, lora_b, scaling)
    dx_part, da, db = lora_backward(dy, x, lora_a, lora_b, scaling)
    assert_close(dx, numeric_gradient(loss, x), FINITE_DIFFERENCE, "dx")
    assert_close(linear_backward(dy, weight) + dx_part, dx, TWIN_VS_TORCH, "dx in two parts")
    assert_close(da, numeric_gradient(loss, lora_a), FINITE_DIFFERENCE, "da")
    assert_close(db, numeric_gradient(loss, lora_b), FINITE_DIFFERENCE, "db")


def test_linear_equals_merged_weight(rng: np.random.Generator) -> None:
    x, weight = rng.normal(size=(3, 7)), rng.normal(size=(5, 7))
    lora_a, lora_b = rng.normal(size=(2, 7)), rng.normal(size=(5, 2))
    y = linear(x, weight, lora_a, lora_b, 0.5)
    assert_close(y, linear(x, weight + 0.5 * lora_b @ lora_a), TWIN_VS_TORCH, "y")


def test_embedding_picks_rows(rng: np.random.Generator) -> None:
    table = rng.normal(size=(5, 3)).astype(np.float32)
    y = embedding(np.array([[4, 0], [4, 2]]), table)
    assert y.dtype == np.float64
    assert_close(y, [[table[4], table[0]], [table[4], table[2]]], EXACT, "y")


def _naive_loss(hidden: Float64Array, head: Float64Array, targets: IntArray) -> float:
    logits = hidden @ head.T
    log_softmax = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    kept = targets != IGNORE_INDEX
    return -float(np.sum(log_softmax[np.flatnonzero(kept), targets[kept]]))


@pytest.mark.parametrize("num_tokens", [1, 5, 130])
def test_cross_entropy_backward(rng: np.random.Generator, num_tokens: int) -> None:
    hidden, head = rng.normal(size=(num_tokens, 3)), rng.normal(size=(11, 3))
    targets = rng.integers(0, 11, size=num_tokens)
    targets[1::3] = IGNORE_INDEX
    loss, dhidden = cross_entropy(hidden, head, targets, normalizer=7.0)
    numeric = numeric_gradient(
        lambda: cross_entropy(hidden, head, targets, normalizer=7.0)[0], hidden
    )
    assert loss == pytest.approx(_naive_loss(hidden, head, targets) / 7.0, rel=1e-12)
    assert_close(dhidden, numeric, FINITE_DIFFERENCE, "dhidden")
    assert not dhidden[1::3].any()


def test_cross_entropy_survives_large_logits() -> None:
    hidden, head = np.array([[1e3]]), np.array([[1e3], [-1e3]])
    assert cross_entropy(hidden, head, np.array([0]), normalizer=1.0)[0] == 0.0
    assert cross_entropy(hidden, head, np.array([1]), normalizer=1.0)[0] == 2e6


def test_cross_entropy_of_nothing_is_zero() -> None:
    loss, dhidden = cross_entropy(
        np.ones((2, 3)), np.ones((4, 3)), np.array([-100, -100]), normalizer=1.0
    )
    assert loss == 0.0
    assert not dhidden.any()
