"""Training of all weights is begun where it fits, and where it is fast enough or confirmed."""

from __future__ import annotations

import numpy as np
import pytest

from app.config import LoraConfig, TrainConfig
from app.errors import ConfigError, OutOfGpuMemoryError
from app.gpu.device import Device
from app.plan.full import ADVISED_GFLOPS, FullMode, check_full_run, check_full_settings
from app.plan.mode_plan import ModePlan
from app.plan.modes import RunSettings
from app.plan.planner import Planner
from app.plan.speed import Speed
from app.text.dataset import Dataset, make_dataset
from app.text.documents import Documents
from app.train.full.trainer import FullTrainer
from tests.conftest import run
from tests.nn.engine import Tiny, load_tiny, random_tokens

pytestmark = pytest.mark.gpu


def plan_of(tiny: Tiny, **settings: object) -> tuple[ModePlan, Dataset]:
    config = TrainConfig(max_seq_len=16, steps=3, eval_fraction=0.0, **settings)  # type: ignore[arg-type]
    tokens = random_tokens(tiny.config, 160)
    dataset = make_dataset(
        Documents(tokens, np.ones(160, bool), np.array([0, 160]), ("text",)),
        by_documents=False,
        max_seq_len=16,
        packing="none",
        eval_fraction=0.0,
        seed=0,
    )
    speed = Speed(100.0, True, 1e-5, 10.0)
    planner = Planner(FullMode(tiny.model), tiny.device, lambda _: dataset, speed)
    return planner.assess(RunSettings(LoraConfig(), config)), dataset


def test_what_is_planned_is_what_is_allocated(device: Device) -> None:
    tiny = load_tiny(device)
    plan, dataset = plan_of(tiny, optimizer="adam8bit")
    trainer = FullTrainer(tiny.model, dataset.train, plan.settings.train)
    assert trainer.plan.parts() == plan.outline.memory.parts()
    before = device.allocated_bytes
    loaded = {item.source.words.storage for item in trainer._recorded.trained.matrices}
    freed = tiny.model.weights_bytes
    run(trainer.prepare())
    kept = trainer.plan.total_bytes - sum(trainer.plan.parts().values())
    assert kept == 0
    assert loaded  # they were there beside the trained ones, and are gone now
    now = device.allocated_bytes
    table = tiny.model.weights.rope_table.storage.size_bytes
    assert now == before + plan.outline.memory.new_bytes - freed + -(-table // 256) * 256
    trainer.destroy()
    tiny.model.destroy()


def test_slow_devices_want_a_confirmation_that_states_time_and_memory(device: Device) -> None:
    tiny = load_tiny(device)
    plan, _ = plan_of(tiny)
    with pytest.raises(ConfigError) as caught:
        check_full_run(plan, tiny.model, 100.0, is_confirmed=False)
    text = str(caught.value)
    for part in (
        "100 GFLOP/s",
        "at least 8,000",
        "--confirm-full",
        "weights ",
        "optimizer ",
        " steps",
    ):
        assert part in text, text
    assert f"{plan.outline.num_trained:,}" in text
    takes = check_full_run(plan, tiny.model, 100.0, is_confirmed=True)
    assert takes == check_full_run(plan, tiny.model, ADVISED_GFLOPS, is_confirmed=False)
    assert takes in text
    tiny.model.destroy()


def test_what_cannot_fit_is_refused_with_numbers(device: Device) -> None:
    tiny = load_tiny(device)
    plan, _ = plan_of(tiny, device_memory_gb=1e-3)
    with pytest.raises(OutOfGpuMemoryError, match=r"cannot fit: the run needs .* MB .*optimizer"):
        check_full_run(plan, tiny.model, 1e9, is_confirmed=True)
    tiny.model.destroy()


def test_settings_of_adapters_are_refused_together() -> None:
    config = TrainConfig(eval_every=2, rank_schedule="adaptive")
    with pytest.raises(ConfigError, match="adapter, rank_schedule cannot be used"):
        check_full_settings(config, has_adapter=True)
    check_full_settings(TrainConfig(), has_adapter=False)
