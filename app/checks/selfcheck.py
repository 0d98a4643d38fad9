"""Each operation, on the person's own device, against its numpy twin in float64.

A browser, a driver or a GPU may compute a kernel wrongly without any error: this finds it
out, in seconds, and names the operation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from app.checks.bench import Bench, record, run_bench
from app.checks.cases import CASES, use_of
from app.errors import DeviceLostError, GpuError
from app.gpu.device import Control, Device

SEED = 1

COMPILE_WORK = 8.0
"""Time of compiling a kernel over the time of running a case whose kernels are compiled; measured
in Chromium on a software adapter. Only the time left goes by it."""

LEAST_SHARE = 0.15
"""Of the work that has to be done before the time left is told."""


@dataclass(frozen=True)
class CheckResult:
    """How far an operation was from its twin at one shape.

    Attributes:
        ok: Every element of every result lies within its tolerance.
        result: Which result was worst: a tensor's name and the launch.
        error: |actual - expected| of the element that takes most of its tolerance; infinity
            where it is not finite.
        allowed: That element's tolerance; 0 where only equality will do.
        used_for: What cannot be trusted where the operation fails.
        problem: Why there is no result: it does not compile, or does not run.
        seconds: That it took, compiling included.
    """

    op: str
    case: str
    ok: bool
    result: str
    error: float
    allowed: float
    used_for: str
    problem: str
    seconds: float


@dataclass(frozen=True)
class CheckProgress:
    """What is checked now.

    Attributes:
        num_done: Cases that are done, of `num_cases`.
        op: The operation that is checked now; empty after the last.
        seconds_left: Going by the cases so far; None until there are enough of them.
        last: The result before, None at the beginning.
    """

    num_done: int
    num_cases: int
    op: str
    case: str
    seconds_left: float | None
    last: CheckResult | None


async def run_selfcheck(
    device: Device,
    on_progress: Callable[[CheckProgress], None] | None = None,
    *,
    is_quick: bool = False,
    control: Control | None = None,
) -> list[CheckResult]:
    """Check every operation with the workgroup shapes that this device gets.

    A case that cannot be compiled or run is a result that is not ok; the others go on.

    Args:
        device: Where to run.
        on_progress: Called before each case and after the last.
        is_quick: One case of each operation instead of all.
        control: Asked between cases whether to stop; the results so far are returned.

    Raises:
        DeviceLostError: the device is gone.
    """
    cases = [
        (op, name, record(check.case, device.tuning, SEED, **shape))
        for op, check in CASES.items()
        for name, shape in list(check.shapes.items())[: 1 if is_quick else None]
    ]
    works = _works([bench for _, _, bench in cases])
    results: list[CheckResult] = []
    started = time.perf_counter()

    def tell() -> None:
        done = len(results)
        share = sum(works[:done]) / sum(works)
        elapsed = time.perf_counter() - started
        left = elapsed * (1 - share) / share if share > LEAST_SHARE else None
        op, name = cases[done][:2] if done < len(cases) else ("", "")
        last = results[-1] if results else None
        if on_progress is not None:
            on_progress(CheckProgress(done, len(cases), op, name, left, last))

    for op, name, bench in cases:
        if control is not None and control.stopped:
            return results
        tell()
        results.append(await _check(device, op, name, bench))
    tell()
    return results


def _works(benches: list[Bench]) -> list[float]:
    """Return how much longer than running each case is, its kernels that are new included."""
    known: set[object] = set()
    works = []
    for bench in benches:
        kernels = {node.kernel for graph in (bench.setup, bench.graph) for node in graph.nodes}
        works.append(1.0 + COMPILE_WORK * len(kernels - known))
        known |= kernels
    return works


async def _check(device: Device, op: str, name: str, bench: Bench) -> CheckResult:
    began = time.perf_counter()

    def result(ok: bool, worst: str, error: float, allowed: float, why: str = "") -> CheckResult:
        seconds = time.perf_counter() - began
        return CheckResult(op, name, ok, worst, error, allowed, use_of(op), why, seconds)

    try:
        comparisons = await run_bench(device, bench)
    except DeviceLostError:
        raise
    except GpuError as error:
        return result(False, "", float("inf"), 0.0, str(error))
    found = [(comparison.name, *comparison.worst) for comparison in comparisons]
    worst = max(found, key=lambda each: _share(*each[1:]))
    return result(all(comparison.ok for comparison in comparisons), *worst)


def _share(error: float, allowed: float) -> float:
    """Return which share of its tolerance an error takes."""
    if error == 0:
        return 0.0
    return error / allowed if allowed else float("inf")
