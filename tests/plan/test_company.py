"""How often a suggested run evaluates and writes samples: hardly any time, enough to see."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from app.config import LoraConfig, TrainConfig
from app.gpu.device import Device
from app.gpu.tuning import GPU, SOFTWARE
from app.models.random import NAMED_SHAPES
from app.plan.beside import SHARE, count_evaluations, count_samples
from app.plan.company import LEAST_SECONDS, suggest_company
from app.plan.defaults import suggest_config
from app.plan.mode_plan import ModePlan
from app.plan.modes import AdapterMode, RunSettings
from app.plan.planner import Planner
from app.plan.presets import PRESETS, PresetName
from app.plan.speed import Speed
from app.text.dataset import Dataset, make_dataset
from app.text.documents import Documents
from tests.plan.limited import LimitedDevice, hollow_model

pytestmark = pytest.mark.gpu

SPEEDS = {
    "SwiftShader": Speed(4.0, True, 2e-5, 2.1),
    "lavapipe": Speed(60.0, True, 2e-5, 10.0),
    "laptop": Speed(1_500.0, False, 2e-6, 80.0),
    "large": Speed(30_000.0, False, 1e-6, 2_000.0),
}
PRESET_NAMES: tuple[PresetName, ...] = ("quick", "balanced", "thorough")


def planner_of(device: Device, shape: str, speed: Speed, num_tokens: int) -> Planner:
    limited = LimitedDevice(device, 8 << 30, 2 << 30, is_told=True)
    limited.tuning = SOFTWARE if speed.is_software else GPU
    model = hollow_model(NAMED_SHAPES[shape])
    model.device = cast("Device", limited)
    ids = np.zeros(num_tokens, np.int32)
    text = Documents(ids, np.ones(num_tokens, np.bool_), np.array([0, num_tokens]), ("text",))

    def cut(settings: RunSettings) -> Dataset:
        train = settings.train
        return make_dataset(
            text,
            by_documents=False,
            max_seq_len=train.max_seq_len,
            eval_fraction=train.eval_fraction,
        )

    return Planner(AdapterMode(model), model.device, cut, speed)


def suggested(
    device: Device, shape: str, speed: Speed, num_tokens: int, preset: PresetName, **edits: Any
) -> tuple[ModePlan, ModePlan]:
    """Return the suggested run, without and with what accompanies it."""
    planner = planner_of(device, shape, speed, num_tokens)
    model = planner.mode._model  # type: ignore[attr-defined]
    train = suggest_config(model.config, speed.gflops, num_tokens, speed.is_software, preset=preset)
    rank = PRESETS[preset].rank
    wanted = RunSettings(LoraConfig(rank, 2 * rank), train).edited(**edits)
    alone = planner.plan(wanted, edits)
    company = suggest_company(model, alone, speed, edits)
    chosen = {name: value for name, value in company.items() if name not in edits}
    return alone, planner.accompanied(alone, **chosen)


@pytest.mark.parametrize("name", SPEEDS)
@pytest.mark.parametrize("preset", PRESET_NAMES)
@pytest.mark.parametrize("num_tokens", [3_000, 50_000])
def test_company_is_cheap_and_enough(
    device: Device, name: str, preset: PresetName, num_tokens: int
) -> None:
    speed = SPEEDS[name]
    alone, plan = suggested(device, "smollm2-135m", speed, num_tokens, preset)
    train, dataset = plan.settings.train, plan.dataset
    assert (plan.num_steps, plan.notes) == (alone.num_steps, alone.notes)
    # What was estimated of a window and a sample is about what is then recorded and counted.
    most_seconds = max(1.2 * SHARE * alone.time.seconds, 1.2 * LEAST_SECONDS)
    assert plan.time.seconds - alone.time.seconds <= most_seconds
    evaluations = count_evaluations(train, plan.num_steps, has_text=True)
    samples = count_samples(train, plan.num_steps)
    most = train.max_eval_tokens
    assert samples == 0 or 3 <= samples <= 5
    if not speed.is_software:
        assert samples
    if dataset.evaluation is None:
        assert evaluations == 0
        return
    if (name, preset) == ("lavapipe", "quick"):  # where one of its large windows takes two seconds
        assert evaluations == 0
        return
    assert 5 <= evaluations <= 12 or (speed.is_software and evaluations >= 3)
    if most is not None:
        assert most % int(dataset.evaluation.lengths.max()) == 0
        assert most < dataset.evaluation.num_tokens
    assert plan.outline.beside.evaluation_flops / (0.6e9 * speed.gflops) <= 6.0
    print(f"{evaluations} evaluations of {most} tokens, {samples} samples")


def test_a_page_without_a_gpu_gets_figures_and_where_time_allows_samples(device: Device) -> None:
    slow = SPEEDS["SwiftShader"]
    for preset, has_samples in (("balanced", False), ("thorough", True)):
        _, plan = suggested(device, "smollm2-135m", slow, 50_000, cast("PresetName", preset))
        assert plan.settings.train.eval_every
        assert plan.settings.train.max_eval_tokens is not None
        assert bool(plan.settings.train.sample_every) == has_samples


def test_where_nothing_is_held_out_there_are_samples_only(device: Device) -> None:
    _, plan = suggested(device, "smollm2-135m", SPEEDS["large"], 60, "balanced")
    assert plan.dataset.evaluation is None
    assert plan.settings.train.eval_every == 0
    assert plan.settings.train.sample_every > 0


def test_what_does_not_fit_beside_the_steps_is_left_off(device: Device) -> None:
    speed = SPEEDS["large"]
    alone, plan = suggested(device, "smollm2-135m", speed, 50_000, "quick")
    assert plan.total_bytes > alone.total_bytes
    just = alone.total_bytes / 1e9 + 1e-6
    small, left = suggested(
        device, "smollm2-135m", speed, 50_000, "quick",
        device_memory_gb=just, micro_batch_size=alone.settings.train.micro_batch_size,
        max_seq_len=alone.settings.train.max_seq_len, gradient_checkpointing="off",
    )  # fmt: skip
    assert small.is_feasible
    assert left is small
    # Who asked for it is told what to leave off.
    planner = planner_of(device, "smollm2-135m", speed, 50_000)
    asked = small.settings.edited(eval_every=1, sample_every=1)
    advice = planner.plan(asked, ("max_seq_len", "micro_batch_size")).warnings[0]
    assert dict(advice.settings) == {"eval_every": 0, "sample_every": 0}
    assert "no evaluations, no samples" in advice.remedy


def test_the_same_is_suggested_again_after_a_run(device: Device) -> None:
    speed = SPEEDS["laptop"]
    alone, plan = suggested(device, "smollm2-135m", speed, 50_000, "balanced")
    known = speed.measured(alone.work, [(1, 9.0), (2, 9.0), (3, 9.0)])
    _, again = suggested(device, "smollm2-135m", known, 50_000, "balanced")
    assert again.settings == plan.settings


def test_one_reading_of_a_persons_own_is_not_endless(device: Device) -> None:
    slow = SPEEDS["SwiftShader"]
    _, plan = suggested(device, "smollm2-135m", slow, 50_000, "balanced", eval_every=2)
    assert plan.settings.train.eval_every == 2
    assert plan.outline.beside.evaluation_flops / (0.6e9 * slow.gflops) <= 6.0
    _, whole = suggested(
        device, "smollm2-135m", slow, 50_000, "balanced", eval_every=2, max_eval_tokens=None
    )
    assert whole.settings.train.max_eval_tokens is None


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 5, 7, 11, 13, 60, 61, 97, 1_000, 99_999])
def test_counts_are_in_bounds_for_any_number_of_steps(device: Device, num_steps: int) -> None:
    _, plan = suggested(
        device, "tiny", SPEEDS["large"], 50_000, "balanced", steps=num_steps,
        optimizer="adafactor",
    )  # fmt: skip
    train = plan.settings.train
    evaluations = count_evaluations(train, num_steps, has_text=True)
    samples = count_samples(train, num_steps)
    assert evaluations in (0, *range(min(num_steps + 1, 5), 13))
    assert samples in (0, 3, 4, 5)
    if samples and num_steps >= 20:
        assert num_steps % train.sample_every <= 0.2 * num_steps


def test_settings_of_a_capped_reading_are_checked() -> None:
    for wrong in (0, -1, 1.5, "many", True):
        (problem,) = TrainConfig(max_eval_tokens=cast("Any", wrong)).problems()
        assert problem.startswith("max_eval_tokens is ")
        assert "or nothing to read all" in problem
    assert TrainConfig(max_eval_tokens=1).problems() == []
    assert TrainConfig.from_dict({"max_eval_tokens": 64.0}).max_eval_tokens == 64
