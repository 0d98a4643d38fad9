"""What a plan says of evaluations and samples, held against runs that make them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.config import LoraConfig, TrainConfig
from app.gpu.device import Device
from app.gpu.memory import padded
from app.io.checkpoint import load_checkpoint
from app.io.checkpoint_format import Checkpoint
from app.io.checkpoint_store import DirectoryStore
from app.plan.beside import count_evaluations, count_samples
from app.plan.full import FullMode
from app.plan.mode_plan import ModePlan
from app.plan.modes import AdapterMode, Mode, RunSettings
from app.plan.planner import Planner
from app.plan.speed import Speed
from app.runs.resumed import resumed_settings
from app.text.dataset import Dataset
from app.text.windows import split_eval, spread_windows
from app.train.full.trainer import FullTrainer
from tests.conftest import run
from tests.nn.engine import Tiny, load_tiny
from tests.peak import Peak
from tests.runs import test_full as full_runs
from tests.runs.courses import LORA, changed, dataset_of, follow
from tests.train.runs import windows_of

pytestmark = pytest.mark.gpu

SPEED = Speed(gflops=10.0, is_software=True, dispatch_seconds=1e-5, gbytes_per_second=4.0)


def much_held_out(tiny: Tiny) -> Dataset:
    """Return windows of which so many are kept aside that reading them takes more than a sample."""
    train, evaluation = split_eval(windows_of(tiny, 1200, 12, 5), 0.9)
    return Dataset(train, evaluation, 1, 0, 0)


def plan_of(mode: Mode, config: TrainConfig, dataset: Dataset, lora: LoraConfig) -> ModePlan:
    planner = Planner(mode, mode._model.device, lambda _: dataset, SPEED)  # type: ignore[attr-defined]
    return planner.assess(RunSettings(lora, config))


CASES: dict[str, dict[str, Any]] = {
    "evaluations": {"eval_every": 2, "sample_every": 0},
    "few windows": {"eval_every": 2, "sample_every": 0, "max_eval_tokens": 40},
    "samples": {"eval_every": 0, "sample_every": 2},
    "both": {"eval_every": 1, "sample_every": 2},
    "neither": {"eval_every": 0, "sample_every": 0, "max_eval_tokens": 40},
}


@pytest.mark.parametrize("name", CASES)
def test_the_peak_of_a_run_is_what_was_planned(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config = changed(steps=4, checkpoint_every=0, **CASES[name])
    dataset = much_held_out(tiny)
    plan = plan_of(AdapterMode(tiny.model), config, dataset, LORA)
    loaded = sum(padded(storage.size_bytes) for storage in plan.outline.memory.shared)
    before = tiny.device.allocated_bytes
    peak = Peak(tiny.device, monkeypatch)
    heard = follow(tiny, config, dataset=dataset, is_fresh=True, is_judged=False)
    assert not heard.warnings
    assert peak.most - before == plan.total_bytes - loaded
    assert sum(plan.outline.parts().values()) == plan.total_bytes
    assert bool(plan.outline.parts()["evaluation"]) == (name != "neither")


@pytest.mark.parametrize("weights", ["f16", "int4"])
def test_the_peak_of_a_run_of_all_weights_is_what_was_planned(
    device: Device, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    config = replace(full_runs.FULL, full_weights=weights, steps=2, checkpoint_every=0)
    tiny = load_tiny(device)
    dataset = dataset_of(tiny)
    plan = plan_of(FullMode(tiny.model), config, dataset, full_runs.LORA)
    alone = plan_of(
        FullMode(tiny.model),
        replace(config, eval_every=0, sample_every=0),
        dataset,
        full_runs.LORA,
    )
    tiny.model.destroy()
    assert plan.outline.freed_bytes > 0
    assert plan.total_bytes - alone.total_bytes == plan.outline.reserved_bytes
    before = device.allocated_bytes
    peak = Peak(device, monkeypatch)
    prepare = FullTrainer.prepare

    async def from_here_on(trainer: FullTrainer, *arguments: Any) -> None:
        peak.most = 0  # loading is another matter
        await prepare(trainer, *arguments)

    monkeypatch.setattr(FullTrainer, "prepare", from_here_on)
    full_runs.follow(device, config)
    assert peak.most - before == plan.total_bytes


@pytest.mark.parametrize("steps", [1, 4, 7])
@pytest.mark.parametrize(("eval_every", "sample_every"), [(2, 4), (3, 0), (0, 3), (9, 9)])
def test_a_run_makes_as_many_as_were_planned(
    tiny: Tiny, steps: int, eval_every: int, sample_every: int
) -> None:
    config = changed(
        steps=steps, eval_every=eval_every, sample_every=sample_every, checkpoint_every=0
    )
    heard = follow(tiny, config, is_fresh=steps != 4)
    assert len(heard.evaluations) == count_evaluations(config, steps, has_text=True)
    assert len(heard.samples) == count_samples(config, steps)


def test_their_time_is_planned(tiny: Tiny) -> None:
    dataset, mode = much_held_out(tiny), AdapterMode(tiny.model)
    config = changed(steps=7, eval_every=2, sample_every=3)
    plan = plan_of(mode, config, dataset, LORA)
    alone = plan_of(mode, changed(steps=7, eval_every=0, sample_every=0), dataset, LORA)
    beside = plan.outline.beside
    # Before the first step, after 2, 4 and 6, at the end; and before, after 3 and 6.
    flops = 5 * beside.evaluation_flops + 3 * beside.sample_flops
    least = 1e-5 * (5 * beside.evaluation_dispatches + 3 * beside.sample_dispatches)
    least += 3 * beside.sample_read_bytes / 4e9
    assert (plan.work.beside_flops, plan.work.beside_seconds) == pytest.approx((flops, least))
    assert plan.time.seconds - alone.time.seconds == pytest.approx(flops / 6e9 + least)
    # 90 windows of 12 tokens are read, two at once: 2 FLOP a weight and token at least.
    assert beside.evaluation_flops > 90 * 12 * 2 * tiny.config.num_matmul_parameters
    fewer = plan_of(mode, replace(config, max_eval_tokens=500), dataset, LORA)
    # 41 windows, in 21 batches where there were 45.
    assert fewer.outline.beside.evaluation_flops == pytest.approx(beside.evaluation_flops * 21 / 45)
    assert fewer.outline.beside.evaluation_dispatches * 45 == 21 * beside.evaluation_dispatches


def test_a_fresh_adapter_waits_with_what_the_base_shows(tiny: Tiny) -> None:
    at_once, waited = follow(tiny), follow(tiny, is_fresh=True)
    assert at_once.order[:3] == ["evaluation 0", "sample 0", "step 1"]
    assert waited.order[:3] == ["step 1", "evaluation 0", "sample 0"]
    assert waited.told() == at_once.told()
    assert waited.parameters == at_once.parameters
    assert waited.samples == at_once.samples
    assert waited.evaluations[1:] == at_once.evaluations[1:]
    # Without the adapter fewer products are made: the last digit may differ.
    assert waited.evaluations[0].loss == pytest.approx(at_once.evaluations[0].loss, rel=1e-6)


def test_what_waited_when_a_run_was_stopped_is_done_when_it_goes_on(
    tiny: Tiny, tmp_path: Path
) -> None:
    whole = follow(tiny, is_fresh=True)
    store = DirectoryStore(tmp_path)
    first = follow(tiny, store=store, stop_after=1, is_fresh=True)
    assert first.order == ["step 1"]
    kept = run(load_checkpoint(store))
    assert kept is not None
    rest = follow(tiny, store=store, resumed=kept, seed=99)
    assert rest.order[:2] == ["evaluation 0", "sample 0"]
    assert rest.evaluations == whole.evaluations
    assert rest.samples == whole.samples


def test_the_same_few_windows_are_read_each_time_and_recorded(tiny: Tiny) -> None:
    dataset = much_held_out(tiny)
    assert dataset.evaluation is not None
    config = changed(eval_every=4, sample_every=0, max_eval_tokens=60, learning_rate=1e-9)
    heard = follow(tiny, config, dataset=dataset)
    few = replace(dataset, evaluation=spread_windows(dataset.evaluation, 60))
    assert few.evaluation is not None
    assert few.evaluation.num_windows == 5
    same = follow(tiny, replace(config, max_eval_tokens=None), dataset=few)
    assert heard.evaluations == same.evaluations
    assert heard.final == heard.evaluations[-1]
    corpus = heard.record["corpus"]
    assert (corpus["num_eval_windows"], corpus["num_eval_windows_read"]) == (90, 5)
    assert heard.record["settings"]["max_eval_tokens"] == 60


def test_checkpoints_from_before_there_was_such_a_setting_are_gone_on_with(
    tiny: Tiny, tmp_path: Path
) -> None:
    follow(tiny, store=DirectoryStore(tmp_path), stop_after=4)
    kept = run(load_checkpoint(DirectoryStore(tmp_path)))
    assert kept is not None
    identity = dict(kept.document["identity"])
    settings = {k: v for k, v in identity["settings"].items() if k != "max_eval_tokens"}
    document = {**kept.document, "identity": {**identity, "settings": settings}}
    del document["owes_start"]
    old = Checkpoint(kept.run, kept.step, document, kept.arrays)
    assert resumed_settings(old)["max_eval_tokens"] is None
    rest = follow(tiny, resumed=old)
    assert rest.result is not None
    assert not rest.warnings
    assert [item.step for item in rest.evaluations] == [4, 6, 8]
