"""`info` and `bench`: what the device is, and how fast."""

from __future__ import annotations

import argparse
import json

from app.cli.opening import open_device
from app.cli.output import Output
from app.errors import ConfigError
from app.io.folder import open_model_path
from app.plan.bench import SHAPES, run_bench
from app.plan.bench_table import TextTable
from app.plan.bench_tuning import BenchTuning
from app.plan.probe import collect_info
from app.plan.tuning_cache import FileStore


async def info(options: argparse.Namespace) -> None:
    """Tell what the device is and what it reaches."""
    output = Output(is_json=options.json)
    info = await collect_info(await open_device())
    output.result(info, json.dumps(info, indent=2))


async def bench(options: argparse.Namespace) -> None:
    """Measure kernels, training steps and answers, a figure a line."""
    output, table = Output(is_json=options.json), TextTable()
    if options.quantize != "none" and not options.model:
        raise ConfigError(
            f"--quantize {options.quantize} was given without a model to quantize: name its file "
            "or folder with --model; shapes have random INT4 weights"
        )
    device = await open_device()
    shapes = SHAPES if "all" in options.shapes else tuple(dict.fromkeys(options.shapes))

    def stage(text: str, fraction: float) -> None:
        if options.json:  # else the rows of the table tell it
            output.progress(f"{fraction:4.0%} {text}")

    await run_bench(
        device,
        lambda figure: output.result(figure, "\n".join(table.lines(figure))),
        source=open_model_path(options.model) if options.model else None,
        quantization=options.quantize,
        bits=options.quantize_bits,
        shapes=shapes,
        profile=options.profile,
        curves=options.curves,
        prepare=BenchTuning(FileStore(), options.tune, is_exhaustive=options.exhaustive),
        on_stage=stage,
    )
