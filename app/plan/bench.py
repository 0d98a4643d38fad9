"""The benchmark: one line a figure, shares of the FMA peak of the same run."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from app.gpu.device import Device
from app.io.source import ByteSource
from app.models.loader import Model, load_model
from app.models.random import named_shape, random_model
from app.plan.bench_kernels import Figure, attention_figures, product_figures
from app.plan.bench_model import generation_figures, profile_figures, train_figure
from app.plan.defaults import training_flops_per_token
from app.plan.probe import PeakMeter, measure_copy, measure_gflops

DEFAULT_SHAPE = "smollm2-135m"

SOFTWARE_STEP_SECONDS = 5.0
"""Training tokens are chosen so that a step on a software adapter takes about this long."""

SOFTWARE_TOKENS = (64, 128, 256)
GPU_BATCH, GPU_WINDOW = 4, 256
PROMPT_TOKENS = {True: 32, False: 256}


async def run_bench(
    device: Device,
    *,
    source: ByteSource | None = None,
    shapes: str | None = None,
    profile: bool = False,
) -> AsyncIterator[Figure]:
    """Measure kernels, a training step and generation.

    Args:
        device: Where to run.
        source: A model file.
        shapes: Instead of a file, random weights of a named shape: see `app.models.random`.
        profile: Also time each kernel of a training step alone.

    Yields:
        {"bench": name, …}: rates are medians, with `_low` and `_high` for the slowest and the
        fastest run; share = rate / peak_gflops, the larger of the FMA peaks measured right
        before and right after.

    Raises:
        ConfigError: no such shape.
        FormatError: the file cannot be read.
    """
    meter = PeakMeter(device)
    yield {"bench": "fma_peak", "gflops": round((await meter.start()).gflops, 3)}
    yield {"bench": "copy", "gbytes_per_second": round(await measure_copy(device), 3)}
    gflops = await measure_gflops(device)
    started = time.perf_counter()
    if source is not None:
        model = await load_model(device, source, lambda done, total: None)
        await device.wait()
        seconds = time.perf_counter() - started
        yield {"bench": "model_load", "ms": round(1e3 * seconds, 1), "bytes": model.weights_bytes}
    else:
        model = random_model(device, named_shape(shapes or DEFAULT_SHAPE))
    try:
        async for figure in model_figures(model, meter, gflops, profile=profile):
            yield figure
    finally:
        model.destroy()


async def model_figures(
    model: Model, meter: PeakMeter, gflops: float, *, profile: bool = False
) -> AsyncIterator[Figure]:
    """Yield all figures of a loaded model.

    Args:
        model: What to measure.
        meter: Started.
        gflops: Rate of an INT4 product, by which a software adapter's share of work is chosen.
        profile: Also time each kernel of a training step alone.
    """
    is_software = model.device.info.is_software
    num_sequences, seq_len = training_shape(model, gflops)
    async for figure in product_figures(model, meter, num_sequences * seq_len):
        yield figure
    async for figure in attention_figures(model, meter, num_sequences, seq_len):
        yield figure
    yield await train_figure(model, meter, num_sequences, seq_len)
    async for figure in generation_figures(model, PROMPT_TOKENS[is_software]):
        yield figure
    if profile:
        async for figure in profile_figures(model, num_sequences, seq_len):
            yield figure


def training_shape(model: Model, gflops: float) -> tuple[int, int]:
    """Return (windows, tokens of a window) of the measured step: 4 × 256 on a GPU."""
    longest = model.weights.rope_table.shape[0]
    if not model.device.info.is_software:
        return GPU_BATCH, min(GPU_WINDOW, longest)
    rate = gflops * 1e9 / training_flops_per_token(model.config, SOFTWARE_TOKENS[0])
    affordable = [n for n in SOFTWARE_TOKENS if n <= rate * SOFTWARE_STEP_SECONDS and n <= longest]
    return 1, affordable[-1] if affordable else min(SOFTWARE_TOKENS[0], longest)
