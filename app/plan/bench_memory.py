"""Figures of operations bound by memory: what they have to move, against a copy of as much.

Bytes are those that cannot be avoided, each array read or written once: a kernel that reads one
twice, or moves padding, shows a smaller share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.config import LoraConfig
from app.gpu.graph import Graph, Tensor, persistent
from app.models.loader import Model
from app.nn.adapter import AdapterLayout
from app.nn.weights import PROJECTION_GROUPS, group_bounds, group_shape, heads_of
from app.ops.adamw import AdamwState, adamw
from app.ops.cross_entropy import cross_entropy
from app.ops.embedding import embedding
from app.ops.lora import lora_gradient, lora_hidden, lora_hidden_backward
from app.ops.low_rank import LowRank
from app.ops.rms_norm import rms_norm, rms_norm_backward
from app.ops.rope import rope
from app.ops.swiglu import swiglu, swiglu_backward
from app.ops.update import UpdateState, prepare_update
from app.plan.bench_run import BenchRun
from app.plan.timing import time_graph

WORD = 4
"""Bytes of an f32, an i32, a u32."""


@dataclass(frozen=True)
class MemoryWork:
    """An operation to time.

    Attributes:
        shape: What the figure calls its shape.
        size_bytes: What it has to read and write.
        noise: Inputs to fill with noise.
        values: Inputs to fill with given values.
    """

    name: str
    shape: Sequence[int]
    size_bytes: float
    record: Callable[[Graph], object]
    noise: Sequence[Tensor] = ()
    values: Sequence[tuple[Tensor, NDArray[Any]]] = ()
    fields: dict[str, Any] = field(default_factory=dict)


async def bench_memory_bound(
    run: BenchRun, model: Model, rows: int, lora: LoraConfig, num_layers: int
) -> None:
    """Report norms, rotation, activation, embedding, loss, the adapter's products, the update.

    Args:
        run: Where figures go.
        model: Its embedding and its first layer's norm are used.
        rows: Tokens; the loss takes at most as many as a chunk of it.
        lora: Rank of the adapter.
        num_layers: Of the whole model, for the size of the adapter that is updated.
    """
    for work in memory_works(model, rows, lora, num_layers):
        run.stage(work.name)
        graph = Graph(work.name, model.device.tuning)
        work.record(graph)
        peak = await run.measure_copy(work.size_bytes)
        timing = await time_graph(
            model.device, graph, budget_seconds=0.1, inputs=work.noise, values=work.values
        )
        await run.report_bandwidth(
            work.name, work.size_bytes, timing, peak, shape=list(work.shape), **work.fields
        )


def memory_works(
    model: Model, rows: int, lora: LoraConfig, num_layers: int
) -> Iterator[MemoryWork]:
    """Yield the operations of `bench_memory_bound`."""
    yield from _layer_works(model, rows)
    yield from _loss_works(model, rows)
    yield from _adapter_works(model, rows, lora)
    whole = replace(model.config, num_hidden_layers=num_layers)
    yield _update_work(AdapterLayout(whole, lora).size)


def _layer_works(model: Model, rows: int) -> Iterator[MemoryWork]:
    config, weights = model.config, model.weights
    hidden, inner = config.hidden_size, config.intermediate_size
    norm, eps = weights.layers[0].input_norm, config.rms_norm_eps
    x, dy, skip = (_scratch(name, rows, hidden) for name in ("x", "dy", "skip"))
    rstd = _scratch("rstd", rows)
    yield MemoryWork(
        "rms_norm_forward",
        (rows, hidden),
        WORD * 2 * x.size,
        lambda graph: rms_norm(graph, x, norm, eps=eps),
        [x],
    )
    yield MemoryWork(
        "rms_norm_backward",
        (rows, hidden),
        WORD * 4 * x.size,
        lambda graph: rms_norm_backward(graph, dy, x, norm, rstd, skip=skip),
        [x, dy, skip, rstd],
    )
    heads = heads_of(config)
    turned = heads.num_heads + heads.num_key_value_heads
    qkv = _scratch("qkv", rows, heads.width)
    positions = persistent("positions", (rows,), "scratch", "u32")
    longest = weights.rope_table.shape[0]
    yield MemoryWork(
        "rope",
        (rows, turned, heads.head_dim),
        WORD * rows * (2 * turned + 1) * heads.head_dim,
        lambda graph: rope(
            graph, qkv, positions, weights.rope_table, num_heads=turned, head_dim=heads.head_dim
        ),
        [qkv],
        [(positions, np.arange(rows, dtype=np.uint32) % longest)],
    )
    gate_up = _scratch("gate_up", rows, 2 * inner)
    d_activated = _scratch("dy", rows, inner)
    yield MemoryWork(
        "swiglu_forward",
        (rows, inner),
        WORD * 3 * rows * inner,
        lambda graph: swiglu(graph, gate_up),
        [gate_up],
    )
    yield MemoryWork(
        "swiglu_backward",
        (rows, inner),
        WORD * 5 * rows * inner,
        lambda graph: swiglu_backward(graph, d_activated, gate_up),
        [d_activated, gate_up],
    )


def _loss_works(model: Model, rows: int) -> Iterator[MemoryWork]:
    config, table = model.config, model.weights.embedding
    random = np.random.default_rng(0)
    ids = persistent("ids", (rows,), "scratch", "u32")
    packed = sum(tensor.size_bytes for tensor in table.bindings) / table.num_rows
    yield MemoryWork(
        "embedding",
        (rows, config.hidden_size),
        rows * (packed + WORD * config.hidden_size),
        lambda graph: embedding(graph, ids, table),
        values=[(ids, random.integers(0, config.vocab_size, rows, np.uint32))],
    )
    head = model.weights.head
    chunk = min(rows, model.device.tuning.head_rows(config.hidden_size, config.vocab_size))
    logits = _scratch("logits", chunk, head.stride)
    targets = persistent("targets", (chunk,), "scratch", "i32")
    normalizer, losses = _scratch("normalizer", 1), _scratch("losses", chunk)
    yield MemoryWork(
        "cross_entropy",
        (chunk, config.vocab_size),
        WORD * 2 * logits.size,
        lambda graph: cross_entropy(
            graph, logits, targets, normalizer, losses, vocab_size=config.vocab_size
        ),
        [logits],
        [
            (targets, random.integers(0, config.vocab_size, chunk, np.int32)),
            (normalizer, np.array([1 / chunk], np.float32)),
        ],
    )


def _adapter_works(model: Model, rows: int, lora: LoraConfig) -> Iterator[MemoryWork]:
    """Yield the narrow products of gate_up, the widest group that shares an input."""
    config, group, rank = model.config, "gate_up", lora.rank
    outs, ins = group_shape(config, group)
    ranks = len(PROJECTION_GROUPS[group]) * rank
    a, d_a = (_scratch(name, ranks, ins) for name in ("lora_a", "d_a"))
    b, d_b = (_scratch(name, outs, rank) for name in ("lora_b", "d_b"))
    bounds = group_bounds(config, group)
    low_rank, gradient = LowRank(rank, bounds, a, b), LowRank(rank, bounds, d_a, d_b)
    x, dy = _scratch("x", rows, ins), _scratch("dy", rows, outs)
    h, g = _scratch("h", rows, ranks), _scratch("g", rows, ranks)
    yield MemoryWork(
        "lora_hidden",
        (rows, ranks, ins),
        WORD * (x.size + a.size + h.size),
        lambda graph: lora_hidden(graph, x, low_rank, scaling=lora.scaling),
        [x, a],
        fields={"part": group},
    )
    yield MemoryWork(
        "lora_hidden_backward",
        (rows, ranks, outs),
        WORD * (dy.size + b.size + g.size),
        lambda graph: lora_hidden_backward(graph, dy, low_rank, scaling=lora.scaling),
        [dy, b],
        fields={"part": group},
    )
    yield MemoryWork(
        "lora_gradient",
        (rows, ranks, ins, outs),
        WORD * (x.size + g.size + dy.size + h.size + 2 * (a.size + b.size)),
        lambda graph: lora_gradient(graph, x, g, dy, h, low_rank, gradient),
        [x, g, dy, h],
        fields={"part": group},
    )


def _update_work(size: int) -> MemoryWork:
    parameters, gradients = _scratch("adapter", size), _scratch("gradients", size)
    loss, state, common = _scratch("loss", 1), AdamwState.create(size), UpdateState.create(size)

    def record(graph: Graph) -> None:
        update = prepare_update(graph, gradients, loss, common)
        adamw(graph, update, parameters, gradients, common.last_good, state)

    return MemoryWork(
        "adamw",
        (size,),
        # norm: gradients; update: four arrays read, those and the last good parameters written
        WORD * 10 * size,
        record,
        [parameters, gradients],
    )


def _scratch(label: str, *shape: int) -> Tensor:
    return persistent(label, shape, "scratch")
