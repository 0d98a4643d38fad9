"""Whole models of the engine, written down for the page: answers and training steps.

Weights are random, of a real model's shape and formats: how long a pass takes does not depend
on what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.config import LoraConfig, ModelConfig
from app.generate.passes import record_pass
from app.gpu.device import AdapterInfo, Limits
from app.gpu.graph import Storage, persistent
from app.gpu.tuning import Tuning, default_tuning
from app.models.loader import Model
from app.models.random import random_model
from app.nn.adapter import Adapter
from app.train.step import record_training
from tests.bench.peers.record import SWIFTSHADER, SWIFTSHADER_LIMITS, strip, write_down


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


def record_step(
    config: ModelConfig, seq_len: int, rank: int
) -> tuple[dict[str, Any], dict[str, bytes], Model, Adapter]:
    """Record a training step: the micro-batch (program 0) and the update (1).

    Returns:
        What the page takes, the bytes that it fetches by path, the model and its adapter.
    """
    model = paper_model(config)
    adapter = Adapter.create(config, model.device, LoraConfig(rank=rank, alpha=2 * rank), seed=0)
    graphs = record_training(model, adapter, micro_batch_size=1, seq_len=seq_len)
    inputs = graphs.inputs
    roles = {
        "tokens": inputs.tokens,
        "targets": inputs.targets,
        "positions": inputs.positions,
        "normalizer": inputs.normalizer,
        "loss": inputs.total,
        "gradients": graphs.gradients,
    }
    written, blobs = with_data(write_down([graphs.micro_batch, graphs.update], roles))
    return written, blobs, model, adapter


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
