"""Whole models of the engine, written down for the page: answers and training steps.

Weights are random, of a real model's shape and formats: how long a pass takes does not depend
on what they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.config import LoraConfig, ModelConfig
from app.generate.passes import record_pass
from app.gpu.adapter import AdapterInfo, Limits
from app.gpu.graph import Storage, persistent
from app.gpu.tuning import Tuning, default_tuning
from app.models.loader import Model
from app.models.random import random_model
from app.nn.adapter import Adapter, initial_tensors
from app.nn.weights import PROJECTION_GROUPS, group_bounds, module_path
from app.ops.matrix import GROUP_SIZE, Matrix
from app.train.step import record_training
from tests.bench.peers.record import SWIFTSHADER, SWIFTSHADER_LIMITS, strip, write_down

LORA = LoraConfig()


@dataclass(eq=False)
class WrittenBuffer:
    """A buffer that only keeps what was written to it."""

    size_bytes: int
    label: str
    data: NDArray[np.uint8] | None = None


@dataclass(eq=False)
class PaperDevice:
    """What `app.models.random` and `app.train.step` ask of a device, without one."""

    info: AdapterInfo = SWIFTSHADER
    limits: Limits = SWIFTSHADER_LIMITS
    features: frozenset[str] = frozenset()
    allocated_bytes: int = 0
    tuning: Tuning = field(default_factory=lambda: default_tuning(SWIFTSHADER))

    def create_buffer(self, size_bytes: int, label: str) -> WrittenBuffer:
        return WrittenBuffer(size_bytes, label)

    def destroy_buffer(self, buffer: WrittenBuffer) -> None:
        buffer.data = None

    def write(self, buffer: WrittenBuffer, offset_bytes: int, data: Any) -> None:
        if buffer.data is None:
            buffer.data = np.zeros(buffer.size_bytes, np.uint8)
        values = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else np.asarray(data)
        values = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        buffer.data[offset_bytes : offset_bytes + values.size] = values


def record_chat(config: ModelConfig, context: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Record the passes of an answer: a chunk of the prompt (program 0) and one token (1).

    Returns:
        What the page takes, and the bytes that it fetches by path.
    """
    model = paper_model(config)
    width = config.num_key_value_heads * config.head_dim
    caches = tuple(
        (
            persistent("key cache", (context, width), "scratch"),
            persistent("value cache", (context, width), "scratch"),
        )
        for _ in range(config.num_hidden_layers)
    )
    chunk_rows = model.device.tuning.prefill_rows[0]
    chunk, token = (record_pass(model, None, caches, rows) for rows in (chunk_rows, 1))
    roles = {}
    for name, item in (("chunk", chunk), ("token", token)):
        roles |= {
            f"{name}Tokens": item.tokens,
            f"{name}Positions": item.positions,
            f"{name}LastRow": item.last_row,
            f"{name}Logits": item.logits,
        }
    written, blobs = with_data(write_down([chunk.graph, token.graph], roles))
    return {**written, "chunkRows": chunk_rows, "vocabulary": config.vocab_size}, blobs


def record_decoder(config: ModelConfig, rows: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Record loss and gradients of one window of `rows` tokens, adapters in every projection.

    Returns:
        What the page takes, with the same weights as f32 for a peer, and the bytes it fetches.
    """
    model = paper_model(config)
    device, random = model.device, np.random.default_rng(1)
    adapter = Adapter(config, device, LORA)
    initial = initial_tensors(config, LORA, seed=0)
    # B is zero at first, and with it the gradient of A: a check needs both.
    filled = {
        path: (a, (0.02 * random.standard_normal(b.shape)).astype(np.float32))
        for path, (a, b) in initial.items()
    }
    adapter.load(filled)
    graphs = record_training(model, adapter, micro_batch_size=1, seq_len=rows)
    inputs = graphs.inputs
    roles = {
        "tokens": inputs.tokens,
        "targets": inputs.targets,
        "positions": inputs.positions,
        "normalizer": inputs.normalizer,
        "loss": inputs.total,
        "gradients": graphs.gradients,
        "parameters": adapter.parameters,
    }
    written, blobs = with_data(write_down([graphs.micro_batch], roles))
    modules = {
        path: {"a": [a.start, *filled[path][0].shape], "b": [b.start, *filled[path][1].shape]}
        for path, (a, b) in adapter.layout.module_slices().items()
    }
    weights = {}
    for name, values in dense_weights(model):
        path = f"/weights/{name}"
        blobs[path] = np.ascontiguousarray(values).tobytes()
        weights[name] = {"path": path, "shape": values.shape}
    shape = {
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "keyValueHeads": config.num_key_value_heads,
        "headDim": config.head_dim,
        "theta": config.rope_theta,
        "epsilon": config.rms_norm_eps,
        "scaling": LORA.scaling,
        "rows": rows,
    }
    flops = 4.0 * config.num_matmul_parameters * rows
    spec = {"written": written, "modules": modules, "weights": weights, "shape": shape}
    return {**spec, "flops": flops}, blobs


def dense_weights(model: Model) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the path of each projection, and "head", with its weights as f32, (out, in)."""
    for layer, weights in enumerate(model.weights.layers):
        for group, matrix in weights.projections.items():
            bounds = group_bounds(model.config, group)
            parts = np.split(dequantize(matrix), bounds)
            for module, part in zip(PROJECTION_GROUPS[group], parts, strict=True):
                yield module_path(layer, module), part
    yield "head", dequantize(model.weights.head)


def dequantize(matrix: Matrix) -> NDArray[np.float32]:
    """Return a packed matrix that was only written down as f32: wgsl/lib/weights_*.wgsl."""
    size = matrix.words.size_bytes
    words = matrix.words.storage.buffer.data[:size].view(np.uint32).reshape(-1, matrix.stride)
    if matrix.format == "int4":
        nibbles = [(words >> shift) & 15 for shift in (0, 8, 16, 24, 4, 12, 20, 28)]
        codes = np.stack(nibbles, 1).reshape(-1, matrix.stride)
    else:
        codes = words.reshape(-1, 1, matrix.stride).repeat(4, 1)
        codes = (codes >> np.array([0, 8, 16, 24], np.uint32)[:, None]).astype(np.uint8)
        codes = codes.view(np.int8).reshape(-1, matrix.stride)
    size = matrix.scales.size_bytes
    pairs = matrix.scales.storage.buffer.data[:size].view(np.float16).astype(np.float32)
    scale, least = np.moveaxis(pairs.reshape(-1, matrix.stride, 2), 2, 0)
    values = codes * scale.repeat(GROUP_SIZE, 0) + least.repeat(GROUP_SIZE, 0)
    return values.T[: matrix.num_rows].astype(np.float32)


def paper_model(config: ModelConfig) -> Model:
    """Return a model of random weights that no device holds."""
    device: Any = PaperDevice()
    return random_model(device, config)


def with_data(written: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what the page takes, with the paths of what its buffers start with, and the bytes."""
    owners: list[Storage] = written["owners"]
    blobs, paths = {}, {}
    for index, storage in enumerate(owners):
        if storage.buffer is not None and storage.buffer.data is not None:
            paths[index] = f"/data/{index}"
            blobs[paths[index]] = storage.buffer.data.tobytes()
    return {**strip(written), "data": paths}, blobs
