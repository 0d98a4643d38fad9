"""The native host: WebGPU through wgpu-py (Vulkan, Metal or Direct3D 12)."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from app.errors import DeviceLostError, GpuError, NoAdapterError, OutOfGpuMemoryError
from app.gpu.device import Binding, Buffer, Control, Dispatch, Pipeline, Program
from app.gpu.failures import lost_message
from app.gpu.features import NAGA_LANGUAGE_FEATURES, TIMESTAMPS, native_features
from app.gpu.kernels import KernelSource
from app.gpu.native_adapter import WANTED_LIMITS, adapter_info, adapter_limits
from app.gpu.native_clock import PassClock
from app.gpu.pacing import PacedProgram, SubmitQueue
from app.gpu.tuning import default_tuning

os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())  # else EGL complains on stderr

import wgpu
from wgpu.backends.wgpu_native import extras

FIRST_GUESS_FLOPS_PER_MS = {True: 5e6, False: 3e8}
"""Before anything was measured: a software adapter, a GPU."""

MAX_POOLED_BYTES = 1 << 20

Step = tuple[Any, Any, tuple[int, int, int]]
"""Pipeline, bind group, grid."""

_STORAGE = (
    wgpu.BufferUsage.STORAGE
    | wgpu.BufferUsage.UNIFORM
    | wgpu.BufferUsage.COPY_SRC
    | wgpu.BufferUsage.COPY_DST
)


class NativeProgram(PacedProgram):
    """Pipelines, bind groups and grids in replay order."""

    def __init__(
        self, steps: list[Step], dispatches: Sequence[Dispatch], flops_per_ms: float
    ) -> None:
        """Keep what is replayed and what is needed to cut it into submits."""
        super().__init__(dispatches, flops_per_ms)
        self.steps = steps


class NativeReadback:
    """A staging buffer that a copy was queued into."""

    def __init__(self, buffer: Any, size_bytes: int, pool: list[Any] | None) -> None:
        """Read `size_bytes` of `buffer`, which goes to `pool` to be used again, or away."""
        self._buffer, self._size_bytes, self._pool = buffer, size_bytes, pool

    async def result(self) -> bytes:
        """Wait for the GPU and return the bytes."""
        with translated("readback"):
            self._buffer.map_sync(wgpu.MapMode.READ)
            data = bytes(self._buffer.read_mapped(0, -(-self._size_bytes // 4) * 4))
            self._buffer.unmap()
            if self._pool is None:
                self._buffer.destroy()
            else:
                self._pool.append(self._buffer)
        return data[: self._size_bytes]


class translated:  # noqa: N801 - reads as a clause: `with translated("label"):`
    """Turn wgpu's errors into ours, with the label of what was running."""

    def __init__(self, label: str) -> None:
        self._label = label

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, wgpu.GPUOutOfMemoryError):
            raise OutOfGpuMemoryError(f"{self._label}: the GPU is out of memory") from error
        if isinstance(error, wgpu.GPUError):
            text = str(error).strip()
            if "lost" in text.lower():
                raise DeviceLostError(lost_message(text)) from error
            raise GpuError(f"{self._label}: {text}") from error


class NativeDevice:
    """A wgpu-py device behind `app.gpu.device.Device`."""

    def __init__(self, adapter: Any) -> None:
        info, limits = adapter.info, adapter.limits
        wanted_features = native_features(adapter.features)
        self.features = NAGA_LANGUAGE_FEATURES | wanted_features.keys()
        self.info = adapter_info(info, self.features, wgpu.__version__)
        self.limits = adapter_limits(limits, self.info)
        with translated("device"):
            self._device = adapter.request_device_sync(
                required_features=list(wanted_features.values()),
                required_limits={name: limits[name] for name in WANTED_LIMITS},
            )
        self._queue = self._device.queue
        self._pipelines: dict[KernelSource, Pipeline] = {}
        self._layouts: dict[int, Any] = {}
        self._pool: dict[int, list[Any]] = {}
        """Staging buffers to use again, by size."""
        self._in_flight = SubmitQueue()
        self.allocated_bytes = 0
        self.tuning = default_tuning(self.info)
        self.flops_per_ms = FIRST_GUESS_FLOPS_PER_MS[self.info.is_software]
        self._fence_buffer = self._device.create_buffer(size=4, usage=_STORAGE, label="fence")
        self._clock = PassClock(self._device) if TIMESTAMPS in self.features else None

    def create_buffer(self, size_bytes: int, label: str) -> Buffer:
        """Return a zeroed storage buffer."""
        if size_bytes > self.limits.max_buffer_bytes:
            raise OutOfGpuMemoryError(
                f"{label} needs {size_bytes} bytes but {self.info.name} allows buffers of at most "
                f"{self.limits.max_buffer_bytes}: use a smaller model, window or batch"
            )
        with translated(label):
            buffer = self._device.create_buffer(size=size_bytes, usage=_STORAGE, label=label)
        self.allocated_bytes += size_bytes
        return buffer

    def destroy_buffer(self, buffer: Buffer) -> None:
        """Free a buffer now."""
        self.allocated_bytes -= buffer.size
        buffer.destroy()

    def write(self, buffer: Buffer, offset_bytes: int, data: Any) -> None:
        """Queue a write."""
        view = memoryview(data).cast("B")
        if view.nbytes % 4:
            view = memoryview(bytes(view) + bytes(-view.nbytes % 4))
        if offset_bytes < 0 or offset_bytes + view.nbytes > buffer.size:
            raise GpuError(
                f"write to {buffer.label}: bytes {offset_bytes} to {offset_bytes + view.nbytes} "
                f"do not lie inside its {buffer.size} bytes"
            )
        if view.nbytes:
            with translated(f"write to {buffer.label}"):
                self._queue.write_buffer(buffer, offset_bytes, view)

    async def read(self, buffer: Buffer, offset_bytes: int, size_bytes: int) -> bytes:
        """Wait for the GPU and return a slice of a buffer."""
        return await self.stage(buffer, offset_bytes, size_bytes).result()

    def stage(self, buffer: Buffer, offset_bytes: int, size_bytes: int) -> NativeReadback:
        """Queue a copy into a staging buffer."""
        room = 1 << (max(size_bytes, 4) - 1).bit_length()
        pool = self._pool.setdefault(room, []) if room <= MAX_POOLED_BYTES else None
        with translated(f"copy of {buffer.label}"):
            staging = pool.pop() if pool else None
            if staging is None:
                staging = self._device.create_buffer(
                    size=size_bytes if pool is None else room,
                    usage=wgpu.BufferUsage.MAP_READ | wgpu.BufferUsage.COPY_DST,
                )
            encoder = self._device.create_command_encoder()
            encoder.copy_buffer_to_buffer(buffer, offset_bytes, staging, 0, size_bytes)
            self._queue.submit([encoder.finish()])
        return NativeReadback(staging, size_bytes, pool)

    async def compile(
        self, kernels: Sequence[KernelSource], on_progress: Callable[[int, int], None] | None = None
    ) -> list[Pipeline]:
        """Compile kernels; each distinct one only once per device."""
        for index, kernel in enumerate(kernels):
            if kernel not in self._pipelines:
                with translated(f"kernel {kernel.label}"):
                    self._pipelines[kernel] = self._compile_one(kernel)
            if on_progress:
                on_progress(index + 1, len(kernels))
            await asyncio.sleep(0)
        return [self._pipelines[kernel] for kernel in kernels]

    def _compile_one(self, kernel: KernelSource) -> Pipeline:
        module = self._device.create_shader_module(code=kernel.code, label=kernel.label)
        return self._device.create_compute_pipeline(
            layout="auto",
            label=kernel.label,
            compute={
                "module": module,
                "entry_point": kernel.entry_point,
                "constants": dict(kernel.constants),
            },
        )

    def create_program(self, dispatches: Sequence[Dispatch]) -> NativeProgram:
        """Make the bind groups of a program; equal ones are made once."""
        steps: list[Step] = []
        groups: dict[tuple[Any, tuple[Binding, ...]], Any] = {}
        for dispatch in dispatches:
            key = (dispatch.pipeline, dispatch.bindings)
            if key not in groups:
                with translated(dispatch.label):
                    groups[key] = self._bind(dispatch)
            steps.append((dispatch.pipeline, groups[key], dispatch.workgroups))
        return NativeProgram(steps, dispatches, self.flops_per_ms)

    def _bind(self, dispatch: Dispatch) -> Any:
        layout = self._layouts.get(id(dispatch.pipeline))
        if layout is None:
            layout = dispatch.pipeline.get_bind_group_layout(0)
            self._layouts[id(dispatch.pipeline)] = layout
        return self._device.create_bind_group(
            layout=layout,
            label=dispatch.label,
            entries=[
                {
                    "binding": index,
                    "resource": {
                        "buffer": binding.buffer,
                        "offset": binding.offset_bytes,
                        "size": binding.size_bytes,
                    },
                }
                for index, binding in enumerate(dispatch.bindings)
            ],
        )

    async def run(self, program: Program, control: Control | None = None) -> bool:
        """Replay a program; at most two submits are in flight, those of earlier runs included."""
        assert isinstance(program, NativeProgram)
        self.flops_per_ms = program.learn(self.flops_per_ms)
        start = 0
        for end in program.pacer.ends:
            if control is not None:
                await control.wait_while_paused()
                if control.stopped:
                    return False
            await self._in_flight.room()
            self._submit(program, start, end)
            start = end
            await asyncio.sleep(0)
        return True

    def _submit(self, program: NativeProgram, start: int, end: int) -> None:
        """Submit dispatches start … end of a program as one compute pass."""
        program.num_submits += 1
        clock = self._clock if program.is_timed else None
        with translated("submit"):
            encoder = self._device.create_command_encoder()
            compute = encoder.begin_compute_pass(timestamp_writes=clock and clock.next_writes())
            current = None
            for pipeline, group, workgroups in program.steps[start:end]:
                if pipeline is not current:
                    compute.set_pipeline(pipeline)
                    current = pipeline
                compute.set_bind_group(0, group)
                compute.dispatch_workgroups(*workgroups)
            compute.end()
            if clock:
                clock.resolve(encoder)
            self._queue.submit([encoder.finish()])
        if clock:
            fence = self.stage(clock.buffer, clock.offset_bytes, 16)
            self._in_flight.add(program, start, end, fence, program.num_submits)
        else:
            self._in_flight.add(program, start, end, self._fence())

    async def wait(self) -> None:
        """Return when everything that was submitted has run."""
        await self._in_flight.drain()
        await self._fence().result()

    def _fence(self) -> NativeReadback:
        """Queue a small copy: it can be read once all before it has run.

        wgpu-py 0.32's own onSubmittedWorkDone fails (its callback has an outdated signature).
        """
        return self.stage(self._fence_buffer, 0, 4)

    async def calm(self) -> None:
        """Do nothing: errors are raised where they happen."""

    def on_lost(self, act: Callable[[DeviceLostError], None]) -> None:
        """Do nothing: wgpu-py tells of a loss by the next call that fails."""

    def destroy(self) -> None:
        """Give the device and all its buffers back."""
        self._device.destroy()


async def open_native_device() -> NativeDevice:
    """Return the machine's best WebGPU device.

    Raises:
        NoAdapterError: no driver was found; says which to install.
    """
    _choose_backend()
    try:
        adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
    except (RuntimeError, wgpu.GPUError) as error:
        raise NoAdapterError(
            "no WebGPU adapter was found: install a Vulkan driver "
            "(on Debian: mesa-vulkan-drivers gives a software one)"
        ) from error
    return NativeDevice(adapter)


@cache
def _choose_backend() -> None:
    """Ask for the modern backends only: probing OpenGL prints warnings and is never chosen.

    Once a process: wgpu takes no settings after its first adapter.
    """
    extras.set_instance_extras(backends=["Vulkan", "Metal", "DX12"])
