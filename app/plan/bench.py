"""The benchmark: one line a figure, shares of the peaks of the same run, on either host."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from app import __version__
from app.config import LOWRA_BITS, ModelConfig, Quantization
from app.errors import OutOfGpuMemoryError
from app.gpu.device import Device
from app.io.folder import ModelSource
from app.messages import say
from app.models.loader import Model, load_model
from app.models.random import named_shape, random_model
from app.plan.bench_curves import bench_curves
from app.plan.bench_kernels import bench_attention, bench_products
from app.plan.bench_memory import bench_memory_bound
from app.plan.bench_model import LORA, bench_generation, bench_profile, bench_training
from app.plan.bench_run import BenchRun, BenchStoppedError, Figure, Prepare, Stage
from app.plan.probe import measure_copy, measure_fma_peak, measure_gflops
from app.plan.timing import HAS_PROCESSOR_TIME
from app.plan.work import training_flops_per_token
from app.train.control import RunControl

__all__ = ["SHAPES", "BenchStoppedError", "Figure", "run_bench"]

SHAPES = ("smollm2-135m", "smollm2-360m", "tinyllama-1.1b")
"""What `--shapes all` stands for."""

PEAK_ROUNDS = 3

SOFTWARE_STEP_SECONDS = 5.0
"""Training tokens are chosen so that a step on a software adapter takes about this long."""

SOFTWARE_TOKENS = (16, 32, 64, 128, 256)
MAX_SOFTWARE_PARAMETERS = 5e8
"""On a software adapter only the operations of larger models are measured, on one layer."""

GPU_BATCH, GPU_WINDOW = 4, 256

OPERATION_SHAPE = {True: (1, 128), False: (GPU_BATCH, GPU_WINDOW)}
"""Windows and tokens of a window that single operations are measured at, software or not."""

DEVICE_FIGURES, OPERATION_FIGURES, MODEL_FIGURES = 3, 23, 7
"""How many figures there are of a device, of a layer with the head, of a whole model: for progress.
"""


@dataclass(frozen=True)
class Extras:
    """What is measured only where it is asked for."""

    profile: bool = False
    curves: bool = False


async def run_bench(
    device: Device,
    take: Callable[[Figure], None],
    *,
    source: ModelSource | None = None,
    quantization: Quantization = "none",
    bits: float = LOWRA_BITS,
    shapes: Sequence[str] = (),
    profile: bool = False,
    curves: bool = False,
    control: RunControl | None = None,
    on_stage: Stage = lambda text, fraction: None,
    prepare: Prepare | None = None,
) -> None:
    """Measure peaks, operations, a training step, generation; tell each figure as it is there.

    Args:
        device: Where to run.
        take: Called with {"bench": name, …}: rates are medians, with `_low` and `_high` for the
            slowest and the fastest run; share = rate / peak, the larger of the peaks measured
            right before and right after.
        source: A model file.
        quantization: What its float projections become while it is loaded.
        bits: Average bits of a weight, with lowra.
        shapes: Instead of a file, random weights of named shapes: see `app.models.random`. The
            first of SHAPES where neither is given.
        profile: Also time each kernel of a training step alone.
        curves: Also scaling curves, of the file or of the first shape.
        control: Stops the benchmark.
        on_stage: Told in words what is being measured, and which share of the figures is there.
        prepare: Called with each model before it is measured: tunes the device for it.

    Raises:
        BenchStoppedError: it was stopped; everything it held on the device is free.
        ConfigError: no such shape.
        FormatError: the file cannot be read.
    """
    extras = Extras(profile, curves)
    configs = [] if source else [named_shape(name) for name in shapes or SHAPES[:1]]
    run = BenchRun(device, take, on_stage, control or RunControl(), prepare=prepare)
    run.num_expected = DEVICE_FIGURES
    for config in configs:
        left_out = _is_too_large(run, config)
        run.num_expected += OPERATION_FIGURES + (1 if left_out else MODEL_FIGURES)
    if source is not None:
        run.num_expected += 1 + OPERATION_FIGURES + MODEL_FIGURES
    await _bench_device(run)
    if source is not None:
        run.stage(say("loading the model"))
        model = await _load(run, source, quantization, bits)
        try:
            await _bench_model(run, model, extras)
        finally:
            model.destroy()
    for index, config in enumerate(configs):
        run.model_name = (shapes or SHAPES)[index]
        await _bench_shape(run, config, extras if index == 0 else Extras(profile))


async def _bench_device(run: BenchRun) -> None:
    """Report who the device is, and its peaks: of a few measurements the fastest is the peak."""
    device = run.device
    run.report(
        "device",
        **asdict(device.info),
        host="native" if HAS_PROCESSOR_TIME else "browser",
        **({"processors": os.cpu_count()} if HAS_PROCESSOR_TIME else {}),
        features=sorted(device.features),
        limits=asdict(device.limits),
        app_version=__version__,
    )
    run.stage(say("multiply-adds in registers"))
    peaks = [(await run.meter.start()).gflops]
    peaks += [(await measure_fma_peak(device)).gflops for _ in range(PEAK_ROUNDS - 1)]
    run.report("fma_peak", gflops=round(max(peaks), 3), gflops_low=round(min(peaks), 3))
    run.stage(say("a large copy"))
    rates = [await measure_copy(device) for _ in range(PEAK_ROUNDS)]
    run.report(
        "copy",
        gbytes_per_second=round(max(rates), 3),
        gbytes_per_second_low=round(min(rates), 3),
    )
    run.gflops = await measure_gflops(device)


async def _load(
    run: BenchRun, source: ModelSource, quantization: Quantization, bits: float
) -> Model:
    started = time.perf_counter()
    model = await load_model(
        run.device, source, lambda done, total: run.check(), quantization, bits
    )
    await run.device.wait()
    seconds = time.perf_counter() - started
    run.model_name = model.base_name
    try:
        run.report(
            "model_load",
            ms=round(1e3 * seconds, 1),
            bytes=model.weights_bytes,
            quantization=model.quantization,
        )
    except BenchStoppedError:
        model.destroy()
        raise
    return model


async def _bench_shape(run: BenchRun, config: ModelConfig, extras: Extras) -> None:
    """Measure random weights of a shape: all of it, or the operations of one layer."""
    run.stage(say("making random weights"))
    whole: Model | None = None
    reason: str = say("too slow on a software adapter")
    if not _is_too_large(run, config):
        try:
            whole = random_model(run.device, config)
        except OutOfGpuMemoryError as error:
            reason = error.sentence
    model = whole or random_model(run.device, replace(config, num_hidden_layers=1))
    try:
        if whole is not None:
            await _bench_model(run, whole, extras)
        else:
            await _bench_operations(run, model, config.num_hidden_layers)
            _skip(run, reason, extras)
    finally:
        model.destroy()


def _is_too_large(run: BenchRun, config: ModelConfig) -> bool:
    return run.is_software and config.num_matmul_parameters > MAX_SOFTWARE_PARAMETERS


def _skip(run: BenchRun, reason: str, extras: Extras) -> None:
    what = ["train_step", "decode", "prefill", "adapter_switch", "adapter_swap"]
    what += ["profile"] * extras.profile + ["curve"] * extras.curves
    run.report("skipped", what=what, reason=reason)


async def _bench_operations(run: BenchRun, model: Model, num_layers: int) -> None:
    """Report the operations of a layer and of the head, at the same shapes on every run."""
    if run.prepare is not None:
        await run.prepare(run, model)
    num_sequences, longest = OPERATION_SHAPE[run.is_software]
    seq_len = min(longest, model.weights.rope_table.shape[0])
    rows = num_sequences * seq_len
    await bench_products(run, model, rows)
    await bench_attention(run, model, num_sequences, seq_len)
    await bench_memory_bound(run, model, rows, LORA, num_layers)


async def _bench_model(run: BenchRun, model: Model, extras: Extras) -> None:
    await _bench_operations(run, model, model.config.num_hidden_layers)
    num_sequences, seq_len = training_shape(model, run.gflops)
    try:
        await bench_training(run, model, num_sequences, seq_len)
        await bench_generation(run, model)
        if extras.profile:
            await bench_profile(run, model, num_sequences, seq_len)
    except OutOfGpuMemoryError as error:
        _skip(run, str(error), Extras(extras.profile))
    if extras.curves:
        await bench_curves(run, model)


def training_shape(model: Model, gflops: float) -> tuple[int, int]:
    """Return (windows, tokens of a window) of the measured step: 4 × 256 on a GPU.

    Args:
        model: Its context bounds the window.
        gflops: Rate of an INT4 product, by which a software adapter's window is chosen.
    """
    longest = model.weights.rope_table.shape[0]
    if not model.device.info.is_software:
        return GPU_BATCH, min(GPU_WINDOW, longest)
    rate = gflops * 1e9 / training_flops_per_token(model.config, SOFTWARE_TOKENS[0])
    affordable = [n for n in SOFTWARE_TOKENS if n <= rate * SOFTWARE_STEP_SECONDS and n <= longest]
    return 1, affordable[-1] if affordable else min(SOFTWARE_TOKENS[0], longest)
