"""A step that trains all weights of the tiny model, run piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from app.gpu.graph import Tensor
from app.gpu.memory import Allocation, build_programs
from app.models.export import dense_rows, named_weights, read_weights
from app.models.loader import Model
from app.nn.trainable import norms_of
from app.ops.matrix import Matrix
from app.text.windows import Batch
from app.train.full.convert import take_over
from app.train.full.record import record_full_training
from tests.conftest import run
from tests.nn.engine import Float32Array, IntArray, read_f32, write_f32

Weights = dict[str, npt.NDArray[Any]]


def weights_of(model: Model) -> Weights:
    """Return every weight of a model as float32, by its HuggingFace name."""

    async def read() -> Weights:
        device, config = model.device, model.config
        return {w.name: v async for w, v in read_weights(device, config, model.weights, "f32")}

    return run(read())


class FullStep:
    """A recorded step of full training; the model's weights become the trained ones."""

    def __init__(
        self, model: Model, tokens: IntArray, *, is_checkpointing: bool = False, **choices: Any
    ) -> None:
        self.device, self._tokens, self._model = model.device, tokens, model
        self.graphs = record_full_training(
            model,
            micro_batch_size=tokens.shape[0],
            seq_len=tokens.shape[1],
            gradient_checkpointing="on" if is_checkpointing else "off",
            **({"weights": "f32"} | choices),
        )
        assert self.graphs.is_checkpointing == is_checkpointing
        self._allocation = Allocation.create(self.device, self.graphs.plan)
        self._programs = run(build_programs(self.device, self.graphs.graphs, self._allocation))
        for tensor, values in self.graphs.optimizer.initial_values():
            self.device.write(tensor.storage.buffer, 0, values)
        run(take_over(model, self.graphs.trained, self._programs[0], self.graphs.plan))

    def add_gradients(self, targets: IntArray, normalizer: float) -> None:
        """Run the micro-batch; losses are multiplied by `normalizer`."""
        self.graphs.inputs.write(self.device, Batch.of_rows(self._tokens, targets), normalizer)
        assert run(self.device.run(self._programs[1]))

    @property
    def loss(self) -> float:
        """What has been added up since the last update."""
        return float(read_f32(self.device, self.graphs.inputs.total)[0])

    @property
    def gradients(self) -> Weights:
        """What has been added up since the last update, by name of the weight."""
        trained = self.graphs.trained
        of_matrix = {id(item.matrix): item for item in trained.matrices}
        norms = norms_of(trained.weights)
        found: Weights = {}
        for weight in named_weights(self._model.config, trained.weights):
            if isinstance(weight.source, Tensor):
                index = [tensor is weight.source for tensor in norms].index(True)
                found[weight.name] = read_f32(self.device, trained.gain_gradient(index))
                continue
            rows = read_f32(self.device, of_matrix[id(weight.source)].gradient).T
            found[weight.name] = rows[weight.first_row : weight.first_row + weight.shape[0]]
        return found

    def clear(self) -> None:
        """Forget loss and gradients."""
        trained = self.graphs.trained
        gradients = [item.gradient for item in trained.matrices]
        for tensor in (self.graphs.inputs.total, trained.gain_gradients, *gradients):
            write_f32(self.device, tensor, np.zeros(tensor.shape))

    def update(
        self, learning_rate: float, *, max_norm: float = 0.0, weight_decay: float = 0.0
    ) -> Float32Array:
        """Run the update and return its report."""
        common = self.graphs.optimizer.common
        write_f32(self.device, common.step, [learning_rate, max_norm, weight_decay, 0])
        assert run(self.device.run(self._programs[2]))
        return read_f32(self.device, common.report)

    def destroy(self) -> None:
        """Free all but the model."""
        self._allocation.destroy()


def write_matrix(model: Model, matrix: Matrix, values: Float32Array) -> None:
    """Overwrite an f32 matrix with (num_rows, num_columns) values."""
    packed = np.zeros((matrix.num_columns, matrix.stride), np.float32)
    packed[:, : matrix.num_rows] = values.T
    model.device.write(matrix.words.storage.buffer, 0, packed)
    assert dense_rows(packed.tobytes(), matrix).shape == values.shape
