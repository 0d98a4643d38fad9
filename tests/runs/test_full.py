"""Runs of all weights, accompanied: resumed, evaluated, sampled, stopped early."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import CheckpointError
from app.gpu.device import Device
from app.io.checkpoint import load_checkpoint
from app.io.checkpoint_format import Checkpoint
from app.io.checkpoint_store import CheckpointFile, DirectoryStore
from app.runs.course import Course
from app.runs.identity import RunIdentity
from app.runs.parts import Parts
from app.train.control import RunControl
from app.train.evaluate import evaluate
from app.train.full.trainer import FullTrainer
from tests.conftest import run
from tests.nn.engine import load_tiny
from tests.nn.full_engine import weights_of
from tests.runs.courses import CONFIG, CUT, Heard, dataset_of

pytestmark = pytest.mark.gpu

LORA = LoraConfig()
SETTINGS: dict[str, dict[str, Any]] = {
    "f16": {"full_weights": "f16", "optimizer": "adam8bit", "early_stop_patience": 50},
    "int4": {"full_weights": "int4", "optimizer": "adamw", "curriculum": "tfidf"},
    "f32": {
        "full_weights": "f32",
        "optimizer": "adafactor",
        "gradient_accumulation_steps": 2,
        "gradient_checkpointing": "on",
    },
}
FULL = replace(CONFIG, mode="full", learning_rate=3e-3)


def follow(
    device: Device,
    config: TrainConfig,
    *,
    store: DirectoryStore | None = None,
    resumed: Checkpoint | None = None,
    stop_after: int = 0,
) -> tuple[Heard, dict[str, Any], float]:
    """Make a run of a model of its own; return what was heard, its weights and held-out loss."""
    heard, control = Heard(), RunControl()

    listener = heard.listener(control, stop_after)
    tiny = load_tiny(device)
    dataset = dataset_of(tiny)
    assert dataset.evaluation is not None
    trainer = FullTrainer(tiny.model, dataset.train, config)

    async def go() -> float:
        identity = await RunIdentity.of(tiny.model, dataset, LORA, config)
        await trainer.prepare()
        parts = Parts(tiny.model, None, dataset, config, trainer, identity)
        course = Course(parts, listener, store)
        if resumed is not None:
            await course.resume(resumed)
        heard.result = await course.run(control)
        if not stop_after:
            heard.final = await course.final_evaluation(RunControl())
        heard.record = course.record((), heard.result)
        result = await evaluate(tiny.model, None, dataset.evaluation)
        assert result is not None
        return result.loss

    try:
        loss = run(go())
        weights: dict[str, Any] = weights_of(tiny.model)
    finally:
        trainer.destroy()
        tiny.model.destroy()
    return heard, weights, loss


@pytest.mark.parametrize("name", SETTINGS)
def test_resumed_from_the_disk_equals_uninterrupted(
    device: Device, tmp_path: Path, name: str
) -> None:
    config = replace(FULL, **SETTINGS[name])
    whole, expected, _ = follow(device, config, store=DirectoryStore(tmp_path / "whole"))
    assert [item.step for item in whole.evaluations] == [0, 2, 4, 6, 8]
    assert [item.step for item in whole.samples] == [0, 4, 8]
    assert [item.step for item in whole.checkpoints] == [4, 8]
    store = DirectoryStore(tmp_path / "part")
    first, _, _ = follow(device, config, store=store, stop_after=CUT)
    kept = run(load_checkpoint(store))
    assert kept is not None
    assert kept.step == CUT
    assert not list((tmp_path / "part").glob("*.part"))
    rest, weights, _ = follow(device, config, store=store, resumed=kept)
    assert not rest.warnings
    assert first.told() + rest.told() == whole.told()
    assert first.evaluations + rest.evaluations == whole.evaluations
    assert first.samples + rest.samples == whole.samples
    assert rest.record["adapter"] is None
    for key, weight in expected.items():
        np.testing.assert_array_equal(weights[key], weight, key)


def test_evaluations_and_samples_are_those_of_the_weights_at_that_step(device: Device) -> None:
    heard, _, loss = follow(device, replace(FULL, checkpoint_every=0))
    assert heard.evaluations[-1].loss == loss
    assert heard.final == heard.evaluations[-1]
    before, after = heard.samples[0], heard.samples[-1]
    assert before.prompt == after.prompt
    assert before.text != after.text  # the cache is not that of other weights


def test_a_run_that_gets_worse_ends_early_with_its_best_weights(device: Device) -> None:
    config = replace(
        FULL, checkpoint_every=0, sample_every=0, steps=60, early_stop_patience=2,
        learning_rate=1e-2, eval_every=1, schedule="constant", warmup_steps=0,
    )  # fmt: skip
    heard, _, loss = follow(device, config)
    assert heard.result is not None
    assert heard.result.stopped_early
    assert heard.result.steps < 60
    best = min(heard.evaluations[1:], key=lambda item: item.loss)
    assert loss == best.loss
    assert heard.evaluations[-1].loss > best.loss


def test_an_adapters_checkpoint_is_not_gone_on_with(device: Device, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    follow(device, replace(FULL, eval_every=0, sample_every=0), store=store, stop_after=CUT)
    kept = run(load_checkpoint(store))
    assert kept is not None
    with pytest.raises(CheckpointError, match=r"full_weights is f32 and was f16"):
        follow(device, replace(FULL, full_weights="f32"), resumed=kept)


def test_a_checkpoint_that_lost_bytes_on_the_way_is_noticed(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def create(self: DirectoryStore, name: str) -> CheckpointFile:
        file = await plain(self, name)
        write = file.write

        async def lose(offset: int, data: bytes | memoryview) -> None:
            await write(offset, data)
            if not offset:  # the header, which is written last
                file._file.flush()  # type: ignore[attr-defined]
                with (tmp_path / f"{name}.part").open("r+b") as part:
                    part.write(b"x")

        monkeypatch.setattr(file, "write", lose)
        return file

    plain = DirectoryStore.create
    monkeypatch.setattr(DirectoryStore, "create", create)
    config = replace(FULL, eval_every=0, sample_every=0)
    heard, _, _ = follow(device, config, store=DirectoryStore(tmp_path))
    assert heard.result is not None
    assert heard.result.steps == config.steps
    assert len(heard.warnings) == 1
    assert "reads back otherwise" in heard.warnings[0]
    assert [path.name for path in tmp_path.iterdir()] == []
