"""What a device is measured to do; no figure is asserted, only what must hold between them."""

from __future__ import annotations

import json

import pytest

from app.gpu.device import Device
from app.gpu.graph import Graph, persistent
from app.ops.peak import copy
from app.plan.probe import FmaPeak, PeakMeter, collect_info, measure_gflops, measure_peaks
from app.plan.timing import Timing, time_graph
from tests.conftest import run

pytestmark = pytest.mark.gpu


def test_peaks(device: Device) -> None:
    before = device.allocated_bytes
    peaks = run(measure_peaks(device))
    assert peaks.fma_gflops > 0
    assert peaks.copy_gbytes_per_second > 0
    assert device.allocated_bytes == before


def test_gflops_sets_the_speed_by_which_submits_are_cut(device: Device) -> None:
    device.flops_per_ms = 1.0
    gflops = run(measure_gflops(device))
    assert device.flops_per_ms == pytest.approx(gflops * 1e6)


def test_timing_leaves_the_speed_alone(device: Device) -> None:
    device.flops_per_ms = 12345.0
    graph = Graph("copies")
    for _ in range(20):
        copy(graph, persistent("x", (64,), "scratch"))
    timing = run(time_graph(device, graph, budget_seconds=0.01))
    assert device.flops_per_ms == 12345.0
    assert 0 < timing.lowest <= timing.seconds <= timing.highest


def test_timing_is_of_one_replay() -> None:
    timing = Timing.of([(4.0, 9.0), (8.0, 6.0), (2.0, 7.0)], copies=2)
    assert timing == Timing(seconds=2.0, lowest=1.0, highest=4.0, processor=3.0)
    assert timing.rates(8.0) == (4.0, 2.0, 8.0)


def test_the_meter_keeps_the_larger_peak(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([FmaPeak(5.0, 1.0), FmaPeak(3.0, 2.0), FmaPeak(4.0, 1.5)])

    async def measured(_: Device) -> FmaPeak:
        return next(peaks)

    monkeypatch.setattr("app.plan.probe.measure_fma_peak", measured)
    meter = PeakMeter(device)
    assert run(meter.start()) == FmaPeak(5.0, 1.0)
    assert run(meter.peak()) == FmaPeak(5.0, 2.0)
    assert run(meter.peak()) == FmaPeak(4.0, 2.0)


def test_info_is_json(device: Device) -> None:
    info = json.loads(json.dumps(run(collect_info(device))))
    assert info["adapter"]["name"] == device.info.name
    assert info["limits"]["max_buffer_bytes"] == device.limits.max_buffer_bytes
    assert info["features"] == sorted(device.features)
    assert set(info["features"]).isdisjoint(info["missing_features"])
    assert info["variants"] == device.tuning.describe()
    assert info["is_tuned"] is False
    assert info["memory"]["allocated_bytes"] == device.allocated_bytes
    assert info["memory"]["budget_bytes"] > 0
    assert info["memory"]["source"].endswith(".")
    assert set(info["peaks"]) == {
        "fma_gflops",
        "copy_gbytes_per_second",
        "int4_matmul_gflops",
        "dispatch_us",
    }
    assert all(value > 0 for value in info["peaks"].values())
