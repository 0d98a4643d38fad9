"""Gradients of all weights against the float64 twin, and against the loss itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from app.gpu.device import Device
from app.gpu.tuning import GPU
from tests.nn.engine import (
    IntArray,
    Tiny,
    load_tiny,
    next_tokens,
    random_tokens,
    read_f32,
    write_f32,
)
from tests.nn.full_engine import FullStep, Weights, weights_of
from tests.tolerances import (
    ENGINE_GRADIENT_NMSE,
    ENGINE_LOSS_ABS,
    GPU_FINITE_DIFFERENCE,
    assert_close,
    nmse,
)

pytestmark = pytest.mark.gpu

SHAPES: dict[str, dict[str, Any]] = {
    "tied": {},
    "own-head": {"heads": 2, "kv_heads": 2, "head_dim": 64, "tied": False, "layers": 1},
    "in-place": {"types": {"projection": "F32", "embedding": "F32"}, "layers": 1},
}


@pytest.fixture(params=SHAPES)
def shaped(request: pytest.FixtureRequest, device: Device) -> Iterator[Tiny]:
    before = device.allocated_bytes
    tiny = load_tiny(device, **SHAPES[request.param])
    yield tiny
    tiny.model.destroy()
    assert device.allocated_bytes == before


@pytest.fixture
def own(device: Device) -> Iterator[Tiny]:
    """A tiny model that the test may change."""
    tiny = load_tiny(device)
    yield tiny
    tiny.model.destroy()


def batch(tiny: Tiny, *shape: int) -> tuple[IntArray, IntArray]:
    """Return tokens, of which one occurs several times, and targets, some of them ignored."""
    tokens = random_tokens(tiny.config, *shape)
    tokens[:, ::3] = 7
    targets = next_tokens(tokens)
    targets[0, 2] = -100
    return tokens, targets


def assert_gradients(found: Weights, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert np.abs(expected[name]).max() > 1e-4, f"d{name} says nothing"
        assert nmse(gradient, expected[name]) <= ENGINE_GRADIENT_NMSE, name


@pytest.mark.parametrize("shape", [(1, 3), (3, 13)], ids=str)
def test_loss_and_gradients(shaped: Tiny, shape: tuple[int, int]) -> None:
    tokens, targets = batch(shaped, *shape)
    loss, expected = shaped.reference.loss_and_weight_gradients(tokens, targets)
    step = FullStep(shaped.model, tokens)
    step.add_gradients(targets, 1 / int((targets >= 0).sum()))
    assert abs(step.loss - loss) <= ENGINE_LOSS_ABS
    assert_gradients(step.gradients, expected)
    for name, weight in weights_of(shaped.model).items():
        np.testing.assert_array_equal(weight, shaped.reference.weights[name], name)
    step.destroy()


def test_workgroups_of_a_gpu(own: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own.model.device, "tuning", GPU)
    tokens, targets = batch(own, 2, 70)
    _, expected = own.reference.loss_and_weight_gradients(tokens, targets)
    step = FullStep(own.model, tokens)
    step.add_gradients(targets, 1 / int((targets >= 0).sum()))
    assert_gradients(step.gradients, expected)
    step.destroy()


def test_checkpointing_and_a_second_time_change_no_bit(own: Tiny) -> None:
    tokens, targets = batch(own, 3, 13)
    results = []
    for is_checkpointing in (False, True):
        step = FullStep(own.model, tokens, is_checkpointing=is_checkpointing)
        step.add_gradients(targets, 1 / 30)
        first = step.gradients
        step.add_gradients(targets, 1 / 30)
        for name, gradient in step.gradients.items():
            # Sums of the same terms in another order: the head's come in chunks of rows.
            assert nmse(gradient, 2 * first[name]) < 1e-12, name
        results.append((first, sum(step.graphs.plan.slots)))
        step.destroy()
    (kept, kept_bytes), (recomputed, recomputed_bytes) = results
    for name, gradient in kept.items():
        np.testing.assert_array_equal(recomputed[name], gradient, name)
    assert recomputed_bytes < kept_bytes


def test_gradient_is_the_slope_of_the_loss(own: Tiny) -> None:
    tokens, targets = batch(own, 3, 13)
    normalizer = 1 / int((targets >= 0).sum())
    step = FullStep(own.model, tokens)
    step.add_gradients(targets, normalizer)
    trained = step.graphs.trained
    pairs = [(item.matrix.words, item.gradient) for item in trained.matrices]
    pairs.append((trained.gains, trained.gain_gradients))
    starts = [read_f32(own.device, weight) for weight, _ in pairs]
    gradients = [read_f32(own.device, gradient) for _, gradient in pairs]

    def loss_at(moved: list[Any]) -> float:
        for (weight, _), values in zip(pairs, moved, strict=True):
            write_f32(own.device, weight, values)
        step.clear()
        step.add_gradients(targets, normalizer)
        return step.loss

    rng, eps = np.random.default_rng(3), np.float32(5e-3)
    for _ in range(4):
        directions = [rng.standard_normal(g.shape) * np.abs(g) for g in gradients]
        length = np.sqrt(sum(float(np.sum(d**2)) for d in directions))
        directions = [(d / length).astype(np.float32) for d in directions]
        ahead, back = (
            loss_at(
                [
                    s + sign * eps * d.reshape(s.shape)
                    for s, d in zip(starts, directions, strict=True)
                ]
            )
            for sign in (1, -1)
        )
        expected = sum(
            float(np.sum(g.astype(np.float64) * d))
            for g, d in zip(gradients, directions, strict=True)
        )
        assert abs(expected) > 0.02
        assert_close((ahead - back) / (2 * eps), expected, GPU_FINITE_DIFFERENCE, "slope")
    step.destroy()
