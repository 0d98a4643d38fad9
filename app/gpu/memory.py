"""Lay out a run's buffers before the first is allocated, then allocate exactly that.

Transient tensors share slots: two of them may use one slot when the last use of one comes
before the first use of the other. A slot is a GPU buffer of its own, because WebGPU forbids
reading and writing one buffer in the same dispatch, and tensors of one dispatch are alive
together and so never share a slot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.errors import OutOfGpuMemoryError, ShapeError
from app.gpu.device import UNIFORM_SLOT_BYTES, Binding, Buffer, Device, Dispatch, Program
from app.gpu.graph import Graph, Part, Storage
from app.messages import say

SLOT_ALIGNMENT_BYTES = 256


@dataclass
class MemoryPlan:
    """Where every byte of some graphs goes.

    Attributes:
        slots: Size of each shared buffer.
        slot_of: Slot index of every transient storage.
        owned: Persistent storages that have no buffer yet and will get one of their own.
        shared: Persistent storages that are allocated already (the model's weights).
        uniform_bytes: Size of each graph's uniform arena.
    """

    slots: list[int] = field(default_factory=list)
    slot_of: dict[Storage, int] = field(default_factory=dict)
    owned: list[Storage] = field(default_factory=list)
    shared: list[Storage] = field(default_factory=list)
    uniform_bytes: list[int] = field(default_factory=list)

    @property
    def new_bytes(self) -> int:
        """Bytes that `allocate` will take from the device."""
        return (
            sum(self.slots)
            + sum(padded(storage.size_bytes) for storage in self.owned)
            + sum(self.uniform_bytes)
        )

    @property
    def total_bytes(self) -> int:
        """Bytes in use during the run: the new ones and those already allocated."""
        return self.new_bytes + sum(padded(storage.size_bytes) for storage in self.shared)

    @property
    def largest_buffer(self) -> tuple[str, int]:
        """The largest buffer that `allocate` will make: what it holds and its bytes."""
        named = [("activations", size) for size in self.slots]
        named += [(storage.label, storage.size_bytes) for storage in self.owned]
        return max(named, key=lambda item: item[1], default=("nothing", 0))

    def parts(self) -> dict[Part, int]:
        """Return the bytes by what they are for; they sum to `total_bytes`."""
        parts: dict[Part, int] = {
            "weights": 0,
            "adapter": 0,
            "optimizer": 0,
            "activations": sum(self.slots),
            "scratch": sum(self.uniform_bytes),
        }
        for storage in (*self.owned, *self.shared):
            parts[storage.part] += padded(storage.size_bytes)
        return parts


def padded(size_bytes: int) -> int:
    """Round a size up to the alignment of a buffer."""
    return -(-max(size_bytes, 4) // SLOT_ALIGNMENT_BYTES) * SLOT_ALIGNMENT_BYTES


def plan_memory(graphs: Sequence[Graph]) -> MemoryPlan:
    """Assign every transient storage of some graphs to a slot, best fit first.

    Graphs are replayed one at a time, so they share slots. Nothing is allocated.

    Raises:
        ShapeError: a transient tensor is used by two graphs; another may lie in its slot by then.
    """
    plan = MemoryPlan()
    seen: set[Storage] = set()
    for graph in graphs:
        _plan_graph(graph, plan, seen)
        uniforms = {node.params for node in graph.nodes if node.params}
        plan.uniform_bytes.append(max(1, len(uniforms)) * UNIFORM_SLOT_BYTES)
    return plan


def _plan_graph(graph: Graph, plan: MemoryPlan, seen: set[Storage]) -> None:
    last_use: dict[Storage, int] = {}
    for index, node in enumerate(graph.nodes):
        for tensor in node.bindings:
            last_use[tensor.storage] = index
    for storage in last_use:
        if storage in plan.slot_of:
            raise ShapeError(
                say(
                    "{label} is transient but {label_2} uses it after another graph, which may "
                    "have given its bytes away: make it a persistent tensor",
                    label=storage.label,
                    label_2=graph.label,
                )
            )
    free = set(range(len(plan.slots)))
    for index, node in enumerate(graph.nodes):
        storages = dict.fromkeys(tensor.storage for tensor in node.bindings)
        for storage in storages:
            if storage not in seen:
                seen.add(storage)
                if storage.is_transient:
                    plan.slot_of[storage] = _take_slot(plan, free, padded(storage.size_bytes))
                elif storage.buffer is None:
                    plan.owned.append(storage)
                else:
                    plan.shared.append(storage)
        for storage in storages:
            if storage.is_transient and last_use[storage] == index:
                free.add(plan.slot_of[storage])


def _take_slot(plan: MemoryPlan, free: set[int], size_bytes: int) -> int:
    """Return the smallest free slot that is large enough; else grow the largest; else add one."""
    fitting = [slot for slot in free if plan.slots[slot] >= size_bytes]
    if fitting:
        slot = min(fitting, key=lambda index: (plan.slots[index], index))
    elif free:
        slot = max(free, key=lambda index: (plan.slots[index], -index))
        plan.slots[slot] = size_bytes
    else:
        slot = len(plan.slots)
        plan.slots.append(size_bytes)
        return slot
    free.discard(slot)
    return slot


def check_limits(plan: MemoryPlan, device: Device) -> None:
    """Refuse a plan with a buffer larger than the device can make or bind.

    Raises:
        OutOfGpuMemoryError: names the buffer, its size and the limit.
    """
    limit = min(device.limits.max_buffer_bytes, device.limits.max_binding_bytes)
    label, size = plan.largest_buffer
    if size > limit:
        raise OutOfGpuMemoryError(
            say(
                "{label} needs a buffer of {size} MiB but {name} allows {limit} MiB: use a "
                "shorter window, a smaller batch or a smaller model",
                label=label,
                size=f"{size / 2**20:.0f}",
                name=device.info.name,
                limit=f"{limit / 2**20:.0f}",
            )
        )


@dataclass
class Allocation:
    """The buffers of a plan, and how to give them back."""

    device: Device
    plan: MemoryPlan
    slots: list[Buffer]
    uniforms: list[Buffer]

    @classmethod
    def create(cls, device: Device, plan: MemoryPlan) -> Allocation:
        """Allocate what the plan says, and nothing else.

        Raises:
            OutOfGpuMemoryError: see `check_limits`, or the device ran out; nothing stays
                allocated then.
        """
        check_limits(plan, device)
        allocation = cls(device, plan, [], [])
        try:
            for index, size in enumerate(plan.slots):
                allocation.slots.append(device.create_buffer(size, f"slot {index}"))
            for storage in plan.owned:
                storage.buffer = device.create_buffer(padded(storage.size_bytes), storage.label)
            for size in plan.uniform_bytes:
                allocation.uniforms.append(device.create_buffer(size, "uniforms"))
        except OutOfGpuMemoryError:
            allocation.destroy()
            raise
        return allocation

    def buffer_of(self, storage: Storage) -> Buffer:
        """Return the buffer a storage lies in."""
        if storage.is_transient:
            return self.slots[self.plan.slot_of[storage]]
        assert storage.buffer is not None, f"{storage.label} was not allocated"
        return storage.buffer

    def destroy(self) -> None:
        """Free every buffer this allocation made; weights and adapter stay."""
        for buffer in (*self.slots, *self.uniforms):
            self.device.destroy_buffer(buffer)
        for storage in self.plan.owned:
            if storage.buffer is not None:
                self.device.destroy_buffer(storage.buffer)
                storage.buffer = None
        self.slots, self.uniforms = [], []


async def build_programs(
    device: Device,
    graphs: Sequence[Graph],
    allocation: Allocation,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Program]:
    """Compile the kernels of some graphs together and bind their buffers.

    Args:
        device: Where to compile.
        graphs: The graphs that `allocation` was planned for, in the same order.
        allocation: Their buffers.
        on_progress: Called with (kernels compiled, kernels in all).
    """
    kernels = list(dict.fromkeys(node.kernel for graph in graphs for node in graph.nodes))
    pipelines = await device.compile([kernel.source() for kernel in kernels], on_progress)
    pipeline_of = dict(zip(kernels, pipelines, strict=True))
    programs = []
    for graph, uniforms in zip(graphs, allocation.uniforms, strict=True):
        offset_of = _write_uniforms(device, graph, uniforms)
        dispatches = []
        for node in graph.nodes:
            bindings = [
                Binding(allocation.buffer_of(t.storage), t.offset_bytes, t.size_bytes)
                for t in node.bindings
            ]
            if node.params:
                size = -(-len(node.params) // 16) * 16
                bindings.append(Binding(uniforms, offset_of[node.params], size))
            label, pipeline = node.kernel.label, pipeline_of[node.kernel]
            dispatches.append(
                Dispatch(label, pipeline, tuple(bindings), node.workgroups, node.flops)
            )
        programs.append(device.create_program(dispatches))
    return programs


def _write_uniforms(device: Device, graph: Graph, uniforms: Buffer) -> dict[bytes, int]:
    """Write each distinct Params struct of a graph once; return where it lies."""
    offset_of: dict[bytes, int] = {}
    for node in graph.nodes:
        if node.params and node.params not in offset_of:
            offset_of[node.params] = len(offset_of) * UNIFORM_SLOT_BYTES
    data = b"".join(params.ljust(UNIFORM_SLOT_BYTES, b"\0") for params in offset_of)
    if data:
        device.write(uniforms, 0, data)
    return offset_of
