"""Scaling curves: how the time of a training step grows with one setting at a time."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace

from app.config import LoraConfig
from app.errors import OutOfGpuMemoryError
from app.messages import say
from app.models.loader import Model
from app.plan.bench_model import time_training
from app.plan.bench_run import BenchRun
from app.plan.work import training_flops_per_token

POINT_SECONDS = 1.0
"""On a software adapter the usual step of a curve takes about this long."""

SOFTWARE_LAYERS = 4
"""There the curves but one are of so many layers: what a layer costs, the last curve tells."""

CURVE_STEPS = {True: 3, False: 5}

AXES = ("tokens", "window", "rank", "layers")


@dataclass(frozen=True)
class Point:
    """One training step to time: the usual one of the device, or one setting changed."""

    axis: str
    value: int
    num_sequences: int
    seq_len: int
    rank: int
    num_layers: int


def curve_points(model: Model, *, is_software: bool, gflops: float) -> Iterator[Point]:
    """Yield the points of all curves.

    tokens: windows of one length, more and more of them; window: the same number of tokens in
    longer and longer windows; rank; layers: the first so many of the model.

    Args:
        model: Its context and its layers bound the points.
        is_software: Short steps of a few layers, else a GPU's of all.
        gflops: Rate of an INT4 product, by which a software adapter's tokens are chosen.
    """
    context, whole = model.weights.rope_table.shape[0], model.config.num_hidden_layers
    layers = min(SOFTWARE_LAYERS, whole) if is_software else whole
    tokens, window = 1024, 256
    if is_software:
        few = replace(model.config, num_hidden_layers=layers)
        affordable = POINT_SECONDS * gflops * 1e9 / training_flops_per_token(few, 64)
        tokens = max([16, *(n for n in (32, 64, 128, 256) if n <= affordable)])
        window = tokens // 4
    window = min(window, context)
    batch = max(1, tokens // window)
    usual = Point("", 0, batch, window, 4, layers)
    for count in (1, 2, 4, 8):
        changed = count if not is_software else max(1, batch * count // 4)
        yield replace(usual, axis="tokens", value=changed * window, num_sequences=changed)
    for length in (tokens // 8, tokens // 4, tokens // 2, tokens):
        if 2 <= length <= context:
            count = max(1, tokens // length)
            yield replace(usual, axis="window", value=length, num_sequences=count, seq_len=length)
    for rank in (4, 8, 16) if is_software else (4, 8, 16, 32):
        yield replace(usual, axis="rank", value=rank, rank=rank)
    for count in (1, 2, 4, 8) if is_software else (1, 2, 4, 8, 16, whole):
        if count <= whole:
            yield replace(usual, axis="layers", value=count, num_layers=count)


async def bench_curves(run: BenchRun, model: Model) -> None:
    """Report {"bench": "curve", "axis": "rank", "value": 8, "ms": …} for each point.

    A point that does not fit the device's memory is left out, with a line saying so.
    """
    points = list(curve_points(model, is_software=run.is_software, gflops=run.gflops))
    run.num_expected += len(points)
    for point in points:
        run.stage(say("a step with {axis} {value}", axis=point.axis, value=point.value))
        try:
            await _bench_point(run, model, point)
        except OutOfGpuMemoryError as error:
            what = [f"curve {point.axis} {point.value}"]
            run.report("skipped", what=what, reason=error.sentence)


async def _bench_point(run: BenchRun, model: Model, point: Point) -> None:
    config = replace(model.config, num_hidden_layers=point.num_layers)
    weights = replace(model.weights, layers=model.weights.layers[: point.num_layers])
    part = replace(model, config=config, weights=weights)
    times = await time_training(
        run,
        part,
        LoraConfig(rank=point.rank),
        point.num_sequences,
        point.seq_len,
        CURVE_STEPS[run.is_software],
    )
    seconds = statistics.median(times.seconds)
    run.report(
        "curve",
        axis=point.axis,
        value=point.value,
        ms=round(1e3 * seconds, 2),
        ms_low=round(1e3 * min(times.seconds), 2),
        ms_high=round(1e3 * max(times.seconds), 2),
        shape=[point.num_sequences, point.seq_len],
        rank=point.rank,
        layers=point.num_layers,
        dispatches=times.dispatches,
        bytes=times.planned_bytes,
    )
