"""Suggested settings and estimated times: bounds, and what must not fall when speed rises."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from app.config import ModelConfig, TrainConfig
from app.models.random import NAMED_SHAPES
from app.plan.defaults import SMALL_EVAL_FRACTION, estimate_seconds, suggest_config
from app.plan.work import training_flops_per_token

SMOLLM2 = NAMED_SHAPES["smollm2-135m"]
SPEEDS = (0.1, 1.0, 3.5, 14.0, 25.0, 100.0, 1e3, 5e3, 3e4)
CORPORA = (0, 1, 2, 17, 100, 9_999, 1_000_000, 10_000_000)


def first_step_seconds(model: ModelConfig, config: TrainConfig, gflops: float) -> float:
    one = replace(config, steps=1, eval_fraction=0.0)
    num_tokens = config.max_seq_len * config.micro_batch_size
    return estimate_seconds(model, one, num_tokens, gflops).seconds


def test_flops_are_four_a_weight_and_attention() -> None:
    # 30 layers of 576 x (960 + 576) + 3 x 576 x 1536, and a head of 49152 x 576
    weights = 30 * (576 * (960 + 576) + 3 * 576 * 1536) + 49152 * 576
    assert SMOLLM2.num_matmul_parameters == weights
    assert training_flops_per_token(SMOLLM2, 0) == 4 * weights
    # 7 S H D a layer
    assert training_flops_per_token(SMOLLM2, 100) == 4 * weights + 7 * 100 * 576 * 30


@pytest.mark.parametrize("shape", NAMED_SHAPES)
@pytest.mark.parametrize("is_software", [True, False])
def test_bounds(shape: str, is_software: bool) -> None:
    model = NAMED_SHAPES[shape]
    for gflops, num_tokens in itertools.product(SPEEDS, CORPORA):
        config = suggest_config(model, gflops, num_tokens, is_software).check()
        assert 16 <= config.max_seq_len <= 256
        assert config.max_seq_len % 8 == 0
        assert 1 <= config.micro_batch_size <= 16
        # a window is no longer than the corpus needs
        assert config.max_seq_len < max(num_tokens, 9) + 8


@pytest.mark.parametrize("gflops", [3.5, 14.0, 25.0])
def test_first_step_on_a_software_adapter_takes_at_most_8_seconds(gflops: float) -> None:
    config = suggest_config(SMOLLM2, gflops, 100_000, is_software=True)
    assert first_step_seconds(SMOLLM2, config, gflops) <= 8.0


def test_a_gpu_gets_full_windows_and_batches() -> None:
    config = suggest_config(SMOLLM2, 2_000.0, 1_000_000, is_software=False)
    assert config.max_seq_len == 256
    assert config.micro_batch_size >= 4
    assert config.steps is None


@pytest.mark.parametrize("num_tokens", CORPORA)
@pytest.mark.parametrize("is_software", [True, False])
def test_a_faster_device_never_gets_less(num_tokens: int, is_software: bool) -> None:
    configs = [suggest_config(SMOLLM2, gflops, num_tokens, is_software) for gflops in SPEEDS]
    sizes = [config.max_seq_len * config.micro_batch_size for config in configs]
    assert sizes == sorted(sizes)


def test_a_larger_model_never_gets_more() -> None:
    for gflops in SPEEDS:
        roomy = [m for m in NAMED_SHAPES.values() if m.max_position_embeddings >= 2048]
        by_size = sorted(roomy, key=lambda model: model.num_matmul_parameters)
        configs = [suggest_config(model, gflops, 500_000, True) for model in by_size]
        sizes = [config.max_seq_len * config.micro_batch_size for config in configs]
        assert sizes == sorted(sizes, reverse=True)


def test_a_huge_model_on_a_slow_device_still_gets_a_run() -> None:
    huge = replace(SMOLLM2, hidden_size=8192, intermediate_size=28672, num_hidden_layers=80)
    config = suggest_config(huge, 3.5, 1_000_000, is_software=True).check()
    assert (config.max_seq_len, config.micro_batch_size) == (16, 1)
    assert config.steps is not None
    assert config.steps >= 10


def test_a_window_fits_the_context() -> None:
    short = replace(SMOLLM2, max_position_embeddings=12)
    assert suggest_config(short, 1e4, 1_000, is_software=False).max_seq_len == 12


def test_small_corpora_are_read_several_times_and_wholly() -> None:
    config = suggest_config(SMOLLM2, 14.0, 60, is_software=True)
    assert config.steps is None
    assert config.epochs > 1
    assert config.eval_fraction == 0
    assert suggest_config(SMOLLM2, 5e3, 100_000, is_software=False).eval_fraction > 0
    wanted = suggest_config(SMOLLM2, 5e3, 1_000, is_software=False, wants_evaluation=True)
    assert wanted.eval_fraction == SMALL_EVAL_FRACTION


def test_of_documents_one_in_twenty_is_kept_however_few_windows_they_fill() -> None:
    for count, fraction in ((19, 0.0), (20, 0.05), (500, 0.05)):
        config = suggest_config(SMOLLM2, 5e3, 20 * count, False, num_documents=count)
        assert config.eval_fraction == fraction


def test_long_runs_are_cut_short_on_a_software_adapter() -> None:
    config = suggest_config(SMOLLM2, 14.0, 1_000_000, is_software=True)
    assert config.steps is not None
    assert estimate_seconds(SMOLLM2, config, 1_000_000, 14.0).seconds <= 300


def test_estimate_counts_the_steps_of_the_trainer() -> None:
    # 1000 tokens in windows of 64: 16 windows, one set aside, 15 in batches of 4: 4 steps, 3 epochs
    config = TrainConfig(max_seq_len=64, micro_batch_size=4, epochs=3.0, eval_fraction=0.1)
    estimate = estimate_seconds(SMOLLM2, config, 1_000, 10.0)
    stepwise = estimate_seconds(SMOLLM2, replace(config, epochs=1.0, steps=12), 1_000, 10.0)
    assert estimate == stepwise
    assert estimate.low < estimate.seconds < estimate.high


def test_estimate_follows_speed_and_work() -> None:
    config = TrainConfig(max_seq_len=64, micro_batch_size=1, steps=10)
    once = estimate_seconds(SMOLLM2, config, 10_000, 10.0).seconds
    assert estimate_seconds(SMOLLM2, config, 10_000, 20.0).seconds == pytest.approx(once / 2)
    twice = replace(config, gradient_accumulation_steps=2)
    assert estimate_seconds(SMOLLM2, twice, 10_000, 10.0).seconds == pytest.approx(2 * once)
    # nothing but the products of one window: 10 steps of 64 tokens
    least = 10 * 64 * 4 * SMOLLM2.num_matmul_parameters / 10e9
    assert least < once < 3 * least


def test_no_measurement_is_no_division_by_zero() -> None:
    assert suggest_config(SMOLLM2, 0.0, 1_000, is_software=True).max_seq_len == 16
    assert estimate_seconds(SMOLLM2, TrainConfig(), 1_000, 0.0).seconds > 0
