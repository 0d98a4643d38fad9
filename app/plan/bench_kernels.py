"""Figures of operations bound by arithmetic: products with a model's matrices, attention."""

from __future__ import annotations

import numpy as np

from app.gpu.graph import Graph, Tensor, persistent
from app.gpu.memory import Allocation, build_programs, plan_memory
from app.messages import say
from app.models.loader import Model
from app.nn.weights import heads_of
from app.ops.attention import attention, attention_backward
from app.ops.linear import linear, linear_backward
from app.ops.matrix import Matrix
from app.plan.bench_run import BenchRun
from app.plan.timing import time_graph, time_program


async def bench_products(run: BenchRun, model: Model, rows: int) -> None:
    """Report forward and backward of each of a layer's stacked products, and of the head.

    Args:
        run: Where figures go.
        model: Its first layer's matrices are used.
        rows: Tokens; the head takes at most as many as a chunk of the loss.
    """
    tuning, config = model.device.tuning, model.config
    products: list[tuple[str, Matrix, int]] = [
        (group, matrix, rows) for group, matrix in model.weights.layers[0].projections.items()
    ]
    head_rows = min(rows, tuning.head_rows(config.hidden_size, config.vocab_size))
    products.append(("head", model.weights.head, head_rows))
    for part, matrix, count in products:
        shape = [count, matrix.num_rows, matrix.num_columns]
        flops = 2.0 * count * matrix.num_rows * matrix.num_columns
        for direction, width, record in (
            ("forward", matrix.num_columns, linear),
            ("backward", matrix.stride, linear_backward),
        ):
            run.stage(f"{part} {direction}")
            graph = Graph(f"{part} {direction}", tuning)
            x = persistent("x", (count, width), "scratch")
            record(graph, x, matrix)
            timing = await time_graph(model.device, graph, inputs=[x])
            name = f"{matrix.format}_matmul_{direction}"
            await run.report_rate(name, flops, timing, part=part, shape=shape)


async def bench_attention(run: BenchRun, model: Model, num_sequences: int, seq_len: int) -> None:
    """Report causal attention, forward and backward, of one layer.

    FLOPs are those of the products that cannot be avoided: two forward and five backward over
    S/2 keys a query on average.
    """
    run.stage(say("attention"))
    device, heads = model.device, heads_of(model.config)
    rows = num_sequences * seq_len
    positions = persistent("positions", (rows,), "scratch", "u32")
    qkv = persistent("qkv", (rows, heads.width), "scratch")
    d_o = persistent("d_o", (rows, heads.num_heads * heads.head_dim), "scratch")
    tuning = device.tuning
    forward, backward = Graph("attention", tuning), Graph("attention backward", tuning)
    o, logsumexp = attention(forward, qkv, positions, heads, num_sequences=num_sequences)
    for result in (o, logsumexp):  # the backward reads them from another graph
        result.storage.is_transient = False
    attention_backward(
        backward, d_o, qkv, o, logsumexp, positions, heads, num_sequences=num_sequences
    )
    allocation = Allocation.create(device, plan_memory([forward, backward]))
    try:
        numbers = np.tile(np.arange(seq_len, dtype=np.uint32), num_sequences)
        device.write(allocation.buffer_of(positions.storage), 0, numbers)
        for tensor in (qkv, d_o):
            _write_noise(model, allocation, tensor)
        programs = await build_programs(device, [forward, backward], allocation)
        shape = [num_sequences, seq_len, heads.num_heads, heads.num_key_value_heads, heads.head_dim]
        half = float(num_sequences * seq_len**2 * heads.num_heads * heads.head_dim)
        for name, program, flops in (
            ("attention_forward", programs[0], 2 * half),
            ("attention_backward", programs[1], 5 * half),
        ):
            timing = await time_program(device, program, 0.2)
            await run.report_rate(name, flops, timing, shape=shape)
    finally:
        allocation.destroy()


def _write_noise(model: Model, allocation: Allocation, tensor: Tensor) -> None:
    values = np.random.default_rng(0).standard_normal(tensor.size, np.float32)
    model.device.write(allocation.buffer_of(tensor.storage), 0, values)
