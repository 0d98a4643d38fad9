"""The check that a person's own device gets: complete, and able to fail."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from app.checks.bench import Comparison, record
from app.checks.cases import CASES, USES
from app.checks.selfcheck import CheckProgress, run_selfcheck
from app.gpu import kernels
from app.gpu.device import Device
from app.reference.tolerances import EXACT, Tolerance
from app.train.control import RunControl
from tests.conftest import run
from tests.ops.helpers import SUBGROUPS, TUNINGS

PROBES = {"copy", "fma_peak"}
"""Shaders that only measure: app/plan uses their speed, nobody their results."""

WGSL = Path(__file__).resolve().parents[2] / "wgsl"


@pytest.mark.gpu
def test_this_device_passes(device: Device) -> None:
    told: list[CheckProgress] = []
    before = device.allocated_bytes
    results = run(run_selfcheck(device, told.append))
    assert [result for result in results if not result.ok] == []
    assert all(0 <= result.error <= result.allowed for result in results)
    assert all(result.used_for and result.seconds > 0 for result in results)
    assert [(result.op, result.case) for result in results] == [
        (op, name) for op, check in CASES.items() for name in check.shapes
    ]
    assert [each.num_done for each in told] == list(range(len(results) + 1))
    assert {each.num_cases for each in told} == {len(results)}
    assert [each.last for each in told] == [None, *results]
    assert [(each.op, each.case) for each in told] == [
        *((result.op, result.case) for result in results),
        ("", ""),
    ]
    left = [each.seconds_left for each in told]
    assert left[0] is None
    assert left[-1] == 0
    assert all(seconds is not None and seconds > 0 for seconds in left[20:-1])
    assert device.allocated_bytes == before


@pytest.mark.gpu
def test_a_quick_check_has_one_case_of_each_operation_and_can_be_stopped(device: Device) -> None:
    results = run(run_selfcheck(device, is_quick=True))
    assert [result.op for result in results] == list(CASES)
    control = RunControl()

    def stop_in_the_third(progress: CheckProgress) -> None:
        if progress.num_done == 2:
            control.stop()

    results = run(run_selfcheck(device, stop_in_the_third, is_quick=True, control=control))
    assert len(results) == 3


def test_the_worst_element_is_the_one_that_takes_most_of_its_tolerance() -> None:
    actual, expected = np.array([[1.0, 100.5], [0.002, 7.0]]), np.array([[1.0, 100.0], [0.0, 7.0]])
    loose = Comparison("x", actual, expected, Tolerance(rtol=1e-2, atol=1e-3))
    assert loose.worst == (0.002, 0.001)
    assert not loose.ok
    exact = Comparison("x", actual, expected, EXACT)
    assert exact.worst == (0.5, 0.0)
    assert Comparison("x", expected, expected, EXACT).worst == (0.0, 0.0)
    actual[1, 1] = np.nan
    assert Comparison("x", actual, expected, Tolerance(1.0, 1.0)).worst[0] == np.inf


def test_uses_name_operations_that_there_are() -> None:
    named = [op for ops in USES.values() for op in ops]
    assert set(named) <= set(CASES)
    assert len(named) == len(set(named))


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
    wrong = [result for result in run(run_selfcheck(device)) if not result.ok]
    assert {result.op for result in wrong} == {op}
    assert any(result.error > result.allowed for result in wrong)


@pytest.mark.gpu
def test_a_kernel_that_does_not_compile_is_told_and_the_others_go_on(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_wgsl = kernels.read_wgsl

    def read_broken(name: str) -> str:
        text = read_wgsl(name)
        return text.replace("fn swiglu(", "fn swiglu(()") if name == "swiglu" else text

    monkeypatch.setattr(kernels, "read_wgsl", read_broken)
    results = run(run_selfcheck(device, is_quick=True))
    (wrong,) = [result for result in results if not result.ok]
    assert wrong.op == "swiglu"
    assert "swiglu" in wrong.problem
    assert len(results) == len(CASES)


def test_every_shader_is_checked() -> None:
    """Each on the devices that use it: some kernels are for GPUs, some for software adapters."""
    recorded = set()
    for tuning, check in product((TUNINGS | SUBGROUPS).values(), CASES.values()):
        for shape in check.shapes.values():
            bench = record(check.case, tuning, 1, **shape)
            for graph in (bench.setup, bench.graph):
                recorded |= {node.kernel.name for node in graph.nodes}
    assert recorded == {path.stem for path in WGSL.glob("*.wgsl")} - PROBES
