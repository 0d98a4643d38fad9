"""The native host: buffers, compile errors, replay, stop and pause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from app.errors import GpuError, OutOfGpuMemoryError
from app.gpu.device import Binding, Device, Dispatch, Program
from app.gpu.graph import Graph, persistent
from app.gpu.kernels import KernelSource
from app.gpu.memory import Allocation, build_programs, plan_memory
from app.ops.cross_entropy import accumulate_loss
from tests.conftest import run

pytestmark = pytest.mark.gpu

COPY = """
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn copy() { y[0] = x[0]; }
"""


def test_says_who_it_is(device: Device) -> None:
    assert device.info.name
    assert device.info.backend in ("Vulkan", "Metal", "D3D12")
    assert device.limits.max_storage_buffers >= 8
    assert device.limits.max_workgroups >= 65535


def test_buffers_start_zeroed_and_are_counted(device: Device) -> None:
    before = device.allocated_bytes
    buffer = device.create_buffer(512, "b")
    assert device.allocated_bytes == before + 512
    assert run(device.read(buffer, 0, 512)) == bytes(512)
    device.destroy_buffer(buffer)
    assert device.allocated_bytes == before


def test_writes_are_padded_to_words(device: Device) -> None:
    buffer = device.create_buffer(64, "b")
    device.write(buffer, 0, b"\xff" * 64)
    device.write(buffer, 8, b"abcde")
    device.write(buffer, 16, np.arange(3, dtype=np.float32))
    device.write(buffer, 28, memoryview(b"12"))
    expected = b"\xff" * 8 + b"abcde\0\0\0" + np.arange(3, dtype=np.float32).tobytes() + b"12\0\0"
    assert run(device.read(buffer, 0, 36)) == expected + b"\xff" * 4
    assert run(device.read(buffer, 8, 8)) == b"abcde\0\0\0"
    device.destroy_buffer(buffer)


def test_a_staged_copy_holds_what_was_there_then(device: Device) -> None:
    buffer = device.create_buffer(4, "b")
    device.write(buffer, 0, b"then")
    staged = device.stage(buffer, 0, 4)
    device.write(buffer, 0, b"now.")
    assert run(staged.result()) == b"then"
    device.destroy_buffer(buffer)


def test_sizes_out_of_range_are_refused(device: Device) -> None:
    before = device.allocated_bytes
    size = device.limits.max_buffer_bytes + 4
    with pytest.raises(OutOfGpuMemoryError, match=f"huge needs {size} bytes but .* at most"):
        device.create_buffer(size, "huge")
    assert device.allocated_bytes == before
    buffer = device.create_buffer(256, "small")
    with pytest.raises(GpuError, match="small"):
        run(device.read(buffer, 128, 256))
    with pytest.raises(GpuError, match=r"write to small: bytes 252 to 260 .* its 256 bytes"):
        device.write(buffer, 252, bytes(8))
    device.write(buffer, 256, b"")
    assert run(device.read(buffer, 0, 256)) == bytes(256)
    device.destroy_buffer(buffer)


def test_a_compile_error_names_the_kernel(device: Device) -> None:
    broken = KernelSource("broken(LANES=4)", "fn nonsense( {", "nonsense")
    with pytest.raises(GpuError, match=r"kernel broken\(LANES=4\): "):
        run(device.compile([broken]))
    elsewhere = KernelSource("elsewhere", COPY, "paste")
    with pytest.raises(GpuError, match="kernel elsewhere: "):
        run(device.compile([elsewhere]))


def test_kernels_are_compiled_once(device: Device) -> None:
    source = KernelSource("copy", COPY, "copy")
    seen: list[tuple[int, int]] = []
    first, second = run(device.compile([source, source], lambda *done: seen.append(done)))
    assert first is second
    assert run(device.compile([source])) == [first]
    assert seen == [(1, 2), (2, 2)]


def test_a_bad_binding_names_the_kernel(device: Device) -> None:
    (pipeline,) = run(device.compile([KernelSource("copy", COPY, "copy")]))
    buffer = device.create_buffer(256, "b")
    whole = Binding(buffer, 0, 256)
    dispatch = Dispatch("copy", pipeline, (whole,), (1, 1, 1), 0.0)
    with pytest.raises(GpuError, match="copy: "):
        device.create_program([dispatch])
    device.destroy_buffer(buffer)


class Wish:
    """A control that stops, or pauses, after some polls."""

    def __init__(self, stop_after: int, pauses: int = 0) -> None:
        self.polls, self.stop_after, self.pauses = 0, stop_after, pauses

    @property
    def stopped(self) -> bool:
        self.polls += 1
        return self.polls > self.stop_after

    async def wait_while_paused(self) -> None:
        while self.pauses:
            self.pauses -= 1
            await asyncio.sleep(0)


@asynccontextmanager
async def counting_program(
    device: Device, num_dispatches: int
) -> AsyncIterator[tuple[Program, object]]:
    """A program that adds one to a number in each dispatch."""
    graph = Graph("count")
    losses, total = persistent("losses", (1,), "scratch"), persistent("total", (1,), "scratch")
    for _ in range(num_dispatches):
        accumulate_loss(graph, losses, total)
    allocation = Allocation.create(device, plan_memory([graph]))
    device.write(losses.storage.buffer, 0, np.ones(1, np.float32))
    (program,) = await build_programs(device, [graph], allocation)
    yield program, total.storage.buffer
    allocation.destroy()


async def count(device: Device, buffer: object) -> float:
    return float(np.frombuffer(await device.read(buffer, 0, 4), np.float32)[0])


@pytest.mark.parametrize("shortest_ms", [0.0, 1e9])
def test_only_a_program_long_enough_tells_the_rate(
    device: Device, shortest_ms: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.gpu.pacing.MIN_TELLING_MS", shortest_ms)
    monkeypatch.setattr(device, "flops_per_ms", 12345.0)

    async def body() -> None:
        async with counting_program(device, 40) as (program, _):
            await device.run(program)
            await device.wait()
            assert device.flops_per_ms == 12345.0  # learnt from when it runs again
            await device.run(program)
            assert (device.flops_per_ms == 12345.0) == (shortest_ms > 0)

    run(body())


def test_replays_in_order_and_again(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "flops_per_ms", device.flops_per_ms)  # put back afterwards

    async def body() -> None:
        async with counting_program(device, 40) as (program, total):
            assert program.num_dispatches == 40
            assert program.flops == 40.0
            assert await device.run(program)
            assert await device.run(program, Wish(stop_after=1000, pauses=3))
            assert await count(device, total) == 80.0

    run(body())


def test_stops_between_submits(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "flops_per_ms", 1 / 80)  # one dispatch a submit

    async def body() -> None:
        async with counting_program(device, 10) as (program, total):
            assert not await device.run(program, Wish(stop_after=4))
            assert await count(device, total) == 4.0
            assert not await device.run(program, Wish(stop_after=0))
            assert await count(device, total) == 4.0

    run(body())


def test_run_does_not_wait_for_the_gpu(device: Device) -> None:
    async def body() -> None:
        async with counting_program(device, 40) as (program, total):
            await device.run(program)
            assert len(device._in_flight) > 0  # type: ignore[attr-defined]
            loss = device.stage(total, 0, 4)
            await device.run(program)
            assert np.frombuffer(await loss.result(), np.float32)[0] == 40.0
            await device.wait()
            assert len(device._in_flight) == 0  # type: ignore[attr-defined]

    run(body())


def test_equal_bindings_share_a_bind_group(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = device._device  # type: ignore[attr-defined]
    create, made = inner.create_bind_group, []
    monkeypatch.setattr(
        inner, "create_bind_group", lambda **fields: made.append(1) or create(**fields)
    )

    async def body() -> None:
        async with counting_program(device, 40) as (program, total):
            await device.run(program)
            assert await count(device, total) == 40.0

    run(body())
    assert len(made) == 1


def test_staging_buffers_are_used_again(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = device.create_buffer(4096, "b")
    data = np.arange(1024, dtype=np.uint32)
    device.write(buffer, 0, data)
    assert run(device.read(buffer, 4, 1000)) == data.tobytes()[4:1004]
    inner = device._device  # type: ignore[attr-defined]
    monkeypatch.setattr(inner, "create_buffer", None)
    assert run(device.read(buffer, 8, 1024)) == data.tobytes()[8:1032]
    assert run(device.read(buffer, 0, 516)) == data.tobytes()[:516]
    device.destroy_buffer(buffer)


def test_a_second_device_can_be_opened(device: Device) -> None:
    from app.gpu.native import open_native_device

    second = run(open_native_device())
    assert second.info == device.info
    second.destroy()
