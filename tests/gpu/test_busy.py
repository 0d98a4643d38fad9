"""How busy the GPU is: the share from known spans, and on a device, where it may only be right."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from app.gpu import busy
from app.gpu.busy import BusyMeter
from app.gpu.device import Binding, Device, Dispatch
from app.gpu.features import TIMESTAMPS
from app.gpu.kernels import KernelSource
from app.gpu.pacing import PacedProgram
from tests.conftest import run

SPIN = """
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64) fn spin(@builtin(global_invocation_id) id: vec3u) {
  var x = y[id.x];
  for (var i = 0u; i < 20000u; i++) { x = x * 1.0001 + 0.5; }
  y[id.x] = x;
}
"""


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every reading be due."""
    monkeypatch.setattr(busy, "MIN_SECONDS", 0.0)


def programs() -> tuple[PacedProgram, PacedProgram]:
    return PacedProgram([], 1.0), PacedProgram([], 1.0)


def made(program: PacedProgram, *spans: tuple[float, float]) -> None:
    for begin, end in spans:
        program.num_submits += 1
        program.spans.append((program.num_submits, begin, end))


@pytest.mark.usefixtures("at_once")
def test_share_is_the_union_of_all_submits_over_the_time_from_first_to_last() -> None:
    forward, update = programs()
    meter = BusyMeter([forward, update])
    assert forward.is_timed
    assert meter.read() is None
    made(forward, (100, 130), (140, 150))
    made(update, (125, 140), (170, 200))  # overlaps, then a gap of 20
    assert meter.read() == pytest.approx(80 / 100)
    assert meter.read() is None
    made(forward, (220, 240))  # the gap since the last one counts too
    assert meter.read() == pytest.approx(0.5)


@pytest.mark.usefixtures("at_once")
def test_after_a_reset_neither_late_answers_nor_the_gap_count() -> None:
    forward, update = programs()
    meter = BusyMeter([forward, update])
    made(forward, (0, 10))
    forward.num_submits += 1  # submitted before the pause, its answer comes after it
    meter.reset()
    forward.spans.append((2, 10, 20))
    made(forward, (5000, 5030), (5040, 5050))
    assert meter.read() == pytest.approx(0.8)


def test_a_reading_takes_its_time() -> None:
    forward, _ = programs()
    meter = BusyMeter([forward])
    made(forward, (0, 10))
    assert meter.read() is None


@pytest.mark.gpu
@pytest.mark.usefixtures("at_once")
def test_a_gpu_that_waits_for_the_host_is_less_busy(device: Device) -> None:
    if TIMESTAMPS not in device.features:
        pytest.skip("the device tells no times")
    size_bytes = 4 * 64 * 256
    buffer = device.create_buffer(size_bytes, "y")

    async def shares() -> tuple[float, float]:
        kernel = KernelSource("spin", SPIN, "spin")
        (pipeline,) = await device.compile([kernel])
        binding = Binding(buffer, 0, size_bytes)
        program = device.create_program(
            [Dispatch("spin", pipeline, (binding,), (256, 1, 1), 1e9) for _ in range(4)]
        )
        await device.run(program)
        await device.wait()
        found = []
        for pause in (0.0, 0.1):
            meter = BusyMeter([program])
            for _ in range(6):
                await device.run(program)
                await device.wait()
                await asyncio.sleep(pause)
            share = meter.read()
            assert share is not None
            found.append(share)
        return found[0], found[1]

    steady, waiting = run(shares())
    device.destroy_buffer(buffer)
    assert 0 < waiting < steady <= 1
    assert np.isfinite(steady)
