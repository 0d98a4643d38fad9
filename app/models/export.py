"""All weights of a model under their HuggingFace names, read back from the GPU one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.config import ModelConfig
from app.gpu.device import Device
from app.gpu.graph import Graph, Tensor
from app.gpu.memory import Allocation, build_programs, plan_memory
from app.nn.weights import PROJECTION_GROUPS, DecoderWeights, module_path
from app.ops.convert import convert
from app.ops.matrix import Matrix, new_matrix

FloatArray = NDArray[np.floating[Any]]
ExportDtype = Literal["f32", "f16"]


@dataclass(frozen=True)
class NamedWeight:
    """Where a weight lies.

    Attributes:
        name: HuggingFace's, such as model.layers.0.self_attn.q_proj.weight.
        shape: (out_features, in_features), or (hidden_size,) of a norm.
        source: The stack of matrices that it is part of, or the norm.
        first_row: Row of the stack where it begins.
    """

    name: str
    shape: tuple[int, ...]
    source: Matrix | Tensor
    first_row: int = 0


def named_weights(config: ModelConfig, weights: DecoderWeights) -> Iterator[NamedWeight]:
    """Yield every weight once; those of one stack follow each other. A tied head is no weight."""
    table = (config.vocab_size, config.hidden_size)
    norm = (config.hidden_size,)
    yield NamedWeight("model.embed_tokens.weight", table, weights.embedding)
    for index, layer in enumerate(weights.layers):
        prefix = f"model.layers.{index}"
        yield NamedWeight(f"{prefix}.input_layernorm.weight", norm, layer.input_norm)
        name = f"{prefix}.post_attention_layernorm.weight"
        yield NamedWeight(name, norm, layer.post_attention_norm)
        for group, modules in PROJECTION_GROUPS.items():
            row = 0
            for module in modules:
                shape = config.projection_shape(module)
                path = f"{module_path(index, module)}.weight"
                yield NamedWeight(path, shape, layer.projections[group], row)
                row += shape[0]
    yield NamedWeight("model.norm.weight", norm, weights.norm)
    if weights.head is not weights.embedding:
        yield NamedWeight("lm_head.weight", table, weights.head)


async def read_weights(
    device: Device, config: ModelConfig, weights: DecoderWeights, dtype: ExportDtype
) -> AsyncIterator[tuple[NamedWeight, FloatArray]]:
    """Yield every weight of `named_weights` with its values; one stack is held at a time.

    Args:
        device: Where the weights are.
        config: Shape of the model.
        weights: Any formats; quantized ones are dequantized.
        dtype: What the values are given in; f16 has the nearest value to each.
    """
    held: tuple[Matrix, FloatArray] | None = None
    for weight in named_weights(config, weights):
        source = weight.source
        if isinstance(source, Tensor):
            data = await device.read(source.storage.buffer, source.offset_bytes, source.size_bytes)
            norm = np.frombuffer(data, np.float32)
            yield weight, norm if dtype == "f32" else _as_f16(norm)
            continue
        if held is None or held[0] is not source:
            held = None  # freed before the next is read
            held = source, await read_matrix(device, source, dtype)
        rows = held[1][weight.first_row : weight.first_row + weight.shape[0]]
        yield weight, np.ascontiguousarray(rows)


async def read_matrix(device: Device, matrix: Matrix, dtype: ExportDtype) -> FloatArray:
    """Return a matrix, (num_rows, num_columns), dequantized."""
    if matrix.format == dtype:
        words = matrix.words
        return dense_rows(await device.read(words.storage.buffer, 0, words.size_bytes), matrix)
    target = new_matrix("export", dtype, matrix.num_rows, matrix.num_columns)
    graph = Graph("export")
    convert(graph, matrix, target)
    allocation = Allocation.create(device, plan_memory([graph]))
    try:
        (program,) = await build_programs(device, [graph], allocation)
        await device.run(program)
        words = target.words
        return dense_rows(await device.read(words.storage.buffer, 0, words.size_bytes), target)
    finally:
        allocation.destroy()


def dense_rows(data: bytes, matrix: Matrix) -> FloatArray:
    """Return the rows of an f32 or f16 matrix from its words; a view of them."""
    if matrix.format == "f32":
        packed = np.frombuffer(data, np.float32).reshape(matrix.num_columns, matrix.stride)
        return packed[:, : matrix.num_rows].T
    pairs = np.frombuffer(data, np.float16).reshape(-1, matrix.stride, 2)
    rows = pairs[:, : matrix.num_rows].transpose(1, 0, 2)
    return rows.reshape(matrix.num_rows, matrix.num_columns)


def _as_f16(values: NDArray[np.float32]) -> NDArray[np.float16]:
    largest = float(np.finfo(np.float16).max)
    with np.errstate(under="ignore"):
        return np.clip(values, -largest, largest).astype(np.float16)
