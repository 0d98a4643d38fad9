"""The engine's own work, written down for a page that runs it: kernels, buffers and dispatches.

Nothing is copied by hand: what `app.ops` and `app.train` record is what the page replays, so a
new kernel or another choice of `app.gpu.tuning` is measured without a change here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.gpu.adapter import AdapterInfo, Limits
from app.gpu.graph import Graph, Storage, Tensor, persistent
from app.gpu.tuning import Choice, Tuning, default_tuning
from app.nn.projection import Projection, project, project_backward
from app.ops.linear import linear, linear_backward
from app.ops.low_rank import LowRank
from app.ops.matrix import Format, Matrix, new_matrix
from app.ops.peak import fma_peak

SWIFTSHADER = AdapterInfo("SwiftShader", "google", "webgpu", is_software=True, subgroup_size=4)
"""Chromium's software adapter, as `app.gpu.browser` describes it."""

SWIFTSHADER_LIMITS = Limits(1 << 30, 1 << 30, 10, 32768, 256, 65535)

Direction = str
"""forward: Y = X·Wᵀ; backward: dX = dY·W."""

PEAK_INVOCATIONS, PEAK_ROUNDS = 1 << 14, 128


def write_down(graphs: Sequence[Graph], roles: Mapping[str, Tensor | Storage]) -> dict[str, Any]:
    """Return graphs as the page takes them, one program after the other.

    Args:
        graphs: Recorded work.
        roles: Names by which the page finds tensors.

    Returns:
        buffers: (label, bytes) of each storage. kernels: label, WGSL, entry point, constants.
        programs: of each graph, its dispatches: kernel, bindings (buffer, offset, bytes), params,
        workgroups. roles: buffer of each name. owners: storages, in the order of the buffers.
    """
    storages: dict[Storage, int] = {}
    kernels: dict[Any, int] = {}
    programs = []
    for graph in graphs:
        dispatches = []
        for node in graph.nodes:
            bindings = [
                [
                    storages.setdefault(tensor.storage, len(storages)),
                    tensor.offset_bytes,
                    tensor.size_bytes,
                ]
                for tensor in node.bindings
            ]
            dispatches.append(
                {
                    "kernel": kernels.setdefault(node.kernel, len(kernels)),
                    "bindings": bindings,
                    "params": list(node.params),
                    "workgroups": list(node.workgroups),
                }
            )
        programs.append(dispatches)
    named = {
        name: storages[getattr(tensor, "storage", tensor)]
        for name, tensor in roles.items()
        if getattr(tensor, "storage", tensor) in storages
    }
    sources = [kernel.source() for kernel in kernels]
    return {
        "buffers": [[storage.label, storage.size_bytes] for storage in storages],
        "kernels": [
            {
                "label": source.label,
                "code": source.code,
                "entryPoint": source.entry_point,
                "constants": dict(source.constants),
            }
            for source in sources
        ],
        "programs": programs,
        "roles": named,
        "owners": list(storages),
    }


def tuning_with(direction: Direction, choice: Choice | None) -> Tuning:
    """Return SwiftShader's tuning, with another choice for one direction."""
    tuning = default_tuning(SWIFTSHADER)
    if choice is None:
        return tuning
    field_name = "forward" if direction == "forward" else "backward"
    return Tuning(**{**vars(tuning), field_name: choice})


def record_product(
    direction: Direction, format: Format, rows: int, shape: tuple[int, int], choice: Choice | None
) -> dict[str, Any]:
    """Record one product of `rows` rows with W (N, K); choice None is the adapter's own."""
    graph = Graph(direction, tuning_with(direction, choice))
    matrix = new_matrix("W", format, *shape)
    width = matrix.num_columns if direction == "forward" else matrix.stride
    x = persistent("x", (rows, width), "scratch")
    y = (linear if direction == "forward" else linear_backward)(graph, x, matrix)
    return strip(write_down([graph], {**_matrix_roles(matrix), "x": x, "y": y}))


def record_projection(rows: int, shape: tuple[int, int], rank: int) -> dict[str, Any]:
    """Record a matrix with its adapter: y, then dx, dA and dB of a given dy."""
    tuning = default_tuning(SWIFTSHADER)
    graph, clear = Graph("projection", tuning), Graph("clear", tuning)
    matrix = new_matrix("W", "int4", *shape)
    x = persistent("x", (rows, shape[1]), "scratch")
    dy = persistent("dy", (rows, shape[0]), "scratch")
    parameters, gradients = (
        LowRank(
            rank,
            (),
            persistent(f"{name}A", (rank, shape[1]), "adapter"),
            persistent(f"{name}B", (shape[0], rank), "adapter"),
        )
        for name in ("", "d")
    )
    projection = Projection(matrix, parameters, gradients, 2.0)
    y, saved = project(graph, x, projection, label="y")
    dx = project_backward(graph, dy, projection, saved)
    assert dx is not None
    roles = {"x": x, "dy": dy, "y": y, "dx": dx}
    for name, pair in (("", parameters), ("d", gradients)):
        roles |= {f"{name}A": pair.lora_a, f"{name}B": pair.lora_b}
    return strip(write_down([graph, clear], {**_matrix_roles(matrix), **roles}))


def record_peaks() -> list[dict[str, Any]]:
    """Record `fma_peak` with two and with three chains; each with its FLOP."""
    peaks = []
    for chains in (2, 3):
        graph = Graph("fma peak")
        x = persistent("x", (PEAK_INVOCATIONS, 4), "scratch")
        y = fma_peak(graph, x, chains=chains, rounds=PEAK_ROUNDS)
        peaks.append({**strip(write_down([graph], {"x": x, "y": y})), "flops": graph.flops})
    return peaks


def strip(written: dict[str, Any]) -> dict[str, Any]:
    """Return what can be sent as JSON."""
    return {name: value for name, value in written.items() if name != "owners"}


def _matrix_roles(matrix: Matrix) -> dict[str, Tensor]:
    roles = {"words": matrix.words}
    if matrix.scales is not matrix.words:
        roles["scales"] = matrix.scales
    return roles
