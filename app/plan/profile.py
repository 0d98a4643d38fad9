"""Where the time of a recorded graph goes: its kernels, each timed alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from app.gpu.device import Device
from app.gpu.graph import Graph, Node
from app.gpu.memory import Allocation, build_programs
from app.plan.timing import HAS_PROCESSOR_TIME, time_program

RUN_SECONDS = 0.2


@dataclass(frozen=True)
class ProfileRow:
    """Dispatches of one kernel over one grid.

    Attributes:
        kernel: Name and what it was specialised by.
        shape: Of its last binding, which is what it writes in most kernels.
        dispatches: How many there are in the graph.
        seconds: Of all of them together, median of several runs.
        processor_seconds: Of all threads of the process: see `Timing`.
        flops: Of all of them together, as recorded.
    """

    kernel: str
    workgroups: tuple[int, int, int]
    shape: tuple[int, ...]
    dispatches: int
    seconds: float
    processor_seconds: float
    flops: float

    def figure(self, total_seconds: float) -> dict[str, Any]:
        """Return the row as a line of the benchmark."""
        figure = {
            "bench": "profile",
            "kernel": self.kernel,
            "workgroups": list(self.workgroups),
            "writes": list(self.shape),
            "dispatches": self.dispatches,
            "ms": round(1e3 * self.seconds, 3),
            "share_of_step": round(self.seconds / total_seconds, 4),
            "gflops": round(self.flops / self.seconds / 1e9, 3),
        }
        if HAS_PROCESSOR_TIME:
            figure["processor_ms"] = round(1e3 * self.processor_seconds, 3)
        return figure


async def profile_graph(
    device: Device, graph: Graph, allocation: Allocation, index: int = 0
) -> list[ProfileRow]:
    """Group a graph's dispatches by kernel and grid, time each group alone, slowest first.

    Each group reads what the buffers hold, so run the whole graph once before: attention's work
    follows the positions, which zeros would shorten. Results are not meaningful afterwards, and
    neither are the graph's uniforms: build its programs anew.

    Args:
        device: Where to run.
        graph: What to look into.
        allocation: Its buffers.
        index: Which of the allocation's graphs it is.
    """
    groups: dict[tuple[Any, ...], list[Node]] = {}
    for node in graph.nodes:
        key = (node.kernel, node.workgroups, node.bindings[-1].shape)
        groups.setdefault(key, []).append(node)
    own = replace(allocation, uniforms=[allocation.uniforms[index]])
    rows = []
    for (kernel, workgroups, shape), nodes in groups.items():
        program = (await build_programs(device, [Graph(kernel.label, graph.tuning, nodes)], own))[0]
        timing = await time_program(device, program, RUN_SECONDS)
        flops = sum(node.flops for node in nodes)
        rows.append(
            ProfileRow(
                kernel.label, workgroups, shape, len(nodes), timing.seconds, timing.processor, flops
            )
        )
    return sorted(rows, key=lambda row: -row.seconds)
