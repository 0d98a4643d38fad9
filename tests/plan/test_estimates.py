"""Work and time of a run: counted, and held against the trainer's own counting."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from app.config import LoraConfig, TrainConfig
from app.gpu.adapter import AdapterInfo
from app.gpu.budget import ASSUMED_BYTES, MemoryBudget, software_share
from app.models.random import NAMED_SHAPES
from app.plan.durations import format_duration, format_range
from app.plan.speed import CALIBRATION_STEPS, RunShape, RunWork, Speed
from app.plan.work import adapter_parameters, count_micro_batches, training_flops_per_token
from app.text.windows import batches
from app.train.schedule import count_steps

SMOLLM2 = NAMED_SHAPES["smollm2-135m"]
WORK = RunWork(RunShape("adapter", 128, 1, 2, 1000, False), 1e9, 700, 0.0, 8, 20)
PROBED = Speed(gflops=10.0, is_software=True, dispatch_seconds=1e-5)


def test_adapter_parameters_of_a_known_model() -> None:
    # q, o: 576 + 576; k, v: 576 + 192; gate, up, down: 576 + 1536; 30 layers
    assert adapter_parameters(SMOLLM2, LoraConfig(rank=4)) == 4 * 30 * (
        2 * 1152 + 2 * 768 + 3 * 2112
    )
    few = LoraConfig(rank=2, target_modules=("q_proj",))
    assert adapter_parameters(SMOLLM2, few) == 2 * 30 * 1152


def test_flops_follow_the_architecture() -> None:
    head = 49152 * 576
    weights = SMOLLM2.num_matmul_parameters
    plain = training_flops_per_token(SMOLLM2, 64)
    assert training_flops_per_token(SMOLLM2, 64, mode="full") - plain == 2 * weights
    tuned = training_flops_per_token(SMOLLM2, 64, num_adapter_parameters=1000)
    assert tuned - plain == 6 * 1000
    # the projections once more, and a forward attention of 2 S H D a layer; never the head
    again = training_flops_per_token(SMOLLM2, 64, is_checkpointing=True)
    assert again - plain == 2 * (weights - head) + 2 * 64 * 576 * 30


@pytest.mark.parametrize("num_windows", [1, 2, 7, 12])
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("accumulation", [1, 2, 5])
@pytest.mark.parametrize("epochs", [0.3, 1.0, 2.5])
def test_micro_batches_are_counted_as_the_trainer_makes_them(
    num_windows: int, size: int, accumulation: int, epochs: float
) -> None:
    each = size * accumulation
    steps = count_steps(TrainConfig(epochs=epochs), num_windows, each)
    made = [math.ceil(len(part) / size) for part in batches(range(num_windows), each)]
    expected = sum(made[step % len(made)] for step in range(steps))
    assert count_micro_batches(num_windows, size, accumulation, steps) == expected


def test_an_estimate_stands_on_the_probe_until_steps_were_made() -> None:
    probed = PROBED.estimate(WORK)
    assert probed.basis == "probe"
    assert probed.seconds == pytest.approx(40 * (1e9 / 6e9 + 700e-5))
    assert probed.low < probed.seconds < probed.high
    # The first step pays for what is put off until first use: it is not what a step takes.
    measured = PROBED.measured(WORK, [(1, 9.0), (2, 2.0), (3, 2.2)])
    assert CALIBRATION_STEPS == 3
    estimate = measured.estimate(WORK)
    assert estimate.basis == "calibration"
    assert (estimate.low, estimate.seconds, estimate.high) == pytest.approx((39.6, 44.0, 48.4))
    # The same rate for other shapes, which it says nothing exact of.
    other = replace(WORK, shape=replace(WORK.shape, seq_len=64), flops=0.5e9)
    similar = measured.estimate(other)
    assert (similar.basis, similar.seconds) == ("similar", pytest.approx(22.0))
    assert similar.low < similar.seconds < similar.high
    whole = replace(WORK, shape=replace(WORK.shape, mode="full"))
    assert measured.estimate(whole).basis == "probe"


def test_a_step_of_fewer_micro_batches_counts_for_what_it_is() -> None:
    # three windows, two a step: every second step has one micro-batch
    odd = replace(WORK, num_windows=3, num_steps=4)
    assert [odd.micro_batches(steps) for steps in range(5)] == [0, 2, 3, 5, 6]
    measured = PROBED.measured(odd, [(1, 8.0), (2, 1.0), (3, 2.0), (4, 1.0)])
    assert measured.estimate(odd).seconds == pytest.approx(6.0)
    assert PROBED.measured(odd, []) == PROBED


def test_software_adapters_may_take_half_of_the_computer_and_gpus_tell_nothing() -> None:
    software = AdapterInfo("llvmpipe", "", "Vulkan", True)
    assert software_share(software, 8e9) == 4_000_000_000
    assert software_share(software, 0) == 0
    assert software_share(replace(software, is_software=False), 8e9) == 0


def test_what_is_known_of_memory_is_said() -> None:
    assumed = MemoryBudget(ASSUMED_BYTES, 1 << 30, True, "GPU", "")
    assert assumed.misfit_memory(ASSUMED_BYTES) == ""
    assert "that are assumed" in assumed.misfit_memory(ASSUMED_BYTES + 1)
    told = replace(assumed, is_assumed=False)
    assert "there are" in told.misfit_memory(ASSUMED_BYTES + 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "less than a second"),
        (42.4, "42 s"),
        (61, "61 s"),
        (89.8, "1 min 30 s"),
        (98, "1 min 40 s"),
        (119, "2 min"),
        (178, "3 min"),
        (600, "10 min"),
        (3580, "1 h"),
        (4080, "1 h 10 min"),
        (7800, "2 h 10 min"),
        (46_920, "13 h"),
        (864000, "10 days"),
    ],
)
def test_durations_are_no_finer_than_estimates(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (20, 45, "20 s – 45 s"),
        (40, 97, "40 s – 1 min 40 s"),
        (2700, 6960, "45 min – 1 h 55 min"),
        (3600, 9240, "1 h – 2 h 35 min"),
        (106, 110, "1 min 50 s"),
        (20_000, 400_000, "5 h 30 min – 5 days"),
    ],
)
def test_a_range_is_told_by_its_ends(low: float, high: float, text: str) -> None:
    assert format_range(low, high) == text


def test_of_two_times_the_longer_is_never_told_as_the_shorter() -> None:
    units = {"s": 1, "min": 60, "h": 3600, "day": 86_400, "days": 86_400}

    def told(seconds: float) -> int:
        words = format_duration(seconds).split()
        return sum(int(n) * units[unit] for n, unit in zip(words[::2], words[1::2], strict=True))

    times = [told(1.001**n) for n in range(1, 14_000)]
    assert times == sorted(times)
