"""The check that a person's own device gets: complete, and able to fail."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from app.checks.bench import record
from app.gpu import kernels
from app.gpu.device import Device
from app.studio.selfcheck import CASES, run_selfcheck
from tests.conftest import run
from tests.ops.helpers import SUBGROUPS, TUNINGS

PROBES = {"copy", "fma_peak"}
"""Shaders that only measure: app/plan uses their speed, nobody their results."""

WGSL = Path(__file__).resolve().parents[2] / "wgsl"


@pytest.mark.gpu
def test_this_device_passes(device: Device) -> None:
    done: list[tuple[int, int]] = []
    before = device.allocated_bytes
    results = run(run_selfcheck(device, lambda *progress: done.append(progress)))
    assert [result for result in results if not result.ok] == []
    assert all(0 <= result.max_abs_error < 1e-2 for result in results)
    assert {result.op for result in results} == set(CASES)
    assert done == [(index + 1, len(results)) for index in range(len(results))]
    assert device.allocated_bytes == before


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("shader", "old", "new", "op"),
    [
        ("swiglu", "exp(-max(", "exp(-0.999 * max(", "swiglu"),
        ("lora_gradient", "] += total", "] = total", "lora"),
        ("rope", "params.direction *", "1.0 *", "rope"),
        ("adamw", "update[0] == 0.0", "false", "adamw"),
    ],
)
def test_a_wrong_kernel_is_named(
    device: Device, shader: str, old: str, new: str, op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_wgsl = kernels.read_wgsl

    def read_wrong(name: str) -> str:
        text = read_wgsl(name)
        if name == shader:
            assert old in text
            text = text.replace(old, new)
        return text

    monkeypatch.setattr(kernels, "read_wgsl", read_wrong)
    results = run(run_selfcheck(device))
    assert {result.op for result in results if not result.ok} == {op}


def test_every_shader_is_checked() -> None:
    """Each on the devices that use it: some kernels are for GPUs, some for software adapters."""
    recorded = set()
    for tuning, check in product((TUNINGS | SUBGROUPS).values(), CASES.values()):
        for shape in check.shapes.values():
            bench = record(check.case, tuning, 1, **shape)
            for graph in (bench.setup, bench.graph):
                recorded |= {node.kernel.name for node in graph.nodes}
    assert recorded == {path.stem for path in WGSL.glob("*.wgsl")} - PROBES
