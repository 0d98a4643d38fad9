"""The whole decoder on the GPU against its float64 twin, and against its own loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from app.config import LoraConfig
from app.gpu.device import Device
from app.gpu.tuning import GPU
from app.nn.adapter import Adapter
from tests.nn.engine import (
    LORA,
    Float32Array,
    IntArray,
    Step,
    Tensors,
    Tiny,
    load_tiny,
    logits_of,
    next_tokens,
    random_tensors,
    random_tokens,
    read_f32,
    write_f32,
)
from tests.tolerances import (
    ENGINE_GRADIENT_NMSE,
    ENGINE_LOGITS,
    ENGINE_LOSS_ABS,
    GPU_FINITE_DIFFERENCE,
    assert_close,
    nmse,
)

pytestmark = pytest.mark.gpu

SHAPES: dict[str, dict[str, Any]] = {
    "three-queries-a-key": {},
    "one-key-head": {"heads": 3, "kv_heads": 1, "head_dim": 32, "layers": 1},
    "a-key-head-each": {"heads": 2, "kv_heads": 2, "head_dim": 64, "tied": False},
    "int8": {"types": {"projection": "Q8_0", "embedding": "Q4_0"}, "layers": 1},
    "dense": {"types": {"projection": "F16", "embedding": "F32"}, "layers": 1},
}
BATCHES = ((1, 3), (3, 13), (2, 40))
"""Sequences and their length: the shortest in which attention has a choice, a prime, one longer
than a tile of queries."""


@pytest.fixture(scope="module", params=SHAPES)
def shaped(request: pytest.FixtureRequest, device: Device) -> Iterator[Tiny]:
    tiny = load_tiny(device, **SHAPES[request.param])
    yield tiny
    tiny.model.destroy()


def batch(tiny: Tiny, *shape: int) -> tuple[IntArray, IntArray]:
    """Return tokens and targets, some of them ignored: one alone and a run to the end."""
    tokens = random_tokens(tiny.config, *shape)
    targets = next_tokens(tokens)
    if shape[1] > 4:
        targets[0, 2] = -100
        targets[-1, -5:] = -100
    return tokens, targets


def assert_gradients(found: Tensors, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for path, pair in found.items():
        for letter, gradient, wanted in zip("AB", pair, expected[path], strict=True):
            assert np.abs(wanted).max() > 1e-4, f"d{letter} of {path} says nothing"
            assert nmse(gradient, wanted) <= ENGINE_GRADIENT_NMSE, f"d{letter} of {path}"


@pytest.mark.parametrize("shape", BATCHES, ids=str)
def test_loss_logits_and_gradients(shaped: Tiny, shape: tuple[int, int]) -> None:
    tokens, targets = batch(shaped, *shape)
    count = int((targets >= 0).sum())
    tensors = random_tensors(shaped.config, LORA, 1)
    adapter = shaped.adapter()
    expected_logits = shaped.reference.forward(tokens, tensors, LORA)
    expected_loss, expected = shaped.reference.loss_and_gradients(tokens, targets, tensors, LORA)
    assert_close(logits_of(shaped.model, adapter, tokens), expected_logits, ENGINE_LOGITS, "lora")
    base = shaped.reference.forward(tokens)
    assert np.abs(base - expected_logits).max() > 0.1
    assert_close(logits_of(shaped.model, None, tokens), base, ENGINE_LOGITS, "base")
    step = Step(shaped.model, adapter, tokens)
    step.add_gradients(targets, 1 / count)
    assert abs(step.loss - expected_loss) <= ENGINE_LOSS_ABS
    assert_gradients(step.gradients, expected)
    step.destroy()
    adapter.destroy()


def test_workgroups_of_a_gpu(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny.model.device, "tuning", GPU)
    tokens, targets = batch(tiny, 2, 70)
    adapter, step = step_of(tiny, LORA, tokens)
    step.add_gradients(targets, 1 / 100)
    tensors = random_tensors(tiny.config, LORA, 1)
    loss, expected = tiny.reference.loss_and_gradients(
        tokens, targets, tensors, LORA, normalizer=100
    )
    assert abs(step.loss - loss) <= 2 * ENGINE_LOSS_ABS  # the mean of 130 targets over 100
    assert_gradients(step.gradients, expected)
    step.destroy()
    adapter.destroy()


@pytest.mark.parametrize("rank", [1, 4, 16, 40])
def test_ranks(tiny: Tiny, rank: int) -> None:
    lora = LoraConfig(rank=rank, alpha=2.5)
    tokens, targets = batch(tiny, 2, 9)
    adapter, step = step_of(tiny, lora, tokens)
    step.add_gradients(targets, 1 / int((targets >= 0).sum()))
    tensors = random_tensors(tiny.config, lora, 1)
    loss, expected = tiny.reference.loss_and_gradients(tokens, targets, tensors, lora)
    assert abs(step.loss - loss) <= ENGINE_LOSS_ABS
    assert_gradients(step.gradients, expected)
    step.destroy()
    adapter.destroy()


def test_checkpointing_changes_no_bit(tiny: Tiny) -> None:
    tokens, targets = batch(tiny, 3, 13)
    adapter = tiny.adapter()
    results = []
    for is_checkpointing in (False, True):
        step = Step(tiny.model, adapter, tokens, is_checkpointing=is_checkpointing)
        step.add_gradients(targets, 1 / 30)
        results.append((step.loss, step.gradients, sum(step.graphs.plan.slots)))
        step.destroy()
    (kept_loss, kept, kept_bytes), (loss, recomputed, recomputed_bytes) = results
    assert loss == kept_loss
    for path in kept:
        for part in (0, 1):
            np.testing.assert_array_equal(recomputed[path][part], kept[path][part], path)
    assert recomputed_bytes < kept_bytes
    adapter.destroy()


def test_gradients_add_up_and_the_same_twice(tiny: Tiny) -> None:
    tokens, targets = batch(tiny, 2, 9)
    adapter, step = step_of(tiny, LORA, tokens)
    step.add_gradients(targets, 1 / 16)
    once_loss, once = step.loss, step.gradients
    step.add_gradients(targets, 1 / 16)
    assert step.loss == 2 * once_loss
    for path, pair in step.gradients.items():
        for found, single in zip(pair, once[path], strict=True):
            np.testing.assert_array_equal(found, 2 * single)  # doubling an f32 is exact
    step.clear()
    step.add_gradients(targets, 1 / 16)
    assert step.loss == once_loss
    for path, pair in step.gradients.items():
        for found, single in zip(pair, once[path], strict=True):
            np.testing.assert_array_equal(found, single)
    step.destroy()
    adapter.destroy()


def test_nothing_predicted_gives_no_gradient(tiny: Tiny) -> None:
    tokens = random_tokens(tiny.config, 2, 9)
    adapter, step = step_of(tiny, LORA, tokens)
    step.add_gradients(np.full_like(tokens, -100), 1.0)
    assert step.loss == 0
    assert not any(part.any() for pair in step.gradients.values() for part in pair)
    step.destroy()
    adapter.destroy()


@pytest.mark.parametrize(
    "modules", [("q_proj", "v_proj"), ("k_proj",), ("up_proj", "o_proj"), ("down_proj",)], ids=str
)
def test_some_modules_only(tiny: Tiny, modules: tuple[str, ...]) -> None:
    lora = LoraConfig(rank=3, alpha=6, target_modules=modules)
    tokens, targets = batch(tiny, 2, 9)
    adapter, step = step_of(tiny, lora, tokens)
    step.add_gradients(targets, 1 / int((targets >= 0).sum()))
    tensors = random_tensors(tiny.config, lora, 1)
    loss, expected = tiny.reference.loss_and_gradients(tokens, targets, tensors, lora)
    assert abs(step.loss - loss) <= ENGINE_LOSS_ABS
    assert_gradients(step.gradients, expected)
    # What was not asked for shares arrays with what was: neither it nor its gradient may move.
    before, _ = untouched(step, adapter)
    for _ in range(2):
        step.update(0.1, weight_decay=0.5)
        step.add_gradients(targets, 1 / 13)
    after, gradients = untouched(step, adapter)
    assert not before.any()
    assert not after.any()
    assert not gradients.any()
    step.destroy()
    adapter.destroy()


def test_gradient_is_the_slope_of_the_loss(tiny: Tiny) -> None:
    tokens, targets = batch(tiny, 3, 13)
    normalizer = 1 / int((targets >= 0).sum())
    adapter, step = step_of(tiny, LORA, tokens)
    step.add_gradients(targets, normalizer)
    gradient = adapter.layout.pack(step.gradients)
    start = adapter.layout.pack(random_tensors(tiny.config, LORA, 1))

    def loss(parameters: Float32Array) -> float:
        write_f32(tiny.device, adapter.parameters, parameters)
        step.clear()
        step.add_gradients(targets, normalizer)
        return step.loss

    eps = np.float32(5e-3)
    rng = np.random.default_rng(3)
    for _ in range(6):
        # Weighted by the gradient: among ten thousand parameters a plain random direction
        # hardly changes the loss.
        direction = (rng.standard_normal(start.size) * np.abs(gradient)).astype(np.float32)
        direction *= np.float32(10) / np.linalg.norm(direction)
        slope = (loss(start + eps * direction) - loss(start - eps * direction)) / (2 * eps)
        expected = float(gradient.astype(np.float64) @ direction)
        assert abs(expected) > 0.02
        assert_close(slope, expected, GPU_FINITE_DIFFERENCE, "slope")
    step.destroy()
    adapter.destroy()


def step_of(tiny: Tiny, lora: LoraConfig, tokens: IntArray) -> tuple[Adapter, Step]:
    adapter = tiny.adapter(lora)
    return adapter, Step(tiny.model, adapter, tokens)


def untouched(step: Step, adapter: Adapter) -> tuple[Float32Array, Float32Array]:
    """Return parameters and gradients outside the target modules."""
    flat = read_f32(step.device, adapter.parameters)
    gradients = read_f32(step.device, step.graphs.gradients)
    outside = np.ones(flat.size, bool)
    for pair in adapter.layout.module_slices().values():
        for part in pair:
            outside[part] = False
    return flat[outside], gradients[outside]
