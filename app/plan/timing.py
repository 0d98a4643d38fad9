"""Timing of recorded work by the wall clock, the same on both hosts."""

from __future__ import annotations

import math
import statistics
import sys
import time
import types
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.gpu.device import Device, Program
from app.gpu.graph import Graph, Tensor
from app.gpu.memory import Allocation, build_programs, plan_memory

SHORTEST_SECONDS = 0.01
"""Work shorter than this is recorded several times over; else submitting it would be timed."""

MAX_COPIES = 64
MIN_RUNS, MAX_RUNS = 3, 25

HAS_PROCESSOR_TIME = sys.platform != "emscripten"
"""Whether clocks of processor time tell what the device does; a browser's GPU is elsewhere."""

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """Seconds of one replay: the middle of several runs, and their extremes.

    Attributes:
        processor: Processor seconds of all threads of the process, the least of the runs. Where
            the adapter is software they are the work itself, whatever else the machine does.
    """

    seconds: float
    lowest: float
    highest: float
    processor: float

    @classmethod
    def of(cls, runs: Sequence[tuple[float, float]], copies: int = 1) -> Timing:
        """Summarise the (wall, processor) seconds of runs of some replays each."""
        wall = [seconds / copies for seconds, _ in runs]
        processor = min(seconds for _, seconds in runs) / copies
        return cls(statistics.median(wall), min(wall), max(wall), processor)

    def rates(self, work: float) -> tuple[float, float, float]:
        """Return work per second: of the median run, of the slowest, of the fastest."""
        return work / self.seconds, work / self.highest, work / self.lowest


async def time_once(device: Device, program: Program) -> tuple[float, float]:
    """Return wall and processor seconds from encoding a program until it has run.

    What the device has learnt about its speed stays as it was: one kernel says little of a step.
    """
    rate = device.flops_per_ms
    started, processor = time.perf_counter(), time.process_time()
    await device.run(program)
    await device.wait()
    times = time.perf_counter() - started, time.process_time() - processor
    device.flops_per_ms = rate
    return times


async def time_program(
    device: Device,
    program: Program,
    budget_seconds: float,
    copies: int = 1,
    *,
    is_warm: bool = False,
) -> Timing:
    """Run a program at least MIN_RUNS times, and on until the budget is spent.

    A first run is not counted: it pays for what drivers put off until first use.

    Args:
        device: Where to run.
        program: What to time.
        budget_seconds: Time to spend on the runs that count.
        copies: How many replays the program holds; the timing is of one.
        is_warm: It ran before, so that the first run counts too.
    """
    runs: list[tuple[float, float]] = []
    if not is_warm:
        await time_once(device, program)
    while len(runs) < MIN_RUNS or (
        sum(seconds for seconds, _ in runs) < budget_seconds and len(runs) < MAX_RUNS
    ):
        runs.append(await time_once(device, program))
    return Timing.of(runs, copies)


async def time_graph(
    device: Device,
    graph: Graph,
    *,
    budget_seconds: float = 0.2,
    inputs: Sequence[Tensor] = (),
    values: Sequence[tuple[Tensor, NDArray[Any]]] = (),
) -> Timing:
    """Allocate, warm up and time a graph; give its memory back.

    Args:
        device: Where to run.
        graph: What to time.
        budget_seconds: Time to spend on the runs that count.
        inputs: f32 tensors of the graph to fill with noise; all else starts as zeros.
        values: Tensors of the graph and what to write into them.
    """
    allocation = Allocation.create(device, plan_memory([graph]))
    try:
        for tensor in inputs:
            noise = np.random.default_rng(0).random(tensor.size, np.float32) - np.float32(0.5)
            device.write(allocation.buffer_of(tensor.storage), tensor.offset_bytes, noise)
        for tensor, data in values:
            device.write(allocation.buffer_of(tensor.storage), tensor.offset_bytes, data)
        program = (await build_programs(device, [graph], allocation))[0]
        await time_once(device, program)
        single, _ = await time_once(device, program)
        copies = max(1, min(math.ceil(SHORTEST_SECONDS / single), MAX_COPIES))
        if copies > 1:
            repeated = Graph(graph.label, graph.tuning, graph.nodes * copies)
            program = (await build_programs(device, [repeated], allocation))[0]
        return await time_program(device, program, budget_seconds, copies, is_warm=copies == 1)
    finally:
        allocation.destroy()


class HostClock:
    """Seconds for which the host works on something, the time it waits left out.

    On the native host it is the processor time of the thread. In a browser it is the time that
    Python, and the JavaScript it calls, run between two waits: what the GPU may have to wait for.

    """

    def __init__(self) -> None:
        self._counted = 0.0
        self._running_since: float | None = None

    @property
    def seconds(self) -> float:
        """So far, also when asked in the middle of the work."""
        running = 0.0 if self._running_since is None else _host_seconds() - self._running_since
        return self._counted + running

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine and count the time it takes of the host."""
        return await self._drive(work)

    @types.coroutine
    def _drive(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        answer: Any = None
        failure: BaseException | None = None
        while True:
            self._running_since = _host_seconds()
            try:
                waits_for = work.send(answer) if failure is None else work.throw(failure)
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                self._counted, self._running_since = self.seconds, None
            answer = failure = None
            try:
                answer = yield waits_for
            except BaseException as error:
                failure = error


def _host_seconds() -> float:
    return time.thread_time() if HAS_PROCESSOR_TIME else time.perf_counter()
