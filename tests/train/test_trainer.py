"""Training runs: against float64, repeatable, exact in what they take and what they count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import ConfigError, OutOfGpuMemoryError
from app.gpu.memory import padded
from app.nn.adapter import Adapter
from app.text.windows import make_windows
from app.train.trainer import Trainer
from tests.conftest import run
from tests.nn.engine import LORA, Tiny, load_tiny, random_tensors, random_tokens, read_f32
from tests.tolerances import (
    ENGINE_STEP_LOSS_REL,
    ENGINE_STEP_NORM_REL,
    ENGINE_UPDATE_NMSE,
    ENGINE_UPDATE_WORST_NMSE,
    nmse,
)
from tests.train.runs import reference_run, train, windows_of

pytestmark = pytest.mark.gpu

CONFIG = TrainConfig(
    max_seq_len=12, micro_batch_size=2, learning_rate=1e-2, max_grad_norm=0.0, steps=4
)
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"max_grad_norm": 0.3},
    "not-clipped": {"max_grad_norm": 1e3},
    "decay-and-cosine": {"weight_decay": 0.3, "schedule": "cosine", "warmup_steps": 2},
    "accumulation": {"micro_batch_size": 1, "gradient_accumulation_steps": 2},
    "one-at-a-time": {"micro_batch_size": 1, "schedule": "linear"},
    "whole-corpus": {"micro_batch_size": 3, "gradient_accumulation_steps": 4},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("start", ["fresh", "random"])
def test_against_float64(tiny: Tiny, name: str, start: str) -> None:
    config = replace(CONFIG, steps=7, **SETTINGS[name])
    windows = windows_of(tiny, 5 * 12 + 7, 12)  # the last window is shorter: so is every epoch's
    assert windows.lengths.tolist() == [12] * 5 + [7]
    adapter = tiny.adapter() if start == "random" else fresh(tiny)
    before = run(adapter.tensors())
    expected, wanted = reference_run(tiny, before, LORA, windows, config, 7)
    made = train(tiny, adapter, windows, config)
    assert made.steps == list(range(1, 8))
    for record, step in zip(made.records, expected, strict=True):
        assert record.loss == pytest.approx(step.loss, rel=ENGINE_STEP_LOSS_REL)
        assert record.grad_norm == pytest.approx(step.grad_norm, rel=ENGINE_STEP_NORM_REL)
        assert record.learning_rate == pytest.approx(step.learning_rate, rel=1e-12)
        assert record.num_tokens == step.num_tokens
        assert record.seconds > 0
        assert record.tokens_per_second > 0
        assert not record.skipped
    for path, pair in run(adapter.tensors()).items():
        for found, started, target in zip(pair, before[path], wanted[path], strict=True):
            moved, wanted_move = (found - started).ravel(), (target - started).ravel()
            assert nmse(moved, wanted_move) <= ENGINE_UPDATE_WORST_NMSE, path
            rest = np.argsort(np.abs(moved - wanted_move))[:-1]
            assert nmse(moved[rest], wanted_move[rest]) <= ENGINE_UPDATE_NMSE, path
    assert made.result is not None
    assert made.result.steps == 7
    assert made.result.num_tokens == expected[-1].num_tokens
    assert (made.result.stopped, made.result.num_skipped) == (False, 0)
    assert made.result.final_loss == made.losses[-1]
    adapter.destroy()


def test_the_same_seed_gives_the_same_bits(tiny: Tiny) -> None:
    windows = windows_of(tiny, 70, 12)
    runs, ends = [], []
    for seed in (3, 3, 4):
        adapter = Adapter.create(tiny.config, tiny.device, LORA, seed)
        runs.append(train(tiny, adapter, windows, replace(CONFIG, steps=6, max_grad_norm=1.0)))
        ends.append(read_f32(tiny.device, adapter.parameters))
        adapter.destroy()
    assert runs[0].losses == runs[1].losses
    assert [r.grad_norm for r in runs[0].records] == [r.grad_norm for r in runs[1].records]
    np.testing.assert_array_equal(ends[0], ends[1])
    assert runs[2].losses[0] == runs[0].losses[0]  # B is zero: any seed starts as the base
    assert runs[2].losses[1:] != runs[0].losses[1:]


def test_accumulated_micro_batches_equal_one_large_batch(tiny: Tiny) -> None:
    windows = windows_of(tiny, 8 * 12, 12)
    losses = []
    for together, times in ((4, 1), (2, 2), (1, 4)):
        adapter = tiny.adapter()
        config = replace(
            CONFIG, micro_batch_size=together, gradient_accumulation_steps=times, max_grad_norm=0.5
        )
        losses.append(train(tiny, adapter, windows, config).losses)
        adapter.destroy()
    assert losses[1] == pytest.approx(losses[0], rel=ENGINE_STEP_LOSS_REL)
    assert losses[2] == pytest.approx(losses[0], rel=ENGINE_STEP_LOSS_REL)


def test_overfits_one_batch(tiny: Tiny) -> None:
    # A wider model: with hidden_size 64 the logits of a normed state cannot reach this loss.
    wide = load_tiny(tiny.device, hidden=128, layers=1, seed=2)
    lora = LoraConfig(rank=8, alpha=16)
    adapter = Adapter.create(wide.config, wide.device, lora, 0)
    windows = windows_of(wide, 2 * 20, 20)
    made = train(wide, adapter, windows, TrainConfig(learning_rate=2e-2, steps=120))
    assert made.losses[0] > 5
    assert made.losses[-1] < 0.1
    adapter.destroy()
    wide.model.destroy()


@pytest.mark.parametrize("modules", [("q_proj", "v_proj"), ("gate_proj", "down_proj")], ids=str)
def test_some_modules_only(tiny: Tiny, modules: tuple[str, ...]) -> None:
    lora = LoraConfig(rank=2, alpha=4, target_modules=modules)
    adapter = tiny.adapter(lora)
    before = random_tensors(tiny.config, lora, 1)
    windows = windows_of(tiny, 48, 12)
    expected, wanted = reference_run(tiny, before, lora, windows, CONFIG, 4)
    made = train(tiny, adapter, windows, CONFIG)
    assert made.losses == pytest.approx([s.loss for s in expected], rel=ENGINE_STEP_LOSS_REL)
    after = run(adapter.tensors())
    assert after.keys() == before.keys()
    for path, pair in after.items():
        for found, started, target in zip(pair, before[path], wanted[path], strict=True):
            assert nmse(found - started, target - started) <= ENGINE_UPDATE_NMSE, path
    adapter.destroy()


@pytest.mark.parametrize("is_checkpointing", [False, True])
def test_the_plan_is_what_gets_allocated(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, is_checkpointing: bool
) -> None:
    if is_checkpointing:
        monkeypatch.setattr("app.train.trainer.record_training", _recomputing)
    device, adapter = tiny.device, tiny.adapter()
    before = device.allocated_bytes
    trainer = Trainer(tiny.model, adapter, windows_of(tiny, 100, 24), CONFIG)
    assert trainer.is_checkpointing == is_checkpointing
    assert device.allocated_bytes == before, "the constructor allocates nothing"
    plan = trainer.plan
    run(trainer.prepare())
    assert device.allocated_bytes - before == plan.new_bytes
    held = tiny.model.weights_bytes + padded(adapter.parameters.size_bytes)
    assert plan.total_bytes - plan.new_bytes == held
    assert sum(plan.parts().values()) == plan.total_bytes
    assert plan.parts()["weights"] == tiny.model.weights_bytes
    run(trainer.run(lambda record: None))
    assert device.allocated_bytes - before == plan.new_bytes, "nothing grows during a run"
    trainer.destroy()
    assert device.allocated_bytes == before
    adapter.destroy()


def test_checkpointing_trains_to_the_same_bits(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = windows_of(tiny, 48, 12)
    losses = []
    for _ in range(2):
        adapter = tiny.adapter()
        losses.append(train(tiny, adapter, windows, CONFIG).losses)
        adapter.destroy()
        monkeypatch.setattr("app.train.trainer.record_training", _recomputing)
    assert losses[0] == losses[1]


def test_refuses_a_run_too_large_for_the_device(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = tiny.adapter()
    before = tiny.device.allocated_bytes
    limits = replace(tiny.device.limits, max_binding_bytes=4096)
    monkeypatch.setattr(tiny.device, "limits", limits)
    with pytest.raises(OutOfGpuMemoryError, match="use a shorter window"):
        Trainer(tiny.model, adapter, windows_of(tiny, 48, 12), CONFIG)
    assert tiny.device.allocated_bytes == before
    adapter.destroy()


def test_falls_back_to_recomputing_where_activations_do_not_fit(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    windows = windows_of(tiny, 96, 24)
    kept = Trainer(tiny.model, adapter, windows, CONFIG).plan
    assert not _with_budget(tiny, adapter, kept.total_bytes)
    assert _with_budget(tiny, adapter, kept.total_bytes - 1)
    adapter.destroy()


@pytest.mark.parametrize(
    ("num_windows", "micro_batch", "accumulation", "epochs", "num_steps"),
    [
        (6, 2, 1, 1.0, 3),
        (7, 2, 1, 1.0, 4),
        (7, 2, 2, 1.0, 2),
        (6, 2, 1, 2.5, 8),
        (6, 2, 1, 0.5, 2),
        (6, 2, 1, 0.01, 1),
        (3, 8, 1, 3.0, 3),
        (3, 8, 5, 3.0, 3),
        (1, 1, 1, 1.0, 1),
        (10, 1, 1, 1.1, 11),
    ],
)
def test_epochs(
    tiny: Tiny,
    num_windows: int,
    micro_batch: int,
    accumulation: int,
    epochs: float,
    num_steps: int,
) -> None:
    adapter = tiny.adapter()
    config = TrainConfig(
        max_seq_len=4,
        micro_batch_size=micro_batch,
        gradient_accumulation_steps=accumulation,
        epochs=epochs,
    )
    windows = windows_of(tiny, 4 * num_windows, 4)
    trainer = Trainer(tiny.model, adapter, windows, config)
    assert trainer.num_steps == num_steps
    adapter.destroy()


def test_an_epoch_sees_every_window_once_and_steps_go_on_past_it(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    windows = windows_of(tiny, 4 * 12 + 3, 12)
    made = train(tiny, adapter, windows, replace(CONFIG, steps=None, epochs=1))
    assert made.records[-1].num_tokens == 51
    assert [record.num_tokens for record in made.records] == [24, 48, 51]
    longer = train(tiny, adapter, windows, replace(CONFIG, steps=5))
    assert [record.num_tokens for record in longer.records] == [24, 48, 51, 75, 99]
    adapter.destroy()


def test_a_corpus_shorter_than_a_window(tiny: Tiny) -> None:
    windows = make_windows(random_tokens(tiny.config, 5), 64)
    adapter = tiny.adapter()
    config = replace(CONFIG, max_seq_len=64, micro_batch_size=4, steps=2)
    expected, _ = reference_run(tiny, run(adapter.tensors()), LORA, windows, config, 2)
    made = train(tiny, adapter, windows, config)
    assert made.losses == pytest.approx([s.loss for s in expected], rel=ENGINE_STEP_LOSS_REL)
    assert made.records[-1].num_tokens == 10
    adapter.destroy()


def test_two_tokens_are_enough(tiny: Tiny) -> None:
    adapter = fresh(tiny)
    made = train(tiny, adapter, make_windows([7, 9], 8), replace(CONFIG, steps=3))
    assert made.losses[2] < made.losses[0]
    adapter.destroy()


def test_refuses_windows_longer_than_the_context(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    before = tiny.device.allocated_bytes
    context = tiny.config.max_position_embeddings
    windows = windows_of(tiny, context + 50, context + 1)
    with pytest.raises(ConfigError, match=f"a context of {context} tokens"):
        Trainer(tiny.model, adapter, windows, replace(CONFIG, max_seq_len=context + 1))
    with pytest.raises(ConfigError, match=f"a context of {context} tokens"):
        Trainer(tiny.model, adapter, windows, CONFIG)  # settings and windows disagree
    with pytest.raises(ConfigError, match="learning_rate"):
        Trainer(tiny.model, adapter, windows_of(tiny, 9, 3), replace(CONFIG, learning_rate=0.0))
    assert tiny.device.allocated_bytes == before
    adapter.destroy()


def test_the_longest_window(tiny: Tiny) -> None:
    context = tiny.config.max_position_embeddings
    windows = windows_of(tiny, context, context)
    adapter = tiny.adapter()
    config = replace(CONFIG, max_seq_len=context, micro_batch_size=1, steps=1)
    expected, _ = reference_run(tiny, run(adapter.tensors()), LORA, windows, config, 1)
    made = train(tiny, adapter, windows, config)
    assert made.losses[0] == pytest.approx(expected[0].loss, rel=ENGINE_STEP_LOSS_REL)
    assert made.records[0].grad_norm == pytest.approx(
        expected[0].grad_norm, rel=ENGINE_STEP_NORM_REL
    )
    adapter.destroy()


def test_progress_of_the_preparation(tiny: Tiny) -> None:
    adapter = tiny.adapter()
    trainer = Trainer(tiny.model, adapter, windows_of(tiny, 30, 10), CONFIG)
    heard: list[tuple[str, float]] = []
    run(trainer.prepare(lambda stage, part: heard.append((stage, part))))
    parts = [part for _, part in heard]
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    trainer.destroy()
    adapter.destroy()


def test_a_gpu_reads_reports_one_step_late_and_loses_none(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = windows_of(tiny, 70, 12)
    adapter = tiny.adapter()
    software = train(tiny, adapter, windows, CONFIG)
    adapter.destroy()
    monkeypatch.setattr(tiny.device, "info", replace(tiny.device.info, is_software=False))
    adapter = tiny.adapter()
    gpu = train(tiny, adapter, windows, CONFIG)
    assert gpu.steps == software.steps
    assert gpu.losses == pytest.approx(software.losses, rel=ENGINE_STEP_LOSS_REL)
    assert gpu.result is not None
    assert gpu.result.steps == 4
    adapter.destroy()


def fresh(tiny: Tiny) -> Adapter:
    return Adapter.create(tiny.config, tiny.device, LORA, 0)


def _recomputing(*args: object, **kwargs: object) -> object:
    from app.train.step import record_training

    return record_training(*args, **kwargs | {"budget_bytes": 0})  # type: ignore[arg-type]


def _with_budget(tiny: Tiny, adapter: Adapter, budget_bytes: int) -> bool:
    from app.train.step import record_training

    return record_training(
        tiny.model, adapter, micro_batch_size=2, seq_len=24, budget_bytes=budget_bytes
    ).is_checkpointing
