"""The plan of a run's buffers: exact, without conflicts, refused before it is too late."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.errors import OutOfGpuMemoryError, ShapeError
from app.gpu.device import UNIFORM_SLOT_BYTES, Device
from app.gpu.graph import Graph, Storage, Tensor, persistent
from app.gpu.kernels import Kernel
from app.gpu.memory import Allocation, MemoryPlan, padded, plan_memory
from app.ops.rms_norm import rms_norm
from app.ops.swiglu import swiglu

KERNEL = Kernel("swiglu")


def random_graph(seed: int) -> Graph:
    """Nodes that read some living tensors and write new ones, as a model's do."""
    rng = np.random.default_rng(seed)
    graph = Graph(f"random {seed}")
    tensors: list[Tensor] = []
    for index in range(int(rng.integers(1, 40))):
        reach = tensors[-int(rng.integers(1, 12)) :]
        count = min(len(reach), int(rng.integers(0, 4)))
        read = [reach[i] for i in rng.choice(len(reach), count, replace=False)] if count else []
        written = [
            graph.empty(f"{index}.{i}", int(rng.integers(1, 5000)))
            for i in range(int(rng.integers(1, 3)))
        ]
        if rng.random() < 0.3:
            written.append(persistent(f"kept {index}", (int(rng.integers(1, 50)),), "adapter"))
        graph.dispatch(KERNEL, (*read, *written), (1, 1, 1), (index % 5,))
        tensors += [tensor for tensor in written if tensor.storage.is_transient]
    return graph


def lifetimes(graph: Graph) -> dict[Storage, tuple[int, int]]:
    spans: dict[Storage, tuple[int, int]] = {}
    for index, node in enumerate(graph.nodes):
        for tensor in node.bindings:
            first, _ = spans.get(tensor.storage, (index, index))
            spans[tensor.storage] = (first, index)
    return {storage: span for storage, span in spans.items() if storage.is_transient}


@pytest.mark.parametrize("seed", range(40))
def test_tensors_alive_together_never_share_a_slot(seed: int) -> None:
    graphs = [random_graph(seed), random_graph(seed + 1000)]
    plan = plan_memory(graphs)
    for graph in graphs:
        spans = list(lifetimes(graph).items())
        peak = 0
        for index in range(len(graph.nodes)):
            alive = [storage for storage, (first, last) in spans if first <= index <= last]
            slots = [plan.slot_of[storage] for storage in alive]
            assert len(set(slots)) == len(slots)
            peak = max(peak, sum(padded(storage.size_bytes) for storage in alive))
        for storage, _ in spans:
            assert plan.slots[plan.slot_of[storage]] >= storage.size_bytes
        assert sum(plan.slots) >= peak


def test_slots_are_shared_along_a_chain() -> None:
    graph = Graph("chain")
    x = graph.empty("x", 8, 64)
    for _ in range(20):
        y = graph.empty("y", 8, 64)
        graph.dispatch(KERNEL, (x, y), (1, 1, 1))
        x = y
    assert plan_memory([graph]).slots == [8 * 64 * 4] * 2


@pytest.mark.parametrize("seed", range(5))
def test_graphs_share_slots(seed: int) -> None:
    alone = [sum(plan_memory([random_graph(number)]).slots) for number in (seed, seed + 9)]
    together = plan_memory([random_graph(seed), random_graph(seed + 9)])
    assert max(alone) <= sum(together.slots) < sum(alone)


def test_transient_tensors_belong_to_one_graph() -> None:
    first, second = Graph("first"), Graph("second")
    x = first.empty("hidden", 8)
    first.dispatch(KERNEL, (x,), (1, 1, 1))
    second.dispatch(KERNEL, (x,), (1, 1, 1))
    with pytest.raises(ShapeError, match="hidden is transient but second uses it"):
        plan_memory([first, second])


def test_parts_sum_to_the_total() -> None:
    plan = plan_memory([random_graph(5), random_graph(6)])
    assert sum(plan.parts().values()) == plan.total_bytes == plan.new_bytes
    assert plan.parts()["adapter"] == sum(padded(storage.size_bytes) for storage in plan.owned)


def small_graph() -> tuple[Graph, Tensor]:
    graph = Graph("small")
    x = persistent("x", (5, 64), "scratch")
    y, _ = rms_norm(graph, x, persistent("weight", (64,), "weights"), eps=1e-5)
    return graph, swiglu(graph, y)


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(5))
def test_planned_bytes_are_the_bytes_allocated(device: Device, seed: int) -> None:
    no_params = Graph("no params")
    no_params.dispatch(KERNEL, (no_params.empty("x", 3), no_params.empty("y", 3)), (1, 1, 1))
    plan = plan_memory([random_graph(seed), no_params, random_graph(seed + 50)])
    before = device.allocated_bytes
    allocation = Allocation.create(device, plan)
    assert device.allocated_bytes - before == plan.new_bytes
    again = plan_memory([random_graph(seed)])
    assert all(storage.buffer is not None for storage in plan.owned)
    assert all(storage.buffer is None for storage in again.owned)
    allocation.destroy()
    assert device.allocated_bytes == before
    assert all(storage.buffer is None for storage in plan.owned)


@pytest.mark.gpu
def test_buffers_that_are_there_are_counted_but_not_allocated(device: Device) -> None:
    graph, _ = small_graph()
    first = Allocation.create(device, plan_memory([graph]))
    weight = first.plan.owned[1]
    assert weight.label == "weight"
    second = Graph("second")
    second.dispatch(KERNEL, (Tensor((64,), weight), second.empty("y", 64)), (1, 1, 1))
    plan = plan_memory([second])
    assert plan.shared == [weight]
    assert plan.new_bytes == 256 + UNIFORM_SLOT_BYTES
    assert plan.total_bytes == plan.new_bytes + 256
    assert plan.parts()["weights"] == 256
    first.destroy()


@pytest.mark.gpu
@pytest.mark.parametrize("limit", ["max_buffer_bytes", "max_binding_bytes"])
def test_limits_are_refused_before_anything_is_allocated(
    device: Device, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "limits", replace(device.limits, **{limit: 1024}))
    graph, _ = small_graph()
    before = device.allocated_bytes
    with pytest.raises(
        OutOfGpuMemoryError, match=r"activations needs a buffer of .*shorter window"
    ):
        Allocation.create(device, plan_memory([graph]))
    big = Graph("big")
    big.dispatch(KERNEL, (persistent("embedding", (300,), "weights"),), (1, 1, 1))
    with pytest.raises(OutOfGpuMemoryError, match="embedding needs a buffer"):
        Allocation.create(device, plan_memory([big]))
    assert device.allocated_bytes == before


@pytest.mark.gpu
def test_nothing_stays_allocated_where_the_device_runs_out(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, _ = small_graph()
    plan = plan_memory([graph])
    create_buffer, calls = device.create_buffer, []

    def fail_late(size_bytes: int, label: str) -> object:
        calls.append(label)
        if len(calls) == len(plan.slots) + len(plan.owned):
            raise OutOfGpuMemoryError(f"{label}: the GPU is out of memory")
        return create_buffer(size_bytes, label)

    monkeypatch.setattr(device, "create_buffer", fail_late)
    before = device.allocated_bytes
    with pytest.raises(OutOfGpuMemoryError, match="out of memory"):
        Allocation.create(device, plan)
    assert device.allocated_bytes == before
    assert all(storage.buffer is None for storage in plan.owned)


def test_an_empty_plan_is_empty() -> None:
    assert plan_memory([]) == MemoryPlan()
