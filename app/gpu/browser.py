"""The browser host: WebGPU through pyodide.ffi, with the loops in static/gpu/replay.js."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from app.errors import DeviceLostError, GpuError, NoAdapterError, OutOfGpuMemoryError
from app.gpu.adapter import Limits
from app.gpu.browser_adapter import adapter_info, with_extensions
from app.gpu.budget import GIB, software_share
from app.gpu.device import Buffer, Control, Dispatch, Pipeline, Program
from app.gpu.failures import lost_message, out_of_memory
from app.gpu.features import SUBGROUPS
from app.gpu.kernels import KernelSource
from app.gpu.pacing import PacedProgram
from app.gpu.tuning import default_tuning
from app.messages import say

FIRST_GUESS_FLOPS_PER_MS = {True: 2e6, False: 1e8}
"""Before anything was measured: a software adapter, a GPU."""


def _error_of(problem: Any) -> GpuError:
    """Return the error that a problem of static/gpu/problems.js is."""
    kind, message = str(problem.kind), str(problem.message)
    if kind == "lost":
        return DeviceLostError(lost_message(message))
    if kind == "memory":
        return OutOfGpuMemoryError(out_of_memory(str(problem.label), int(problem.sizeBytes)))
    return GpuError(message)


@dataclass(frozen=True, eq=False, slots=True)
class BrowserBuffer:
    """A GPU buffer by its number in static/gpu/host.js."""

    index: int
    size_bytes: int
    label: str


class BrowserProgram(PacedProgram):
    """Dispatches that JavaScript replays."""

    def __init__(self, handle: Any, dispatches: Sequence[Dispatch], flops_per_ms: float) -> None:
        """Keep the JavaScript side's object and what is needed to cut it into submits."""
        super().__init__(dispatches, flops_per_ms)
        self.handle = handle


class BrowserReadback:
    """A copy that was queued."""

    def __init__(self, device: BrowserDevice, promise: Any, label: str) -> None:
        """Hold the promise of the bytes."""
        self._device, self._promise, self._label = device, promise, label

    async def result(self) -> bytes:
        """Wait for the copy and return its bytes.

        Raises:
            GpuError: the copy, or something before it, failed.
        """
        from pyodide.ffi import JsException

        try:
            data: bytes = (await self._promise).to_bytes()
        except JsException as error:
            self._device.fail(f"reading {self._label}", error)
        self._device.check()
        return data


class BrowserDevice:
    """A WebGPU device behind `app.gpu.device.Device`."""

    def __init__(self, host: Any, gpu: Any) -> None:
        """Wrap a GpuHost (static/gpu/host.js) and the functions of static/gpu/replay.js."""
        self._host, self._gpu = host, gpu
        info, limits = host.info, host.device.limits
        self.features = frozenset(str(name) for name in host.features)
        self.info = adapter_info(info, SUBGROUPS in self.features, str(host.version))
        self.limits = Limits(
            max_buffer_bytes=int(limits.maxBufferSize),
            max_binding_bytes=int(limits.maxStorageBufferBindingSize),
            max_storage_buffers=int(limits.maxStorageBuffersPerShaderStage),
            max_workgroup_storage_bytes=int(limits.maxComputeWorkgroupStorageSize),
            max_invocations=int(limits.maxComputeInvocationsPerWorkgroup),
            max_workgroups=int(limits.maxComputeWorkgroupsPerDimension),
            memory_bytes=software_share(self.info, float(host.computerGib) * GIB),
        )
        self.allocated_bytes = 0
        self.tuning = default_tuning(self.info)
        self.flops_per_ms = FIRST_GUESS_FLOPS_PER_MS[self.info.is_software]
        self._pipelines: dict[KernelSource, int] = {}

    def check(self) -> None:
        """Raise what the device has reported since the last call, if anything."""
        problem = self._host.takeProblem()
        if problem is not None:
            raise _error_of(problem)

    def fail(self, what: str, error: Exception) -> NoReturn:
        """Raise for a failed call, preferring what the device has reported."""
        self.check()
        raise GpuError(f"{what}: {error}") from error

    def create_buffer(self, size_bytes: int, label: str) -> Buffer:
        """Return a zeroed storage buffer.

        Whether the GPU had the memory is known only later: `compile`, `run`, `read` or `wait`
        raises then.

        Raises:
            OutOfGpuMemoryError: the size exceeds the device's limit.
        """
        from pyodide.ffi import JsException

        if size_bytes > self.limits.max_buffer_bytes:
            raise OutOfGpuMemoryError(
                say(
                    "{label} needs {size_bytes} bytes but {name} allows buffers of at most "
                    "{max_buffer_bytes}: use a smaller model, window or batch",
                    label=label,
                    size_bytes=size_bytes,
                    name=self.info.name,
                    max_buffer_bytes=self.limits.max_buffer_bytes,
                )
            )
        try:
            index = self._host.createBuffer(-(-size_bytes // 4) * 4, label)
        except JsException as error:
            self.fail(label, error)
        self.allocated_bytes += size_bytes
        return BrowserBuffer(index, size_bytes, label)

    def destroy_buffer(self, buffer: BrowserBuffer) -> None:
        """Free a buffer now."""
        self.allocated_bytes -= buffer.size_bytes
        self._host.destroyBuffer(buffer.index)

    def write(self, buffer: BrowserBuffer, offset_bytes: int, data: Any) -> None:
        """Queue a write; JavaScript arrays pass Python by, Python's are read where they lie."""
        from pyodide.ffi import JsException, JsProxy

        try:
            if isinstance(data, JsProxy):
                self._host.write(buffer.index, offset_bytes, data)
            else:
                view = memoryview(data).cast("B")
                if view.nbytes:
                    self._host.writePython(buffer.index, offset_bytes, view)
        except JsException as error:
            self.fail(f"write to {buffer.label}", error)

    async def read(self, buffer: BrowserBuffer, offset_bytes: int, size_bytes: int) -> bytes:
        """Wait for the GPU and return a slice of a buffer."""
        return await self.stage(buffer, offset_bytes, size_bytes).result()

    def stage(self, buffer: BrowserBuffer, offset_bytes: int, size_bytes: int) -> BrowserReadback:
        """Queue a copy into a staging buffer."""
        promise = self._host.stage(buffer.index, offset_bytes, size_bytes)
        return BrowserReadback(self, promise, buffer.label)

    async def compile(
        self, kernels: Sequence[KernelSource], on_progress: Callable[[int, int], None] | None = None
    ) -> list[Pipeline]:
        """Compile kernels, all at once; each distinct one only once per device."""
        from js import Object
        from pyodide.ffi import create_proxy, to_js

        new = [kernel for kernel in dict.fromkeys(kernels) if kernel not in self._pipelines]
        if new:
            known = len(set(kernels)) - len(new)
            sources = [
                {
                    "label": kernel.label,
                    "code": with_extensions(kernel.code, self.features),
                    "entry_point": kernel.entry_point,
                    "constants": dict(kernel.constants),
                }
                for kernel in new
            ]

            def report(done: int) -> None:
                if on_progress:
                    on_progress(known + done, known + len(new))

            on_done = create_proxy(report)
            try:
                converted = to_js(sources, dict_converter=Object.fromEntries)
                compiled = await self._gpu.compile(self._host, converted, on_done)
            finally:
                on_done.destroy()
            self.check()
            if isinstance(compiled, str):
                raise GpuError(compiled)
            self._pipelines.update(zip(new, compiled.to_py(), strict=True))
        await self._settle()
        return [self._pipelines[kernel] for kernel in kernels]

    async def _settle(self) -> None:
        """Wait for the answers about buffers and bind groups, and raise what they tell."""
        answers = self._host.settle()
        if answers is not None:
            await answers
        self.check()

    def create_program(self, dispatches: Sequence[Dispatch]) -> BrowserProgram:
        """Hand a program over as one flat array; bind groups are made in JavaScript.

        Raises:
            GpuError: a grid is too large. What is wrong with the bindings is raised by `run`.
        """
        from pyodide.ffi import JsException, to_js

        flat: list[float] = []
        for dispatch in dispatches:
            if max(dispatch.workgroups) > self.limits.max_workgroups:
                raise GpuError(
                    say(
                        "kernel {label}: a grid of {workgroups} workgroups, but {name} takes at "
                        "most {max_workgroups} on an axis",
                        label=dispatch.label,
                        workgroups=dispatch.workgroups,
                        name=self.info.name,
                        max_workgroups=self.limits.max_workgroups,
                    )
                )
            flat += (dispatch.pipeline, *dispatch.workgroups, len(dispatch.bindings))
            for binding in dispatch.bindings:
                flat += (binding.buffer.index, binding.offset_bytes, binding.size_bytes)
        labels = to_js([dispatch.label for dispatch in dispatches])
        try:
            handle = self._gpu.createProgram(self._host, labels, to_js(np.array(flat, np.float64)))
        except JsException as error:
            self.fail("bindings", error)
        return BrowserProgram(handle, dispatches, self.flops_per_ms)

    async def run(self, program: Program, control: Control | None = None) -> bool:
        """Replay a program; at most two submits are in flight, those of earlier runs included.

        Returns without waiting for the GPU: what goes wrong there is raised by the next `run`,
        `read` or `wait`.
        """
        assert isinstance(program, BrowserProgram), "the program is of another device"
        times = self._gpu.takeTimes(program.handle)
        if times.length:
            rows = np.array(times.to_py(), np.float64).reshape(-1, 3)
            program.times = [(start, end, ms) for start, end, ms in rows.tolist()]
        if program.is_timed and (spans := self._gpu.takeSpans(program.handle)).length:
            rows = np.array(spans.to_py(), np.float64).reshape(-1, 3)
            program.spans.extend((number, begin, end) for number, begin, end in rows.tolist())
        self.flops_per_ms = program.learn(self.flops_per_ms)
        await self._settle()
        start = 0
        for end in program.pacer.ends:
            if control is not None:
                await control.wait_while_paused()
                if control.stopped:
                    return False
            room = self._gpu.room(self._host)
            if room is not None:
                await room
            self.check()
            program.num_submits += 1
            timed_as = program.num_submits if program.is_timed else 0
            self._gpu.replay(self._host, program.handle, start, end, timed_as)
            start = end
        return True

    async def wait(self) -> None:
        """Return when everything that was submitted has run."""
        await self._gpu.wait(self._host)
        self.check()

    async def calm(self) -> None:
        """Let all that failed be told and forgotten, so that what comes next is not blamed."""
        await self._gpu.calm(self._host)

    def on_lost(self, act: Callable[[DeviceLostError], None]) -> None:
        """Call `act` when the device goes away by itself, also where nobody waits for it."""
        from pyodide.ffi import create_once_callable

        def tell() -> None:
            try:
                self.check()
            except DeviceLostError as error:
                act(error)

        self._host.whenLost(create_once_callable(tell))

    def destroy(self) -> None:
        """Give the device and all its buffers back."""
        self._host.destroy()


async def open_browser_device() -> BrowserDevice:
    """Return the browser's best WebGPU device.

    Raises:
        NoAdapterError: says what was found instead.
    """
    from js import loraLab

    found = await loraLab.openGpu()
    if isinstance(found, str):
        raise NoAdapterError(
            say(
                "{found}: use a current Chrome or Edge with graphics acceleration switched on",
                found=found,
            )
        )
    return BrowserDevice(found, loraLab.gpu)
