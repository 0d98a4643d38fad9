"""What is timed to tune a device: parts of a training step at the model's own shapes.

A step of two layers and their share of the head is recorded as a run records it. Of its
dispatches a class is timed by those that the class's choice changes: so products count by their
size, and what a choice brings along (another kernel that prepares its operands) counts too.
Buffers that nothing writes hold zeros: the work is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from app.config import LoraConfig
from app.errors import ShapeError
from app.gpu.graph import Graph, Tensor, persistent
from app.gpu.kernels import Kernel
from app.gpu.tuning import Tuning
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.ops.cross_entropy import head_loss
from app.ops.linear import linear
from app.ops.matrix import Matrix, new_matrix
from app.train.step import record_training

Array = npt.NDArray[Any]

LAYERS = 2
"""Gradients do not flow below the first layer: two are more like thirty than one is."""

BATCHES = {True: (1, 128), False: (4, 256)}
"""Windows and tokens of a window: a software adapter, a GPU."""

LEAST_TOKENS = 128
"""As many as the tallest tile has rows: with fewer, other kernels would take its place."""


@dataclass(frozen=True, eq=False)
class Workload:
    """Dispatches to time, and what their inputs hold; all else starts as zeros."""

    graph: Graph
    inputs: Sequence[tuple[Tensor, Array]] = ()


class Work:
    """Records each operation class; `scale`, at most 1, makes the work smaller."""

    def __init__(self, model: Model) -> None:
        self.model = model
        layers = model.weights.layers[:LAYERS]
        weights = replace(model.weights, layers=layers, head=self._head_share(len(layers)))
        config = replace(model.config, num_hidden_layers=len(layers))
        self._small = replace(model, config=config, weights=weights)
        self._adapter: Adapter | None = None

    def destroy(self) -> None:
        """Give back what recording allocated."""
        if self._adapter is not None:
            self._adapter.destroy()
            self._adapter = None

    def _batch(self, scale: float) -> tuple[int, int]:
        """Return windows and tokens of a window."""
        windows, tokens = BATCHES[self.model.device.info.is_software]
        longest = min(tokens, self.model.weights.rope_table.shape[0])
        count = max(1, int(windows * scale))
        wanted = int(windows * tokens * scale) // count // LEAST_TOKENS * LEAST_TOKENS
        return count, min(max(wanted, LEAST_TOKENS), longest)

    def _head_share(self, layers: int) -> Matrix:
        """Return a matrix of zeros as large as what of the head falls to some layers."""
        config, head = self.model.config, self.model.weights.head
        rows = max(8, config.vocab_size * layers // config.num_hidden_layers // 8 * 8)
        return new_matrix("head", head.format, rows, head.num_columns)

    def step(self, tuning: Tuning, other: Tuning, scale: float) -> Workload:
        """Return what of a training step is computed otherwise with another tuning.

        Raises:
            ShapeError: nothing is, at this model's shapes.
        """
        graph, inputs = self._record(tuning, scale)
        elsewhere: set[Kernel] = {node.kernel for node in self._record(other, scale)[0].nodes}
        nodes = [node for node in graph.nodes if node.kernel not in elsewhere]
        if not nodes:
            raise ShapeError("it changes nothing at this model's shapes")
        return Workload(Graph(graph.label, tuning, nodes), inputs)

    def _record(self, tuning: Tuning, scale: float) -> tuple[Graph, list[tuple[Tensor, Array]]]:
        device = self.model.device
        windows, tokens = self._batch(scale)
        if self._adapter is None:
            self._adapter = Adapter(self._small.config, device, LoraConfig())
        kept, device.tuning = device.tuning, tuning
        try:
            graphs = record_training(
                self._small, self._adapter, micro_batch_size=windows, seq_len=tokens
            )
        finally:
            device.tuning = kept
        positions = np.tile(np.arange(tokens, dtype=np.uint32), windows)
        return graphs.micro_batch, [(graphs.inputs.positions, positions)]

    def vector(self, tuning: Tuning, scale: float) -> Workload:
        """One token through the layers: weights must come from memory, not from a cache."""
        graph = Graph("vector", tuning)
        count = max(1, int(scale * self.model.config.num_hidden_layers))
        layers = self.model.weights.layers[:count]
        matrices = [matrix for layer in layers for matrix in layer.projections.values()]
        for matrix in (*matrices, self._head_share(count)):
            linear(graph, persistent("x", (1, matrix.num_columns), "scratch"), matrix)
        return Workload(graph)

    def head(self, tuning: Tuning, scale: float) -> Workload:
        """Logits, loss and the gradient through the whole head, in chunks of rows."""
        graph = Graph("head", tuning)
        config = self.model.config
        windows, tokens = self._batch(scale)
        rows = windows * tokens
        head_loss(
            graph,
            persistent("hidden", (rows, config.hidden_size), "scratch"),
            self.model.weights.head,
            persistent("targets", (rows,), "scratch", "i32"),
            persistent("normalizer", (1,), "scratch"),
            persistent("total", (1,), "scratch"),
            chunk_rows=tuning.head_rows(config.hidden_size, config.vocab_size),
        )
        return Workload(graph)
