"""The recorded forward passes of generation: a chunk of a prompt, and one token."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.config import ModelConfig
from app.gpu.device import Program
from app.gpu.graph import Graph, Tensor, persistent
from app.gpu.memory import Allocation, build_programs, plan_memory
from app.gpu.tuning import Tuning
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.nn.decoder import Decoder, KeyValueCache, Sequences
from app.ops.kv_cache import take_row
from app.ops.linear_dot8 import CODES, multiply


@dataclass(frozen=True, eq=False)
class Pass:
    """A recorded forward over `rows` tokens that writes one row of logits.

    Attributes:
        tokens: (rows,), u32.
        positions: (rows,), u32.
        last_row: (1,), u32: which row's logits are wanted.
        logits: (stride,), f32.
    """

    rows: int
    graph: Graph
    tokens: Tensor
    positions: Tensor
    last_row: Tensor
    logits: Tensor


def tuning_of(model: Model) -> Tuning:
    """Return how answers are computed: in eight bits only where all matrices have integers."""
    layers = [matrix for layer in model.weights.layers for matrix in layer.projections.values()]
    has_integers = all(matrix.format in CODES for matrix in (*layers, model.weights.head))
    return model.device.tuning.for_chat() if has_integers else model.device.tuning


def record_pass(
    model: Model, adapter: Adapter | None, caches: KeyValueCache, rows: int, strength: float = 1.0
) -> Pass:
    """Record the forward of `rows` new tokens against the caches."""
    graph = Graph(f"generate {rows}", tuning_of(model))
    tokens = persistent("tokens", (rows,), "scratch", "u32")
    positions = persistent("positions", (rows,), "scratch", "u32")
    last_row = persistent("last row", (1,), "scratch", "u32")
    decoder = Decoder(model.config, model.weights, adapter, strength=strength)
    hidden = decoder.forward(graph, tokens, Sequences(1, positions), caches=caches)
    logits = persistent("logits", (1, model.weights.head.stride), "scratch")
    last = take_row(graph, hidden, last_row) if rows > 1 else hidden
    multiply(graph, last, model.weights.head, out=logits)
    return Pass(rows, graph, tokens, positions, last_row, logits)


def new_caches(config: ModelConfig, max_context: int) -> KeyValueCache:
    """Return keys and values of each layer for so many tokens; they have no buffers yet."""
    width = config.num_key_value_heads * config.head_dim
    return tuple(
        (
            persistent("key cache", (max_context, width), "scratch"),
            persistent("value cache", (max_context, width), "scratch"),
        )
        for _ in range(config.num_hidden_layers)
    )


def record_passes(
    model: Model, adapter: Adapter | None, caches: KeyValueCache, strength: float = 1.0
) -> list[Pass]:
    """Record a prompt's chunks, the largest first, and a single token."""
    sizes = model.device.tuning.prefill_rows
    return [record_pass(model, adapter, caches, rows, strength) for rows in sizes]


class Passes:
    """Prompt chunks of some sizes and a single token, for one model with one adapter."""

    def __init__(
        self, model: Model, passes: list[Pass], programs: list[Program], allocation: Allocation
    ) -> None:
        self._model = model
        self._passes = passes
        self._programs = programs
        self._allocation = allocation

    @classmethod
    async def create(
        cls, model: Model, adapter: Adapter | None, caches: KeyValueCache, strength: float = 1.0
    ) -> Passes:
        """Record, allocate and compile, with the adapter's scale times `strength`.

        Raises:
            OutOfGpuMemoryError: the device cannot hold the activations.
        """
        passes = record_passes(model, adapter, caches, strength)
        graphs = [item.graph for item in passes]
        allocation = Allocation.create(model.device, plan_memory(graphs))
        try:
            programs = await build_programs(model.device, graphs, allocation)
        except BaseException:
            allocation.destroy()
            raise
        return cls(model, passes, programs, allocation)

    @property
    def chunk_rows(self) -> int:
        """Most tokens that `run` takes at once."""
        return self._passes[0].rows

    async def run(self, token_ids: list[int], start: int) -> NDArray[np.float32]:
        """Compute tokens at positions start… and return the last one's logits, (vocab_size,)."""
        count = len(token_ids)
        index = max(i for i, item in enumerate(self._passes) if item.rows >= count)
        recorded, device = self._passes[index], self._model.device
        # Rows beyond the tokens write keys ahead of the text; they are overwritten before
        # any query can see them.
        tokens = np.zeros(recorded.rows, np.uint32)
        tokens[:count] = token_ids
        device.write(recorded.tokens.storage.buffer, 0, tokens)
        positions = np.arange(start, start + recorded.rows, dtype=np.uint32)
        positions = np.minimum(positions, self._model.weights.rope_table.shape[0] - 1)
        device.write(recorded.positions.storage.buffer, 0, positions)
        if recorded.rows > 1:
            device.write(recorded.last_row.storage.buffer, 0, np.array([count - 1], np.uint32))
        await device.run(self._programs[index])
        size_bytes = 4 * self._model.config.vocab_size
        data = await device.read(recorded.logits.storage.buffer, 0, size_bytes)
        return np.frombuffer(data, np.float32)

    def destroy(self) -> None:
        """Free the buffers of these passes; the caches stay."""
        self._allocation.destroy()
