"""Find the fastest right candidate of one operation class.

Every candidate is first compared with the numpy twin at a ragged shape: a wrong kernel is excluded,
however fast. Those that pass are timed by successive halving: all of them briefly, then the better
half for twice as long, until two are left. A candidate that takes twice as long as the best is
dropped at once.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.checks.bench import record, run_bench
from app.errors import DeviceLostError, GpuError, ShapeError
from app.gpu.device import Device
from app.gpu.graph import Graph
from app.gpu.memory import Allocation, build_programs, plan_memory
from app.gpu.tuning import Tuning
from app.plan.timing import time_once
from app.plan.tuning_report import OperationReport
from app.plan.tuning_space import Candidate, Operation

RUN_SECONDS = {True: (0.02, 0.2), False: (0.004, 0.02)}
"""Shortest and longest run that is timed: shorter ones are repeated, longer ones made smaller."""

MAX_COPIES = 64
LEAST_SCALE = 1 / 64
CLEARLY_SLOWER = 2.0
OVERHEAD_SECONDS = 0.002
"""What launching a single run may add to it."""

WORTH_CHANGING = 0.97
"""The prior stays unless another takes at most this share of its time: less is noise."""

COMPILED_TOGETHER = 4
SEED = 1


class Stand(Protocol):
    """Where candidates are tried; tests bring one without a GPU."""

    async def compile(self, operation: Operation, tunings: Sequence[Tuning]) -> None:
        """Prepare several candidates at once, where the host can; failures come out later."""
        ...

    async def check(self, operation: Operation, tuning: Tuning) -> str:
        """Return how a candidate's results are wrong, or nothing."""
        ...

    async def measure(
        self,
        operation: Operation,
        tuning: Tuning,
        pace: Pace,
        runs: int,
        limit_seconds: float = math.inf,
    ) -> list[float]:
        """Return the seconds of some runs, or of a single one if that exceeds the limit."""
        ...

    async def calm(self) -> None:
        """Return when nothing of a failed candidate is under way or still to be reported."""
        ...


@dataclass(frozen=True)
class Pace:
    """How the work of a class is brought to a length that can be timed.

    Attributes:
        scale: At most 1: how much of the work is done.
        copies: How often a run repeats it.
    """

    scale: float = 1.0
    copies: int = 1


class DeviceStand:
    """Tries candidates on a device; gives all memory back after each."""

    def __init__(self, device: Device) -> None:
        self._device = device

    async def compile(self, operation: Operation, tunings: Sequence[Tuning]) -> None:
        """Compile what checking and timing need, all at once where the host can."""
        graphs: list[Graph] = []
        for tuning in tunings:
            for check in operation.checks:
                bench = record(check.case, tuning, SEED, **check.shape)
                graphs += [bench.setup, bench.graph]
            graphs.append(operation.record(tuning, LEAST_SCALE).graph)
        kernels = dict.fromkeys(node.kernel for graph in graphs for node in graph.nodes)
        await self._device.compile([kernel.source() for kernel in kernels])

    async def check(self, operation: Operation, tuning: Tuning) -> str:
        """Return how a candidate differs from the numpy twin beyond its tolerance."""
        for check in operation.checks:
            bench = record(check.case, tuning, SEED, **check.shape)
            for comparison in await run_bench(self._device, bench):
                if not comparison.ok:
                    return f"{comparison.name} is off by {comparison.max_abs_error:.2g}"
        return ""

    async def measure(
        self,
        operation: Operation,
        tuning: Tuning,
        pace: Pace,
        runs: int,
        limit_seconds: float = math.inf,
    ) -> list[float]:
        """Return wall seconds of one repetition, of each run."""
        work = operation.record(tuning, pace.scale)
        device, graph = self._device, work.graph
        plan = plan_memory([graph])
        allocation = Allocation.create(device, plan)
        try:
            for tensor, values in work.inputs:
                if tensor.storage in plan.owned:  # else nothing that is timed reads it
                    device.write(tensor.storage.buffer, tensor.offset_bytes, values)
            program = (await build_programs(device, [graph], allocation))[0]
            await time_once(device, program)  # pays for what drivers put off until first use
            if pace.copies > 1 or math.isfinite(limit_seconds):
                single, _ = await time_once(device, program)
                if single > limit_seconds:
                    return [single]
            if pace.copies > 1:
                repeated = Graph(graph.label, tuning, graph.nodes * pace.copies)
                program = (await build_programs(device, [repeated], allocation))[0]
            return [(await time_once(device, program))[0] / pace.copies for _ in range(runs)]
        finally:
            allocation.destroy()

    async def calm(self) -> None:
        """Wait, and drop what the failed candidate left to be told: the next is not to blame."""
        try:
            await self._device.wait()
        except DeviceLostError:
            raise
        except GpuError:
            pass


@dataclass(eq=False)
class Race:
    """Finds the fastest right candidate of one operation class.

    Attributes:
        tuning: What all other classes use meanwhile.
        run_seconds: Shortest and longest run.
        is_over: Whether to stop: between candidates, as soon as it says so.
    """

    operation: Operation
    tuning: Tuning
    stand: Stand
    run_seconds: tuple[float, float]
    is_over: Callable[[], bool]
    times: dict[Candidate, list[float]] = field(default_factory=dict)
    excluded: dict[Candidate, str] = field(default_factory=dict)
    pace: Pace | None = None

    @property
    def prior(self) -> Candidate:
        """What is used unless another is faster."""
        return self.operation.candidates[0]

    def seconds(self, candidate: Candidate) -> float:
        """Return the median of a candidate's runs."""
        return statistics.median(self.times[candidate])

    @property
    def ranking(self) -> list[Candidate]:
        """Candidates that were timed, the fastest first."""
        return sorted(self.times, key=self.seconds)

    async def run(self) -> Candidate:
        """Check and time all candidates, then the better ones again; return the pick."""
        await self.try_all()
        runs, rivals = 2, self.ranking
        while len(rivals) > 1 and not self.is_over():
            limit = CLEARLY_SLOWER * self.seconds(rivals[0])
            rivals = [rival for rival in rivals if self.seconds(rival) <= limit]
            rivals = rivals[: max(2, math.ceil(len(rivals) / 2))]
            for rival in rivals:
                if len(rivals) > 1 and not self.is_over():
                    await self.time_again(rival, runs)
            if len(rivals) == 2:
                break
            rivals.sort(key=self.seconds)
            runs *= 2
        return self.pick

    @property
    def pick(self) -> Candidate:
        """The fastest candidate; the prior where nothing is faster by more than noise."""
        if not self.times:
            return self.prior
        fastest = self.ranking[0]
        if self.prior not in self.times:
            return fastest
        is_worth_it = self.seconds(fastest) <= WORTH_CHANGING * self.seconds(self.prior)
        return fastest if is_worth_it else self.prior

    async def try_all(self) -> None:
        """Check every candidate and time it once, until it is over."""
        candidates = self.operation.candidates
        for index, candidate in enumerate(candidates):
            if self.is_over():
                return
            if index % COMPILED_TOGETHER == 0:
                group = candidates[index : index + COMPILED_TOGETHER]
                await self._survive(None, self._compile(group))
            await self._survive(candidate, self._try(candidate))

    async def time_again(self, candidate: Candidate, runs: int) -> None:
        """Add runs to a candidate's times."""
        await self._survive(candidate, self._time(candidate, runs))

    async def _survive(self, candidate: Candidate | None, attempt: Awaitable[None]) -> None:
        """Exclude a candidate that fails; only a lost device ends the race."""
        try:
            await attempt
        except DeviceLostError:
            raise
        except (GpuError, ShapeError) as error:
            if candidate is not None:
                self.excluded[candidate] = str(error)
                self.times.pop(candidate, None)
            await self.stand.calm()

    async def _compile(self, group: Sequence[Candidate]) -> None:
        tunings = [candidate.apply(self.tuning) for candidate in group]
        await self.stand.compile(self.operation, tunings)

    async def _try(self, candidate: Candidate) -> None:
        wrong = await self.stand.check(self.operation, candidate.apply(self.tuning))
        if wrong:
            self.excluded[candidate] = wrong
        else:
            await self._time(candidate, 1)

    async def _time(self, candidate: Candidate, runs: int) -> None:
        tuning = candidate.apply(self.tuning)
        if self.pace is None:
            self.pace = await self._find_pace(tuning)
        limit = math.inf
        if self.times:
            limit = 2 * CLEARLY_SLOWER * self.seconds(self.ranking[0]) + OVERHEAD_SECONDS
        seconds = await self.stand.measure(self.operation, tuning, self.pace, runs, limit)
        self.times.setdefault(candidate, []).extend(seconds)

    async def _find_pace(self, tuning: Tuning) -> Pace:
        """Return the pace at which a run is neither too short nor too long."""
        shortest, longest = self.run_seconds
        pace = Pace()
        (single,) = await self.stand.measure(self.operation, tuning, pace, 1)
        if single > longest:
            pace = Pace(max(LEAST_SCALE, longest / single))
            (single,) = await self.stand.measure(self.operation, tuning, pace, 1)
        copies = math.ceil(shortest / max(single, 1e-9))
        return Pace(pace.scale, max(1, min(copies, MAX_COPIES)))

    def report(self, started: float) -> OperationReport:
        """Return what was found, by the candidates' labels."""
        tried = {**self.times, **self.excluded}
        return OperationReport(
            operation=self.operation.name,
            pick=self.pick.label,
            prior=self.prior.label,
            times={candidate.label: self.seconds(candidate) for candidate in self.ranking},
            excluded={candidate.label: reason for candidate, reason in self.excluded.items()},
            skipped=tuple(c.label for c in self.operation.candidates if c not in tried),
            seconds=time.perf_counter() - started,
        )
