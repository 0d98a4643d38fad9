"""Training of all weights: against float64, to the end, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from app.config import FullWeights, TrainConfig
from app.errors import ConfigError, TrainingDivergedError
from app.gpu.device import Device
from app.reference.adamw import adamw, clip_scale
from app.reference.decoder import ReferenceDecoder
from app.text.windows import Windows, batches, make_windows, pad_batch
from app.train.full.trainer import FullTrainer
from app.train.records import StepRecord
from tests.conftest import run
from tests.nn.engine import Tiny, load_tiny, logits_of, random_tokens
from tests.nn.full_engine import Weights, weights_of
from tests.tolerances import (
    ENGINE_LOGITS,
    ENGINE_STEP_LOSS_REL,
    ENGINE_STEP_NORM_REL,
    ENGINE_UPDATE_WORST_NMSE,
    assert_close,
    nmse,
)

pytestmark = pytest.mark.gpu

F32 = {"types": {"projection": "F32", "embedding": "F32"}}


@dataclass
class Run:
    """What a run reported and how large its plan was."""

    records: list[StepRecord] = field(default_factory=list)
    plan_bytes: int = 0

    @property
    def losses(self) -> list[float]:
        return [record.loss for record in self.records]


@pytest.fixture
def own(request: pytest.FixtureRequest, device: Device) -> Iterator[Tiny]:
    """A tiny model that the test trains; afterwards nothing of it is left."""
    own = load_tiny(device, **getattr(request, "param", {}))
    yield own
    own.model.destroy()


def windows_of(own: Tiny, num_tokens: int, max_seq_len: int) -> Windows:
    return make_windows(random_tokens(own.config, num_tokens), max_seq_len)


def train(
    own: Tiny, windows: Windows, weights: FullWeights = "f32", into: Run | None = None, **set: Any
) -> Run:
    """Prepare, run and take down one training run."""
    made = into or Run()
    device = own.device
    trainer = FullTrainer(own.model, windows, TrainConfig(full_weights=weights, **set))
    before, loaded_bytes = device.allocated_bytes, own.model.weights_bytes
    made.plan_bytes = trainer.plan.new_bytes
    parts = trainer.plan.parts()
    assert sum(parts.values()) == trainer.plan.total_bytes
    assert parts["adapter"] == 0
    try:
        run(trainer.prepare())
        assert device.allocated_bytes <= before + made.plan_bytes
        run(trainer.run(made.records.append))
    finally:
        trainer.destroy()
    assert device.allocated_bytes == before - loaded_bytes + own.model.weights_bytes
    return made


def reference_run(
    own: Tiny, windows: Windows, config: TrainConfig, num_steps: int
) -> tuple[list[tuple[float, float]], Weights]:
    """Return loss and gradient norm of each step in float64, and the weights after the last."""
    weights = {name: w.astype(np.float64) for name, w in own.reference.weights.items()}
    moments = {name: (0.0 * w, 0.0 * w) for name, w in weights.items()}
    made = []
    order = batches(np.arange(windows.num_windows), config.micro_batch_size)
    for step in range(1, num_steps + 1):
        indices = order[(step - 1) % len(order)]
        batch = pad_batch(windows, indices, len(indices), windows.max_seq_len)
        decoder = ReferenceDecoder(own.config, weights)
        loss, gradients = decoder.loss_and_weight_gradients(batch.tokens, batch.targets)
        norm = float(np.sqrt(sum(np.sum(g**2) for g in gradients.values())))
        made.append((loss, norm))
        scale = clip_scale(gradients.values(), config.max_grad_norm)
        for name, gradient in gradients.items():
            weights[name], *new = adamw(
                weights[name],
                gradient,
                *moments[name],
                step=step,
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                clip_scale=scale,
            )
            moments[name] = new[0], new[1]
    return made, weights


@pytest.mark.parametrize("own", [{}, {"tied": False, "layers": 1, **F32}], indirect=True, ids=str)
def test_steps_are_those_of_float64(own: Tiny) -> None:
    windows = windows_of(own, 48, 12)
    config = TrainConfig(
        micro_batch_size=2, steps=4, learning_rate=1e-3, weight_decay=0.1, max_grad_norm=0.5
    )
    expected, weights = reference_run(own, windows, config, 4)
    before = dict(own.reference.weights)
    settings = {"micro_batch_size": 2, "learning_rate": 1e-3, "weight_decay": 0.1}
    made = train(own, windows, steps=4, max_grad_norm=0.5, **settings)
    for record, (loss, norm) in zip(made.records, expected, strict=True):
        assert record.loss == pytest.approx(loss, rel=ENGINE_STEP_LOSS_REL)
        assert record.grad_norm == pytest.approx(norm, rel=ENGINE_STEP_NORM_REL)
    for name, weight in weights_of(own.model).items():
        moved, wanted = weight - before[name], weights[name] - before[name]
        assert nmse(moved, wanted) <= ENGINE_UPDATE_WORST_NMSE, name
    tokens = random_tokens(own.config, 1, 12)
    trained = ReferenceDecoder(own.config, weights_of(own.model))
    assert_close(logits_of(own.model, None, tokens), trained.forward(tokens), ENGINE_LOGITS, "all")


def test_accumulation_is_one_large_batch(device: Device) -> None:
    losses = []
    for settings in ({"micro_batch_size": 4}, {"gradient_accumulation_steps": 4}):
        own = load_tiny(device)
        windows = windows_of(own, 96, 12)
        shape = {"micro_batch_size": 1} | settings
        losses.append(train(own, windows, steps=3, learning_rate=1e-3, **shape).losses)
        own.model.destroy()
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "optimizer", "learning_rate"),
    [
        ("f32", "adamw", 3e-3),
        ("f16", "adam8bit", 3e-3),
        ("f16", "adafactor", 1e-2),
        ("int4", "adam8bit", 3e-3),
    ],
)
def test_overfits_one_batch(
    own: Tiny, weights: FullWeights, optimizer: str, learning_rate: float
) -> None:
    windows = windows_of(own, 48, 24)
    settings = {"optimizer": optimizer, "learning_rate": learning_rate}
    made = train(own, windows, weights, steps=120, micro_batch_size=2, **settings)
    assert made.losses[0] > 5
    assert made.losses[-1] < 0.1
    kinds = {matrix.format for matrix in own.model.weights.layers[0].projections.values()}
    assert kinds == {weights}


@pytest.mark.parametrize("weights", ["f16", "int4"])
def test_rounding_follows_the_seed(device: Device, weights: FullWeights) -> None:
    losses = []
    for seed in (1, 1, 2):
        own = load_tiny(device)
        windows = windows_of(own, 24, 12)
        losses.append(train(own, windows, weights, steps=4, learning_rate=1e-3, seed=seed).losses)
        own.model.destroy()
    assert losses[0] == losses[1]
    assert losses[0][0] == losses[2][0]
    assert losses[0] != losses[2]


def test_a_run_that_diverges_ends_and_keeps_finite_weights(own: Tiny) -> None:
    trainer = FullTrainer(
        own.model, windows_of(own, 48, 12), TrainConfig(steps=9, full_weights="f32")
    )
    trainer.learning_rate_at = lambda step: 1e30
    run(trainer.prepare())
    records: list[StepRecord] = []
    with pytest.raises(TrainingDivergedError, match="weights are those of the last update"):
        run(trainer.run(records.append))
    assert [record.skipped for record in records] == [False, True, True, True]
    trainer.destroy()
    for name, weight in weights_of(own.model).items():
        assert np.isfinite(weight).all(), name


@pytest.mark.parametrize("own", [F32], indirect=True, ids=str)
def test_int4_wants_an_int4_model(own: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"0\.qkv is f32: load a Q4_0 or Q4_1 model"):
        FullTrainer(own.model, windows_of(own, 24, 12), TrainConfig(full_weights="int4"))
