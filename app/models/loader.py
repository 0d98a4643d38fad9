"""Bring a model from a file onto the GPU, in slices that never pass through Python's heap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.config import ModelConfig
from app.errors import OutOfGpuMemoryError
from app.gpu.device import Device
from app.gpu.graph import Graph, Tensor, persistent
from app.gpu.memory import Allocation, build_programs, padded, plan_memory
from app.io.gguf import GgufTensor, model_config_from_gguf, read_gguf
from app.io.source import ByteSource
from app.models.llama import LoadPlan, MatrixPart, plan_load
from app.nn.weights import DecoderWeights
from app.ops.matrix import repack
from app.ops.rope import rope_table
from app.text.tokenizer import Tokenizer, tokenizer_from_gguf

CHUNK_BYTES = 32 << 20

BASE_NAMES = {"Smollm2 135M 8k Lc100K Mix1 Ep2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Names that converters wrote into GGUF files, and the repository an adapter should name."""

END_OF_TURN = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>")


@dataclass(eq=False)
class Model:
    """A model on the GPU, with what is needed to talk to it."""

    config: ModelConfig
    weights: DecoderWeights
    tokenizer: Tokenizer
    chat_template: str | None
    base_name: str
    device: Device

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer: end of text, and the ends of a turn that are in use."""
        ids = {self.tokenizer.eos_token_id}
        ids |= {self.tokenizer.token_id(text) for text in END_OF_TURN}
        return tuple(sorted(token for token in ids if token is not None))

    @property
    def weights_bytes(self) -> int:
        """Bytes the weights occupy on the GPU."""
        return sum(padded(storage.size_bytes) for storage in self.weights.storages())

    def destroy(self) -> None:
        """Free the weights."""
        for storage in self.weights.storages():
            if storage.buffer is not None:
                self.device.destroy_buffer(storage.buffer)
                storage.buffer = None


async def load_model(
    device: Device, source: ByteSource, on_progress: Callable[[int, int], None]
) -> Model:
    """Load a GGUF model.

    Args:
        device: Where the weights go.
        source: The file.
        on_progress: Called with (bytes uploaded, bytes in all).

    Raises:
        FormatError: the file is truncated, corrupted, or of an architecture or type that is
            not supported; found out before anything is allocated.
        OutOfGpuMemoryError: a weight is larger than the device allows; likewise.
    """
    file = await read_gguf(source)
    config = model_config_from_gguf(file)
    tokenizer = tokenizer_from_gguf(file.metadata)
    plan = plan_load(file, config)
    check_weights_fit(device, plan.weights)
    name = str(file.metadata.get("general.name") or source.name)
    name = BASE_NAMES.get(name, name)
    template = file.metadata.get("tokenizer.chat_template")
    model = Model(
        config,
        plan.weights,
        tokenizer,
        str(template) if template is not None else None,
        name,
        device,
    )
    try:
        for storage in plan.weights.storages():
            storage.buffer = device.create_buffer(padded(storage.size_bytes), storage.label)
        await _upload(device, source, plan, config, on_progress)
    except BaseException:
        model.destroy()
        raise
    return model


def check_weights_fit(device: Device, weights: DecoderWeights) -> None:
    """Refuse weights that the device cannot hold in one buffer or bind.

    Raises:
        OutOfGpuMemoryError: names the tensor, its size and the limit.
    """
    limit = min(device.limits.max_buffer_bytes, device.limits.max_binding_bytes)
    for storage in weights.storages():
        if padded(storage.size_bytes) > limit:
            raise OutOfGpuMemoryError(
                f"{storage.label} needs {storage.size_bytes / 2**20:.0f} MiB in one buffer but "
                f"{device.info.name} allows {limit / 2**20:.0f} MiB: choose a smaller model"
            )


async def _upload(
    device: Device,
    source: ByteSource,
    plan: LoadPlan,
    config: ModelConfig,
    on_progress: Callable[[int, int], None],
) -> None:
    table = plan.weights.rope_table
    angles = rope_table(table.shape[0], config.head_dim, config.rope_theta)
    device.write(table.storage.buffer, 0, angles)
    total, done = plan.source_bytes, 0
    for tensor, target in plan.vectors:
        values = await _read_vector(source, tensor)
        device.write(target.storage.buffer, 0, values)
        done += tensor.size_bytes
    largest = max(
        min(_rows_per_chunk(part), part.source.shape[0]) * _row_bytes(part)
        for part in plan.matrices
    )
    staging = persistent("staging", (-(-largest // 4) + 1,), "scratch", dtype="u32")
    staging.storage.buffer = device.create_buffer(padded(staging.size_bytes), "staging")
    try:
        for part in plan.matrices:
            for first_row in range(0, part.source.shape[0], _rows_per_chunk(part)):
                done += await _upload_rows(device, source, part, first_row, staging)
                on_progress(done, total)
    finally:
        await device.wait()
        device.destroy_buffer(staging.storage.buffer)


async def _upload_rows(
    device: Device, source: ByteSource, part: MatrixPart, first_row: int, staging: Tensor
) -> int:
    """Upload one chunk of rows and repack it; return how many bytes it was."""
    tensor = part.source
    rows = min(_rows_per_chunk(part), tensor.shape[0] - first_row)
    size = rows * _row_bytes(part)
    data = await source.chunk(tensor.offset + first_row * _row_bytes(part), size)
    device.write(staging.storage.buffer, 0, data)
    graph = Graph("repack")
    repack(
        graph,
        staging,
        part.matrix,
        gguf_type=tensor.type,
        num_rows=rows,
        first_row=first_row,
        offset=part.offset,
        head_dim=part.head_dim,
    )
    allocation = Allocation.create(device, plan_memory([graph]))
    program = (await build_programs(device, [graph], allocation))[0]
    await device.run(program)
    # The staging buffer is written again next: writes and submits run in queue order.
    allocation.destroy()
    return size


async def _read_vector(
    source: ByteSource, tensor: GgufTensor
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    data = await source.read(tensor.offset, tensor.size_bytes)
    dtype = {"F32": np.float32, "F16": np.float16}[tensor.type]
    return np.frombuffer(data, dtype).astype(np.float32)


def _row_bytes(part: MatrixPart) -> int:
    return part.source.size_bytes // part.source.shape[0]


def _rows_per_chunk(part: MatrixPart) -> int:
    """Rows of at most CHUNK_BYTES; even, so that every chunk starts at a whole word."""
    return max(2, CHUNK_BYTES // _row_bytes(part) // 2 * 2)
