"""Adapters in one or two bits: computed packed, trained straight through, and they learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.config import GenerationConfig, LoraConfig, TrainConfig
from app.generate.generator import Generator
from app.gpu.memory import padded
from app.nn.adapter import Adapter
from app.reference.adapter_bits import quantize_adapter, straight_through_adapter
from app.train.evaluate import evaluate
from app.train.state import TrainerState
from app.train.trainer import Trainer
from tests.conftest import run
from tests.nn.engine import (
    Step,
    Tensors,
    Tiny,
    load_tiny,
    logits_of,
    next_tokens,
    random_tensors,
    random_tokens,
    read_f32,
)
from tests.tolerances import (
    ENGINE_GRADIENT_NMSE,
    ENGINE_LOGITS,
    ENGINE_LOSS_ABS,
    ENGINE_STEP_LOSS_REL,
    ENGINE_STEP_NORM_REL,
    ENGINE_UPDATE_NMSE,
    ENGINE_UPDATE_WORST_NMSE,
    assert_close,
    nmse,
)
from tests.train.runs import reference_run, train, windows_of

pytestmark = [pytest.mark.gpu, pytest.mark.parametrize("bits", [1, 2])]

CONFIG = TrainConfig(
    max_seq_len=12, micro_batch_size=2, learning_rate=1e-2, max_grad_norm=0.0, steps=6
)


def lora_of(bits: int, rank: int = 3) -> LoraConfig:
    return LoraConfig(rank=rank, alpha=2 * rank, adapter_bits=bits)


def rounded(tensors: Tensors, bits: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {path: quantize_adapter(*pair, bits) for path, pair in tensors.items()}


@pytest.mark.parametrize("rank", [3, 4])
def test_loss_logits_and_gradients_are_those_of_the_rounded_adapter(
    tiny: Tiny, rank: int, bits: int
) -> None:
    lora, plain = lora_of(bits, rank), replace(lora_of(bits, rank), adapter_bits=32)
    tokens = random_tokens(tiny.config, 2, 13)
    targets = next_tokens(tokens)
    latent = random_tensors(tiny.config, lora, 1)
    applied = rounded(latent, bits)
    adapter = tiny.adapter(lora)
    for path, pair in run(adapter.effective_tensors()).items():
        for found, wanted in zip(pair, applied[path], strict=True):
            np.testing.assert_array_equal(found, wanted.astype(np.float32))
    expected = tiny.reference.forward(tokens, applied, plain)
    assert_close(logits_of(tiny.model, adapter, tokens), expected, ENGINE_LOGITS, "logits")
    loss, gradients = tiny.reference.loss_and_gradients(tokens, targets, applied, plain)
    step = Step(tiny.model, adapter, tokens)
    step.add_gradients(targets, 1 / 24)
    assert abs(step.loss - loss) <= ENGINE_LOSS_ABS
    for path, pair in step.gradients.items():
        for found, wanted in zip(pair, gradients[path], strict=True):
            assert nmse(found, wanted) <= ENGINE_GRADIENT_NMSE, path
    # The twin of the whole passes the same gradients on to what was rounded.
    again, passed = tiny.reference.loss_and_gradients(tokens, targets, latent, lora)
    assert again == pytest.approx(loss, rel=1e-12)
    for path, pair in passed.items():
        through = straight_through_adapter(*gradients[path], *latent[path], bits)
        for found, wanted in zip(pair, through, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-12)
    step.destroy()
    adapter.destroy()


def test_the_gradient_is_the_slope_along_what_is_rounded(tiny: Tiny, bits: int) -> None:
    """Without a clipped element, what passes through is dL/dŵ: finite differences of ŵ."""
    lora, plain = lora_of(bits), replace(lora_of(bits), adapter_bits=32)
    tokens = random_tokens(tiny.config, 1, 7)
    targets = next_tokens(tokens)
    # Rounded already, so that rounding changes nothing and nothing is past the last level.
    applied = rounded(random_tensors(tiny.config, lora, 1), bits)
    _, gradients = tiny.reference.loss_and_gradients(tokens, targets, applied, lora)
    rng = np.random.default_rng(0)
    turn = {
        path: [rng.standard_normal(part.shape) for part in pair] for path, pair in applied.items()
    }
    slope = sum(
        float((gradient * direction).sum())
        for path in applied
        for gradient, direction in zip(gradients[path], turn[path], strict=True)
    )
    losses = []
    for sign in (-1, 1):
        moved = {
            path: tuple(
                part + sign * 1e-5 * direction
                for part, direction in zip(applied[path], turn[path], strict=True)
            )
            for path in applied
        }
        losses.append(tiny.reference.loss_and_gradients(tokens, targets, moved, plain)[0])
    assert (losses[1] - losses[0]) / 2e-5 == pytest.approx(slope, rel=1e-5)


def test_against_float64(tiny: Tiny, bits: int) -> None:
    lora, windows = lora_of(bits), windows_of(tiny, 48, 12)
    adapter = tiny.adapter(lora)
    before = run(adapter.tensors())
    config = replace(CONFIG, steps=2)
    expected, wanted = reference_run(tiny, before, lora, windows, config, 2)
    made = train(tiny, adapter, windows, config)
    for record, step in zip(made.records, expected, strict=True):
        assert record.loss == pytest.approx(step.loss, rel=ENGINE_STEP_LOSS_REL)
        assert record.grad_norm == pytest.approx(step.grad_norm, rel=ENGINE_STEP_NORM_REL)
    for path, pair in run(adapter.tensors()).items():
        for found, started, target in zip(pair, before[path], wanted[path], strict=True):
            moved, wanted_move = (found - started).ravel(), (target - started).ravel()
            assert nmse(moved, wanted_move) <= ENGINE_UPDATE_WORST_NMSE, path
            rest = np.argsort(np.abs(moved - wanted_move))[:-1]
            assert nmse(moved[rest], wanted_move[rest]) <= ENGINE_UPDATE_NMSE, path
    after, latent = run(adapter.effective_tensors()), run(adapter.tensors())
    for path, pair in rounded(latent, bits).items():
        for found, target in zip(after[path], pair, strict=True):
            np.testing.assert_allclose(found, target, rtol=1e-6)
    adapter.destroy()


def test_a_fresh_adapter_changes_nothing(tiny: Tiny, bits: int) -> None:
    adapter = Adapter.create(tiny.config, tiny.device, lora_of(bits), seed=0)
    tokens = random_tokens(tiny.config, 2, 9)
    np.testing.assert_array_equal(
        logits_of(tiny.model, adapter, tokens), logits_of(tiny.model, None, tokens)
    )
    adapter.destroy()


def test_overfits_one_batch_and_every_pass_sees_it(tiny: Tiny, bits: int) -> None:
    """Training, evaluation and chat compute with the packed form, and so does what is exported."""
    wide = load_tiny(tiny.device, hidden=128, layers=1, seed=2)
    lora = LoraConfig(rank=8, alpha=16, adapter_bits=bits)
    adapter = Adapter.create(wide.config, wide.device, lora, 0)
    windows = windows_of(wide, 2 * 20, 20)
    config = TrainConfig(learning_rate=1e-2, schedule="linear", steps=120)
    made = train(wide, adapter, windows, config)
    assert made.losses[0] > 5
    assert made.losses[-1] < (1.0 if bits == 1 else 0.5)
    seen = run(evaluate(wide.model, adapter, windows))
    plain = Adapter(wide.config, wide.device, replace(lora, adapter_bits=32))
    plain.load(run(adapter.effective_tensors()))
    exported = run(evaluate(wide.model, plain, windows))
    assert seen is not None
    assert exported is not None
    assert seen.loss == pytest.approx(exported.loss, rel=1e-5)
    assert abs(seen.loss - made.losses[-1]) < 0.2
    generator = Generator(wide.model, 64)
    prompt = [int(token) for token in windows.token_ids[:4]]
    answers = [
        run(generator.generate(prompt, GenerationConfig(8, 0.0), adapter=which)).token_ids
        for which in (adapter, plain, None)
    ]
    assert answers[0] == answers[1] != answers[2]
    generator.destroy()
    plain.destroy()
    adapter.destroy()
    wide.model.destroy()


def test_the_same_seed_gives_the_same_bits_and_a_run_goes_on_to_them(tiny: Tiny, bits: int) -> None:
    windows = windows_of(tiny, 70, 12)
    ends = []
    for _ in range(2):
        adapter = Adapter.create(tiny.config, tiny.device, lora_of(bits), 3)
        losses = train(tiny, adapter, windows, CONFIG).losses
        ends.append((losses, read_f32(tiny.device, adapter.parameters)))
        adapter.destroy()
    assert ends[0][0] == ends[1][0]
    np.testing.assert_array_equal(ends[0][1], ends[1][1])

    class Halfway:
        state: TrainerState | None = None

        def is_due(self, step: int) -> bool:
            return step == 3

        async def visit(self, step: int) -> bool:
            self.state = await trainer.state()
            return False

    adapter, stop = Adapter.create(tiny.config, tiny.device, lora_of(bits), 3), Halfway()
    trainer = Trainer(tiny.model, adapter, windows, CONFIG)
    run(trainer.prepare())
    run(trainer.run(lambda record: None, milestones=stop))
    trainer.destroy()
    adapter.destroy()
    assert stop.state is not None
    adapter = Adapter.create(tiny.config, tiny.device, lora_of(bits), 4)
    trainer = Trainer(tiny.model, adapter, windows, CONFIG)
    run(trainer.prepare())
    trainer.restore(stop.state)
    losses = []
    run(trainer.run(lambda record: losses.append(record.loss)))
    assert losses == ends[0][0][3:]
    np.testing.assert_array_equal(read_f32(tiny.device, adapter.parameters), ends[0][1])
    trainer.destroy()
    adapter.destroy()


@pytest.mark.parametrize(
    "setting",
    [
        {"rank_schedule": "progressive"},
        {"rank_schedule": "adaptive"},
        {"lora_plus_ratio": 16.0, "optimizer": "adam8bit"},
        {"optimizer": "adafactor", "gradient_accumulation_steps": 2},
    ],
    ids=str,
)
def test_goes_with_other_methods(tiny: Tiny, setting: dict[str, object], bits: int) -> None:
    """Ranks that are not in use add exactly nothing: a zero column of B has scale 0."""
    lora = LoraConfig(rank=8, alpha=8, use_rslora=True, adapter_bits=bits)
    adapter = Adapter.create(tiny.config, tiny.device, lora, seed=0)
    windows, seen = windows_of(tiny, 60, 12), []
    trainer = Trainer(tiny.model, adapter, windows, replace(CONFIG, steps=12, **setting))
    run(trainer.prepare())
    run(trainer.run(lambda record: seen.append(record.loss)))
    assert np.isfinite(seen).all()
    assert min(seen[6:]) < seen[0]
    for path, (_, b) in run(adapter.effective_tensors()).items():
        in_use = np.zeros(8, np.bool_)
        in_use[list(trainer.active_ranks[path])] = True
        assert not b[:, ~in_use].any()
        assert b[:, in_use].any() or setting.get("rank_schedule") == "adaptive"
    trainer.destroy()
    adapter.destroy()


def test_the_plan_counts_packed_bytes_and_latents(tiny: Tiny, bits: int) -> None:
    windows = windows_of(tiny, 48, 12)
    held = tiny.device.allocated_bytes
    adapter = tiny.adapter(lora_of(bits))
    assert adapter.packed is not None
    own = padded(adapter.parameters.size_bytes) + padded(adapter.packed.size_bytes)
    assert tiny.device.allocated_bytes - held == own
    trainer = Trainer(tiny.model, adapter, windows, CONFIG)
    assert trainer.plan.parts()["adapter"] == own
    run(trainer.prepare())
    assert tiny.device.allocated_bytes - held - own == trainer.plan.new_bytes
    trainer.destroy()
    adapter.destroy()
    assert tiny.device.allocated_bytes == held
