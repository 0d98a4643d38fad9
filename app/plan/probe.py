"""What a device is and what it can do, measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from app.gpu.budget import MemoryBudget
from app.gpu.device import Device
from app.gpu.features import DEVICE_FEATURES, LANGUAGE_FEATURES
from app.gpu.graph import Graph, persistent
from app.gpu.tuning import default_tuning
from app.ops.linear import linear, linear_backward
from app.ops.matrix import new_matrix
from app.ops.peak import CHAINS, copy, fma_peak
from app.plan.speed import Speed
from app.plan.timing import SHORTEST_SECONDS, time_graph

INVOCATIONS = {True: 1 << 14, False: 1 << 18}
"""Enough to fill a software adapter's cores, a GPU's units."""

COPY_BYTES = {True: 64 << 20, False: 256 << 20}
"""More than a cache holds: a software adapter, a GPU."""

TINY_DISPATCHES = 256
SPEED_COPY_BYTES = 16 << 20

PRODUCT_ROWS = {True: 32, False: 512}
PRODUCT_SHAPE = (1536, 576)
"""(out, in) of a typical product of SmolLM2-135M."""


@dataclass(frozen=True)
class Peaks:
    """The most a device was seen to do.

    Attributes:
        fma_gflops: f32 multiply-adds in registers, two operations each, 1e9 a second.
        copy_gbytes_per_second: Memory read plus written, 1e9 bytes a second.
    """

    fma_gflops: float
    copy_gbytes_per_second: float


@dataclass(frozen=True)
class FmaPeak:
    """f32 multiply-adds in registers, two operations each.

    Attributes:
        gflops: 1e9 operations a second, of the fastest run.
        gflops_per_processor: 1e9 operations a second of one processor's time; only means
            something where the adapter is software.
    """

    gflops: float
    gflops_per_processor: float

    def or_better(self, other: FmaPeak) -> FmaPeak:
        """Return the larger of both, figure by figure."""
        return FmaPeak(
            max(self.gflops, other.gflops),
            max(self.gflops_per_processor, other.gflops_per_processor),
        )


async def measure_peaks(device: Device) -> Peaks:
    """Measure multiply-adds and memory."""
    return Peaks((await measure_fma_peak(device)).gflops, await measure_copy(device))


async def measure_fma_peak(device: Device, budget_seconds: float = 0.1) -> FmaPeak:
    """Return the fastest run of `fma_peak`, whichever number of chains it had."""
    best = FmaPeak(0.0, 0.0)
    x = persistent("x", (INVOCATIONS[device.info.is_software], 4), "scratch")
    for chains in CHAINS:
        rounds = 4
        while True:
            graph = Graph("fma peak")
            fma_peak(graph, x, chains=chains, rounds=rounds)
            timing = await time_graph(device, graph, budget_seconds=budget_seconds / 2)
            work = graph.flops / 1e9
            best = best.or_better(FmaPeak(work / timing.lowest, work / max(timing.processor, 1e-6)))
            # Once a run is long, submitting it no longer counts: that is the last one.
            if timing.lowest >= SHORTEST_SECONDS / 2 or rounds >= 1 << 16:
                break
            rounds *= max(2, min(16, int(SHORTEST_SECONDS / timing.lowest)))
    return best


async def measure_copy(
    device: Device, size_bytes: float | None = None, budget_seconds: float = 0.1
) -> float:
    """Return GB/s of the fastest copy, reading and writing counted.

    Args:
        device: Where to run.
        size_bytes: To move in all, half of them read and half written; by default more than a
            cache holds. What an operation moves may fit one: a fair share compares with a copy
            of as many bytes.
        budget_seconds: Time to spend on the runs that count.
    """
    half = COPY_BYTES[device.info.is_software] if size_bytes is None else int(size_bytes / 2)
    limit = min(device.limits.max_binding_bytes, device.limits.max_buffer_bytes)
    size = max(min(half, limit) // 16 * 16, 16)
    graph = Graph("copy")
    copy(graph, persistent("x", (size // 4,), "scratch"))
    timing = await time_graph(device, graph, budget_seconds=budget_seconds)
    return 2.0 * size / timing.lowest / 1e9


async def measure_gflops(device: Device) -> float:
    """Return the GFLOP/s of an INT4 product, forward and backward, at SmolLM2-135M's shape.

    Takes a few tenths of a second. Defaults and estimates start from it, and the device's own
    idea of its speed, by which it cuts work into submits, is set to it.
    """
    graph = Graph("product", device.tuning)
    rows, (out_features, in_features) = PRODUCT_ROWS[device.info.is_software], PRODUCT_SHAPE
    x = persistent("x", (rows, in_features), "scratch")
    weight = new_matrix("weight", "int4", out_features, in_features)
    y = linear(graph, x, weight)
    linear_backward(graph, y, weight)
    timing = await time_graph(device, graph, budget_seconds=0.1, inputs=[x])
    gflops = graph.flops / timing.seconds / 1e9
    device.flops_per_ms = gflops * 1e6
    return gflops


async def measure_dispatch_seconds(device: Device) -> float:
    """Return the seconds of a launch that computes next to nothing, one of many in a submit."""
    graph = Graph("launches")
    values = persistent("x", (4,), "scratch")
    for _ in range(TINY_DISPATCHES):
        copy(graph, values)
    timing = await time_graph(device, graph, budget_seconds=0.0)
    return timing.seconds / TINY_DISPATCHES


async def measure_speed(device: Device) -> Speed:
    """Return what estimates start from; takes a few tenths of a second."""
    return Speed(
        await measure_gflops(device),
        device.info.is_software,
        await measure_dispatch_seconds(device),
        await measure_copy(device, SPEED_COPY_BYTES, budget_seconds=0.0),
    )


def describe_device(device: Device) -> dict[str, Any]:
    """Return adapter, limits, features, kernel variants and memory, ready for JSON.

    Nothing is measured. `missing_features` are those that the engine would use; `variants` are
    the priors where `is_tuned` is false. `memory` has `allocated_bytes`, what a run may take
    (`budget_bytes`, `buffer_bytes` of them in one buffer), whether that is assumed (`is_assumed`)
    and on what it stands (`source`, a sentence).
    """
    budget = MemoryBudget.of(device)
    return {
        "adapter": asdict(device.info),
        "features": sorted(device.features),
        "missing_features": sorted(
            {*DEVICE_FEATURES, *LANGUAGE_FEATURES}.difference(device.features)
        ),
        "limits": asdict(device.limits),
        "variants": device.tuning.describe(),
        "is_tuned": device.tuning != default_tuning(device.info),
        "memory": {
            "allocated_bytes": device.allocated_bytes,
            "budget_bytes": budget.memory_bytes,
            "buffer_bytes": budget.buffer_bytes,
            "is_assumed": budget.is_assumed,
            "source": budget.source,
        },
    }


async def measure_rates(device: Device) -> dict[str, float]:
    """Return what a device reaches, ready for JSON; takes a second or two.

    `fma_gflops` and `copy_gbytes_per_second` are its peaks (`Peaks`), `int4_matmul_gflops` a
    product of SmolLM2-135M's shape, `dispatch_us` a launch that computes next to nothing.
    """
    return {
        **asdict(await measure_peaks(device)),
        "int4_matmul_gflops": await measure_gflops(device),
        "dispatch_us": 1e6 * await measure_dispatch_seconds(device),
    }


async def collect_info(device: Device) -> dict[str, Any]:
    """Return what `describe_device` tells, and `peaks`: what `measure_rates` does."""
    return {**describe_device(device), "peaks": await measure_rates(device)}


class PeakMeter:
    """The FMA peak around a measurement, so that a share is fair on a machine with other work.

    Before anything is measured `start` is called; after each measurement `peak` gives the larger
    of the peaks on both sides of it.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._last = FmaPeak(0.0, 0.0)

    async def start(self) -> FmaPeak:
        """Measure the peak before the first figure."""
        self._last = await measure_fma_peak(self._device)
        return self._last

    async def peak(self) -> FmaPeak:
        """Measure the peak after a figure; return the larger of both sides."""
        before, self._last = self._last, await measure_fma_peak(self._device)
        return before.or_better(self._last)
