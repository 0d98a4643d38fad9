"""The optimizers of whole weights, behind one recorder."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from app.config import OptimizerName
from app.gpu.graph import Graph, Tensor
from app.gpu.memory import padded
from app.nn.trainable import TrainableWeights, TrainedMatrix
from app.ops.apply import apply_f32, apply_to_matrix
from app.ops.delta import (
    AdafactorMeans,
    Adam8bitMoments,
    AdamwMoments,
    adafactor_delta,
    adam8bit_delta,
    adamw_delta,
    map_words,
    new_maps,
)
from app.ops.update import UpdateState, prepare_updates

KEY_STEP = 0x85EBCA6B
"""Between the keys of two matrices: odd, so that all differ."""

Moments = AdamwMoments | Adam8bitMoments | AdafactorMeans


class FullOptimizer:
    """An optimizer's state for all weights of a model, and how its update is recorded.

    Norms have AdamW's moments in f32 with every optimizer: they are too few to save anything on,
    and have no second dimension that Adafactor could factor.

    Args:
        name: Which optimizer.
        trained: What it updates.
        seed: Of the rounding to f16 and INT4.

    Attributes:
        common: What all optimizers keep.
    """

    def __init__(self, name: OptimizerName, trained: TrainableWeights, seed: int) -> None:
        self._seed = seed
        self.common = UpdateState.create(1)
        self._trained = trained
        self._maps = new_maps() if name == "adam8bit" else None
        self._moments = [_moments(name, matrix, self._maps) for matrix in trained.matrices]
        self._gain_moments = AdamwMoments.create(trained.gains)

    def record(self, graph: Graph, loss: Tensor) -> None:
        """Record one update of all weights; gradients and loss are cleared for the next.

        An update whose loss or gradient norm is not finite is skipped and counted.

        Args:
            graph: Where to record.
            loss: (1,), f32, the step's mean loss.
        """
        trained = self._trained
        gradients = [matrix.gradient for matrix in trained.matrices]
        update = prepare_updates(graph, [*gradients, trained.gain_gradients], loss, self.common)
        for index, (matrix, moments) in enumerate(
            zip(trained.matrices, self._moments, strict=True)
        ):
            match moments:
                case AdamwMoments():
                    adamw_delta(graph, update, matrix.gradient, moments)
                case Adam8bitMoments():
                    adam8bit_delta(graph, update, matrix.gradient, moments)
                case AdafactorMeans():
                    adafactor_delta(graph, update, matrix.gradient, moments)
            key = (self._seed + index * KEY_STEP) % 2**32
            apply_to_matrix(graph, update, matrix.matrix, matrix.gradient, key=key)
        adamw_delta(graph, update, trained.gain_gradients, self._gain_moments)
        apply_f32(graph, update, trained.gains, trained.gain_gradients)

    @property
    def state_bytes(self) -> int:
        """Bytes of the moments or means and their maps."""
        states = [*self._moments, self._gain_moments]
        tensors = [part for state in states for part in vars(state).values()]
        storages = {part.storage for part in tensors if isinstance(part, Tensor)}
        return sum(padded(storage.size_bytes) for storage in storages)

    def initial_values(self) -> list[tuple[Tensor, npt.NDArray[Any]]]:
        """Return what must be written before the first update."""
        return [(self._maps, map_words())] if self._maps is not None else []


def _moments(name: OptimizerName, trained: TrainedMatrix, maps: Tensor | None) -> Moments:
    if maps is not None:
        return Adam8bitMoments.create(trained.gradient, maps)
    if name == "adafactor":
        return AdafactorMeans.create(trained.gradient, trained.matrix.num_rows)
    return AdamwMoments.create(trained.gradient)
