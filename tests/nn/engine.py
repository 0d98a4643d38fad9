"""What the tests of the engine share: a tiny model beside its float64 twin, and runs of parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from app.config import LoraConfig, ModelConfig
from app.gpu.device import Device
from app.gpu.graph import Graph, Tensor, persistent
from app.gpu.memory import Allocation, build_programs, plan_memory
from app.gpu.tuning import default_tuning
from app.io.source import MemorySource
from app.models.loader import Model, load_model
from app.nn.adapter import Adapter
from app.nn.decoder import Decoder
from app.nn.weights import module_path
from app.ops.linear import linear
from app.reference.decoder import ReferenceDecoder
from app.text.windows import Batch
from app.train.step import BatchInputs, record_training
from tests.conftest import run
from tests.tiny_model import dequantized_weights, make_tiny_gguf

Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
Tensors = dict[str, tuple[Float32Array, Float32Array]]

SHAPE: dict[str, Any] = {
    "hidden": 64,
    "heads": 6,
    "kv_heads": 2,
    "head_dim": 16,
    "intermediate": 160,
    "vocab": 333,
}
"""All sizes differ, three queries share a key, and the vocabulary is not a multiple of a tile."""

LORA = LoraConfig(rank=3, alpha=6)
"""A rank that is no multiple of four, and a scale that is not one."""


@dataclass(eq=False)
class Tiny:
    """A tiny model on the GPU and the same weights in numpy."""

    data: bytes
    model: Model

    @property
    def config(self) -> ModelConfig:
        return self.model.config

    @property
    def device(self) -> Device:
        return self.model.device

    @cached_property
    def reference(self) -> ReferenceDecoder:
        return ReferenceDecoder(self.config, dequantized_weights(self.data))

    def adapter(self, lora: LoraConfig = LORA, seed: int = 1) -> Adapter:
        """Return an adapter whose A and B are both random."""
        adapter = Adapter(self.config, self.device, lora)
        adapter.load(random_tensors(self.config, lora, seed))
        return adapter


def load_tiny(device: Device, **shape: Any) -> Tiny:
    """Make and load a tiny model; `make_tiny_gguf` says what can be asked for."""
    data = make_tiny_gguf(**(SHAPE | shape))
    return Tiny(data, run(load_model(device, MemorySource(data), lambda done, total: None)))


@pytest.fixture(scope="package")  # other packages compare the device's bytes with a plan
def tiny(device: Device) -> Iterator[Tiny]:
    """A model that tests share and never change."""
    tiny = load_tiny(device)
    yield tiny
    tiny.model.destroy()


@pytest.fixture
def nothing_leaks(tiny: Tiny) -> Iterator[None]:
    """After the test the GPU holds what it held before."""
    before = tiny.device.allocated_bytes
    yield
    assert tiny.device.allocated_bytes == before


def random_tensors(config: ModelConfig, lora: LoraConfig, seed: int) -> Tensors:
    """Return an adapter that changes the output about as much as a trained one."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for layer in range(config.num_hidden_layers):
        for module in lora.target_modules:
            out_features, in_features = config.projection_shape(module)
            a = rng.uniform(-1, 1, (lora.rank, in_features)) / np.sqrt(in_features)
            b = rng.uniform(-0.2, 0.2, (out_features, lora.rank))
            tensors[module_path(layer, module)] = a.astype(np.float32), b.astype(np.float32)
    return tensors


def random_tokens(config: ModelConfig, *shape: int, seed: int = 5) -> IntArray:
    """Return token ids, any of the vocabulary."""
    return np.random.default_rng(seed).integers(0, config.vocab_size, shape).astype(np.int32)


def next_tokens(tokens: IntArray) -> IntArray:
    """Return the targets of whole windows: each token's successor, none for the last."""
    return np.concatenate([tokens[:, 1:], np.full_like(tokens[:, :1], -100)], axis=1)


def read_f32(device: Device, tensor: Tensor) -> Float32Array:
    """Return the values of a tensor that has a buffer of its own."""
    assert tensor.storage.buffer is not None
    data = run(device.read(tensor.storage.buffer, tensor.offset_bytes, tensor.size_bytes))
    return np.frombuffer(data, np.float32).reshape(tensor.shape)


def write_f32(device: Device, tensor: Tensor, values: npt.ArrayLike) -> None:
    """Overwrite a tensor that has a buffer of its own."""
    device.write(tensor.storage.buffer, tensor.offset_bytes, np.asarray(values, np.float32))


def logits_of(model: Model, adapter: Adapter | None, tokens: IntArray) -> Float32Array:
    """Return the logits of every position of (B, S) tokens: (B, S, V)."""
    device, config = model.device, model.config
    inputs = BatchInputs.create(*tokens.shape)
    graph = Graph("logits", default_tuning(device.info))
    decoder = Decoder(config, model.weights, adapter)
    hidden = decoder.forward(graph, inputs.tokens, inputs.sequences(is_packed=False))
    logits = persistent("logits", (tokens.size, model.weights.head.stride), "scratch")
    linear(graph, hidden, model.weights.head, out=logits)
    allocation = Allocation.create(device, plan_memory([graph]))
    (program,) = run(build_programs(device, [graph], allocation))
    inputs.write(device, Batch.of_rows(tokens, tokens), 1.0)
    assert run(device.run(program))
    values = read_f32(device, logits)[:, : config.vocab_size]
    allocation.destroy()
    return values.reshape(*tokens.shape, -1)


class Step:
    """A recorded training step, run piece by piece."""

    def __init__(
        self, model: Model, adapter: Adapter, tokens: IntArray, *, is_checkpointing: bool = False
    ) -> None:
        self.device = model.device
        self._adapter = adapter
        self._tokens = tokens
        self.graphs = record_training(
            model,
            adapter,
            micro_batch_size=tokens.shape[0],
            seq_len=tokens.shape[1],
            gradient_checkpointing="on" if is_checkpointing else "off",
        )
        assert self.graphs.is_checkpointing == is_checkpointing
        self._allocation = Allocation.create(self.device, self.graphs.plan)
        graphs = [self.graphs.micro_batch, self.graphs.update]
        self._programs = run(build_programs(self.device, graphs, self._allocation))

    def add_gradients(self, targets: IntArray, normalizer: float) -> None:
        """Run the micro-batch; losses are multiplied by `normalizer`."""
        batch = Batch.of_rows(self._tokens, targets)
        self.graphs.inputs.write(self.device, batch, normalizer)
        assert run(self.device.run(self._programs[0]))

    @property
    def loss(self) -> float:
        """What has been added up since the last update."""
        return float(read_f32(self.device, self.graphs.inputs.total)[0])

    def clear(self) -> None:
        """Forget loss and gradients."""
        write_f32(self.device, self.graphs.inputs.total, [0.0])
        write_f32(self.device, self.graphs.gradients, np.zeros(self.graphs.gradients.shape))

    @property
    def gradients(self) -> Tensors:
        """What has been added up since the last update, by module."""
        return self._adapter.layout.unpack(read_f32(self.device, self.graphs.gradients))

    def update(
        self, learning_rate: float, *, max_norm: float = 0.0, weight_decay: float = 0.0
    ) -> Float32Array:
        """Run the update and return its report."""
        common = self.graphs.optimizer.common
        write_f32(self.device, common.step, [learning_rate, max_norm, weight_decay, 0])
        assert run(self.device.run(self._programs[1]))
        return read_f32(self.device, common.report)

    def destroy(self) -> None:
        self._allocation.destroy()
