"""Models of well-known shapes with random weights: to measure without a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.config import ModelConfig
from app.errors import ConfigError
from app.gpu.device import Device
from app.gpu.graph import Tensor, persistent
from app.gpu.memory import padded
from app.messages import say
from app.models.llama import MAX_POSITIONS
from app.models.loader import Model, check_weights_fit
from app.models.upload import CHUNK_BYTES
from app.nn.weights import PROJECTION_GROUPS, DecoderWeights, LayerWeights, group_shape
from app.ops.matrix import Format, Matrix, new_matrix
from app.ops.rope import rope_table


def _llama(name: str, **shape: Any) -> ModelConfig:
    return ModelConfig(architecture="llama", head_dim=64, rms_norm_eps=1e-5, name=name, **shape)


NAMED_SHAPES: dict[str, ModelConfig] = {
    "tiny": ModelConfig(
        architecture="llama",
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=320,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=False,
        name="a tiny model (random weights)",
    ),
    "smollm2-135m": _llama(
        "SmolLM2-135M (random weights)",
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49152,
        max_position_embeddings=8192,
        rope_theta=100000.0,
        tie_word_embeddings=True,
    ),
    "smollm2-360m": _llama(
        "SmolLM2-360M (random weights)",
        hidden_size=960,
        intermediate_size=2560,
        num_hidden_layers=32,
        num_attention_heads=15,
        num_key_value_heads=5,
        vocab_size=49152,
        max_position_embeddings=8192,
        rope_theta=100000.0,
        tie_word_embeddings=True,
    ),
    "tinyllama-1.1b": _llama(
        "TinyLlama-1.1B (random weights)",
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=22,
        num_attention_heads=32,
        num_key_value_heads=4,
        vocab_size=32000,
        max_position_embeddings=2048,
        rope_theta=10000.0,
        tie_word_embeddings=False,
    ),
}
"""Shapes by the name that `bench --shapes` takes; the tiny one tries the benchmark itself out."""

UNIFORM_STD = {"int4": 16 / 12**0.5, "int8": 256 / 12**0.5}
"""Standard deviation of the packed integers, each value equally likely."""

CENTRE = {"int4": 7.5, "int8": -0.5}


@dataclass
class ByteTokenizer:
    """The tokenizer of a model without a vocabulary: a token is a byte of UTF-8."""

    vocab_size: int
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    document: str = ""

    def encode(self, text: str) -> list[int]:
        """Return the bytes of `text`; half a surrogate pair counts as U+FFFD."""
        return list(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode())

    def decode(self, token_ids: Sequence[int], skip_special: bool = False) -> str:
        """Return the text; what is not UTF-8 becomes U+FFFD, ids above 255 nothing."""
        return bytes(token for token in token_ids if token < 256).decode("utf-8", "replace")

    def token_id(self, token: str) -> int | None:
        """Return the id of a token of one byte, or None."""
        data = token.encode("utf-8", "replace")
        return data[0] if len(data) == 1 else None

    def token(self, token_id: int) -> str | None:
        """Return a token of one byte as text, or None."""
        return chr(token_id) if 0 <= token_id < 128 else None


def named_shape(name: str) -> ModelConfig:
    """Return one of NAMED_SHAPES.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in NAMED_SHAPES:
        raise ConfigError(
            say(
                "no shape is named {name}: choose from {named_shapes}",
                name=f"{name!r}",
                named_shapes=", ".join(NAMED_SHAPES),
            )
        )
    return NAMED_SHAPES[name]


def random_model(device: Device, config: ModelConfig, seed: int = 0) -> Model:
    """Return a model with random INT4 projections and INT8 embedding and head.

    Weights are uniform with variance 1 / in_features, so that activations keep their size from
    layer to layer and losses are finite; norms are 1.

    Args:
        device: Where the weights go.
        config: Shape, such as one of NAMED_SHAPES.
        seed: Same seed, same weights.

    Raises:
        ShapeError: a dimension is not a multiple of 32.
        OutOfGpuMemoryError: a weight is larger than the device allows.
    """
    random = np.random.default_rng(seed)
    weights, matrices, ones = new_weights(config)
    check_weights_fit(device, weights)
    tokenizer = ByteTokenizer(config.vocab_size)
    model = Model(config, weights, tokenizer, None, config.name, device)
    try:
        for storage in weights.storages():
            storage.buffer = device.create_buffer(padded(storage.size_bytes), storage.label)
        for matrix in matrices:
            _fill(device, matrix, random)
        for vector in ones:
            device.write(vector.storage.buffer, 0, np.ones(vector.shape, np.float32))
        table = weights.rope_table
        angles = rope_table(table.shape[0], config.head_dim, config.rope_theta)
        device.write(table.storage.buffer, 0, angles)
    except BaseException:
        model.destroy()
        raise
    return model


def new_weights(
    config: ModelConfig, projections: Format = "int4", tables: Format = "int8"
) -> tuple[DecoderWeights, list[Matrix], list[Tensor]]:
    """Return weights without buffers, their matrices and their norm vectors.

    Args:
        config: Their shape.
        projections: Format of the layers' matrices.
        tables: Format of the embedding and the head.
    """
    matrices: list[Matrix] = []
    ones: list[Tensor] = []

    def matrix(label: str, format: Any, rows: int, columns: int) -> Matrix:
        matrices.append(new_matrix(label, format, rows, columns))
        return matrices[-1]

    def norm(label: str) -> Tensor:
        ones.append(persistent(label, (config.hidden_size,), "weights"))
        return ones[-1]

    embedding = matrix("embedding", tables, config.vocab_size, config.hidden_size)
    layers = tuple(
        LayerWeights(
            norm(f"{layer}.input_norm"),
            norm(f"{layer}.post_attention_norm"),
            {
                group: matrix(f"{layer}.{group}", projections, *group_shape(config, group))
                for group in PROJECTION_GROUPS
            },
        )
        for layer in range(config.num_hidden_layers)
    )
    head = embedding
    if not config.tie_word_embeddings:
        head = matrix("head", tables, config.vocab_size, config.hidden_size)
    positions = min(config.max_position_embeddings, MAX_POSITIONS)
    table = persistent("rope table", (positions, config.head_dim // 2, 2), "weights")
    return DecoderWeights(embedding, layers, norm("norm"), head, table), matrices, ones


def _fill(device: Device, matrix: Matrix, random: np.random.Generator) -> None:
    """Write random words, in chunks, and one scale and minimum for all groups."""
    size = matrix.words.size_bytes
    for start in range(0, size, CHUNK_BYTES):
        words = random.bytes(min(CHUNK_BYTES, size - start))
        device.write(matrix.words.storage.buffer, start, words)
    scale = matrix.num_columns**-0.5 / UNIFORM_STD[matrix.format]
    pair = np.array([scale, -CENTRE[matrix.format] * scale], np.float16).view(np.uint32)
    scales: NDArray[np.uint32] = np.full(matrix.scales.shape, pair[0], np.uint32)
    device.write(matrix.scales.storage.buffer, 0, scales)
