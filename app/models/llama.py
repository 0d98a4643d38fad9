"""Llama: where its weights lie in its files, and which matrices they become."""

from __future__ import annotations

from dataclasses import dataclass

from app.config import ModelConfig, Quantization
from app.errors import FormatError
from app.gpu.graph import Tensor, persistent
from app.io.stored_tensor import StoredTensor
from app.messages import say
from app.models.checkpoint import TensorTable
from app.models.quantization import target_format
from app.nn.weights import (
    PROJECTION_GROUPS,
    DecoderWeights,
    LayerWeights,
    group_shape,
    heads_of,
)
from app.ops.lowra import new_channels
from app.ops.matrix import FORMAT_OF_TYPE, Matrix, new_matrix

MAX_POSITIONS = 8192
"""Longest context the engine keeps a rotary table for."""

GGUF_NAMES = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}

ROTATED = ("q_proj", "k_proj")
"""Their rows are permuted in a llama GGUF, for interleaved RoPE; not so in HuggingFace's."""


@dataclass(frozen=True)
class MatrixPart:
    """One stored tensor that goes into rows of a matrix.

    Attributes:
        offset: Row of the matrix where it starts.
        head_dim: Size of a head where its rows are permuted, else 0.
        is_quantized: Floats become the integers of the matrix's format on the way.
        is_symmetric: As INT4 with an exact zero.
        channels: Of the matrix, where its channels get bits of their own (LowRA).
    """

    source: StoredTensor
    matrix: Matrix
    offset: int
    head_dim: int
    is_quantized: bool = False
    is_symmetric: bool = False
    channels: Tensor | None = None


@dataclass(frozen=True)
class LoadPlan:
    """All that has to be uploaded, and the weights it becomes; nothing is allocated yet."""

    weights: DecoderWeights
    matrices: list[MatrixPart]
    vectors: list[tuple[StoredTensor, Tensor]]
    wanted: Quantization = "none"

    @property
    def source_bytes(self) -> int:
        """Bytes that will be read from the file."""
        parts = [part.source for part in self.matrices] + [source for source, _ in self.vectors]
        return sum(tensor.size_bytes for tensor in parts)

    @property
    def quantization(self) -> Quantization:
        """What was wanted, or none where the file's projections are in integers already."""
        return self.wanted if any(part.is_quantized for part in self.matrices) else "none"


def plan_load(
    file: TensorTable, config: ModelConfig, quantization: Quantization = "none"
) -> LoadPlan:
    """Decide where every tensor of a checked Llama model goes.

    Args:
        file: Where its tensors lie.
        config: Its shape.
        quantization: What F32, F16 and BF16 projections become; the embedding and the head then
            become INT8.

    Raises:
        FormatError: stacked projections of one layer come in different formats, or cannot be
            quantized so.
        ShapeError: heads or rows of a size that no kernel takes.
    """
    _ = heads_of(config).prelude  # before anything is uploaded, not when it is first used
    matrices: list[MatrixPart] = []
    vectors: list[tuple[StoredTensor, Tensor]] = []

    def vector(name: str) -> Tensor:
        tensor = persistent(name, (config.hidden_size,), "weights")
        vectors.append((file.tensors[name], tensor))
        return tensor

    def table(name: str) -> Matrix:
        source = file.tensors[name]
        format = target_format(source, quantization, is_table=True)
        matrix = new_matrix(name, format, config.vocab_size, config.hidden_size)
        matrices.append(MatrixPart(source, matrix, 0, 0, format != FORMAT_OF_TYPE[source.type]))
        return matrix

    embedding = table("token_embd.weight")
    layers = []
    for layer in range(config.num_hidden_layers):
        prefix = f"blk.{layer}"
        projections = {}
        for group in PROJECTION_GROUPS:
            matrix, parts = _stack(file, config, prefix, group, quantization)
            projections[group] = matrix
            matrices += parts
        layers.append(
            LayerWeights(
                vector(f"{prefix}.attn_norm.weight"),
                vector(f"{prefix}.ffn_norm.weight"),
                projections,
            )
        )
    norm = vector("output_norm.weight")
    head = embedding if config.tie_word_embeddings else table("output.weight")
    positions = min(config.max_position_embeddings, MAX_POSITIONS)
    rope_table = persistent("rope table", (positions, config.head_dim // 2, 2), "weights")
    weights = DecoderWeights(embedding, tuple(layers), norm, head, rope_table)
    return LoadPlan(weights, matrices, vectors, quantization)


def _stack(
    file: TensorTable, config: ModelConfig, prefix: str, group: str, quantization: Quantization
) -> tuple[Matrix, list[MatrixPart]]:
    """Return the matrix of a layer's stacked projections and the tensors it is made of."""
    modules = PROJECTION_GROUPS[group]
    sources = [file.tensors[f"{prefix}.{GGUF_NAMES[module]}.weight"] for module in modules]
    formats = {target_format(source, quantization) for source in sources}
    if len(formats) > 1:
        kinds = ", ".join(f"{source.name} {source.type}" for source in sources)
        raise FormatError(
            say(
                "{kinds}: projections that share an input must have one type; choose a file "
                "quantized as Q4_0, Q4_1, Q8_0 or F16 throughout",
                kinds=kinds,
            )
        )
    rows, columns = group_shape(config, group)
    matrix = new_matrix(f"{prefix}.{group}", formats.pop(), rows, columns)
    channels = new_channels(matrix) if quantization == "lowra" else None
    is_permuted = file.has_interleaved_heads
    parts, offset = [], 0
    for module, source in zip(modules, sources, strict=True):
        head_dim = config.head_dim if is_permuted and module in ROTATED else 0
        is_quantized = matrix.format != FORMAT_OF_TYPE[source.type]
        is_symmetric = quantization == "int4-symmetric"
        parts.append(
            MatrixPart(source, matrix, offset, head_dim, is_quantized, is_symmetric, channels)
        )
        offset += config.projection_shape(module)[0]
    return matrix, parts
