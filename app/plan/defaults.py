"""Settings that suit a device and a corpus, and how long a run with them takes."""

from __future__ import annotations

import math
from dataclasses import replace

from app.config import ModelConfig, TrainConfig
from app.plan.presets import PRESETS, PresetName
from app.plan.speed import HIGHEST_EFFICIENCY, LOWEST_EFFICIENCY, STEP_EFFICIENCY, TimeEstimate
from app.plan.work import training_flops_per_token

STEP_SECONDS = {True: 5.0, False: 2.0}
"""What a step may take: on a software adapter so that the first loss, compiling included, comes
within 20 seconds; on a GPU so that the curve moves."""

MIN_WINDOW, MAX_WINDOW, WINDOW_MULTIPLE = 16, 256, 8
MAX_BATCH = {True: 4, False: 16}

MAX_EPOCHS = 10
MIN_STEPS = 10
EVAL_FRACTION = 0.05
SMALL_EVAL_FRACTION = 0.2
"""The same of a text so short that the other share would come to nothing."""


def estimate_seconds(
    model: ModelConfig, config: TrainConfig, num_tokens: int, device_gflops: float
) -> TimeEstimate:
    """Return how long a run takes, from its FLOP count and the device's measured rate.

    Args:
        model: Shape of the base.
        config: Settings of the run.
        num_tokens: Tokens of the corpus.
        device_gflops: From `app.plan.probe.measure_gflops`.
    """
    windows = max(1, math.ceil(num_tokens / config.max_seq_len))
    windows -= min(int(config.eval_fraction * windows), windows - 1)
    batch = min(config.micro_batch_size, windows)
    accumulation = config.gradient_accumulation_steps
    if config.steps is not None:
        steps = config.steps
    else:
        steps = max(1, math.ceil(config.epochs * math.ceil(windows / (batch * accumulation))))
    # Short windows are padded to the longest, which is no longer than the corpus.
    seq_len = min(config.max_seq_len, max(num_tokens, 2))
    tokens = float(steps) * accumulation * batch * seq_len
    work = tokens * training_flops_per_token(model, seq_len) / (max(device_gflops, 1e-6) * 1e9)
    return TimeEstimate(work / STEP_EFFICIENCY, work / HIGHEST_EFFICIENCY, work / LOWEST_EFFICIENCY)


def suggest_config(
    model: ModelConfig,
    device_gflops: float,
    num_tokens: int,
    is_software: bool,
    num_documents: int | None = None,
    preset: PresetName = "balanced",
    *,
    wants_evaluation: bool = False,
) -> TrainConfig:
    """Return settings whose first loss comes soon and whose run ends in sensible time.

    Args:
        model: Shape of the base.
        device_gflops: From `app.plan.probe.measure_gflops`.
        num_tokens: Tokens of the corpus.
        is_software: Whether the device is a software adapter, shared with everything else.
        num_documents: Where they are told apart: then it is they that are kept for evaluation.
        preset: How far the run should go.
        wants_evaluation: Something is kept aside though there is little.
    """
    goal = PRESETS[preset]
    rate = max(device_gflops, 1e-6) * 1e9 * STEP_EFFICIENCY
    affordable = STEP_SECONDS[is_software] * rate / training_flops_per_token(model, MAX_WINDOW)
    window = _window(model, affordable, num_tokens)
    num_windows = max(1, math.ceil(num_tokens / window))
    # Rather more updates than larger ones: a batch must leave enough of them to an epoch.
    most = min(MAX_BATCH[is_software], num_windows // goal.min_updates)
    batch = max(1, min(int(affordable // window), most))
    steps_per_epoch = math.ceil(num_windows / batch)
    needed = math.ceil(goal.min_updates / steps_per_epoch)
    epochs = max(goal.min_epochs, min(MAX_EPOCHS, needed))
    config = TrainConfig(
        max_seq_len=window,
        micro_batch_size=batch,
        epochs=float(epochs),
        schedule=goal.schedule,
        eval_fraction=_eval_fraction(num_documents or num_windows, wants_evaluation),
    )
    seconds = estimate_seconds(model, config, num_tokens, device_gflops).seconds
    longest = goal.run_seconds[is_software]
    if seconds <= longest:
        return config
    step_seconds = batch * window * training_flops_per_token(model, window) / rate
    return replace(config, steps=max(MIN_STEPS, int(longest / step_seconds)), epochs=1.0)


def _eval_fraction(count: int, is_wanted: bool) -> float:
    """Return which share of that many windows, or documents, to keep aside."""
    if count * EVAL_FRACTION >= 1:
        return EVAL_FRACTION
    return SMALL_EVAL_FRACTION if is_wanted else 0.0


def _window(model: ModelConfig, affordable: float, num_tokens: int) -> int:
    """Return a window that the step's time, the corpus and the model's context allow."""
    longest = min(MAX_WINDOW, model.max_position_embeddings)
    needed = math.ceil(max(num_tokens, 1) / WINDOW_MULTIPLE) * WINDOW_MULTIPLE
    window = int(min(affordable, needed, longest)) // WINDOW_MULTIPLE * WINDOW_MULTIPLE
    return min(max(window, MIN_WINDOW), model.max_position_embeddings)
