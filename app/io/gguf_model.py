"""Turn a GGUF header into a ModelConfig, or say exactly why it cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Any

from app.config import ModelConfig
from app.errors import FormatError
from app.io.gguf_types import GgufFile
from app.io.stored_tensor import StoredTensor
from app.messages import say

MATRIX_TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0")
NORM_TYPES = ("F32", "F16", "BF16")

GGUF_PROJECTIONS = {
    "attn_q": "q_proj",
    "attn_k": "k_proj",
    "attn_v": "v_proj",
    "attn_output": "o_proj",
    "ffn_gate": "gate_proj",
    "ffn_up": "up_proj",
    "ffn_down": "down_proj",
}
"""Tensor of a layer, `blk.N.<name>.weight` → the projection it is."""

GGUF_NORMS = ("attn_norm", "ffn_norm")


def model_config_from_gguf(file: GgufFile) -> ModelConfig:
    """Return the shape of a Llama model after checking every number and every tensor.

    Raises:
        FormatError: another architecture, an unsupported variant (scaled RoPE, experts, one
            part of a split file), a number out of range, or a tensor that is missing, of an
            unexpected shape or of a type that is not computed with.
    """
    _check_kind(file)
    numbers = _Numbers(file)
    _check_variant(file, numbers)
    heads = numbers.whole("attention.head_count")
    kv_heads = numbers.whole("attention.head_count_kv", heads)
    hidden = numbers.whole("embedding_length")
    layers = numbers.whole("block_count")
    if heads % kv_heads:
        raise numbers.bad(
            "attention.head_count_kv", kv_heads, say("a divisor of {heads} heads", heads=heads)
        )
    if "llama.attention.key_length" not in file.metadata and hidden % heads:
        raise numbers.bad(
            "attention.head_count", heads, say("a divisor of {hidden} (hidden size)", hidden=hidden)
        )
    head_dim = numbers.whole("attention.key_length", hidden // heads)
    for key in ("attention.value_length", "rope.dimension_count"):
        found = numbers.whole(key, head_dim)
        if found != head_dim:
            raise numbers.bad(key, found, say("{head_dim}, the size of a head", head_dim=head_dim))
    if head_dim % 2:
        raise numbers.bad("attention.key_length", head_dim, say("an even number"))
    if layers > len(file.tensors):
        raise numbers.bad(
            "block_count",
            layers,
            say("no more than its {num_tensors} tensors", num_tensors=len(file.tensors)),
        )
    config = ModelConfig(
        architecture="llama",
        hidden_size=hidden,
        intermediate_size=numbers.whole("feed_forward_length"),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        vocab_size=_vocab_size(file, numbers),
        max_position_embeddings=numbers.whole("context_length"),
        rms_norm_eps=numbers.real("attention.layer_norm_rms_epsilon", None, 0.1),
        rope_theta=numbers.real("rope.freq_base", 10000.0, 1e12),
        tie_word_embeddings="output.weight" not in file.tensors,
        name=str(_plain(file, "general.name", "")),
    )
    _check_tensors(file, config)
    return config


class _Numbers:
    """Checked access to the `llama.*` metadata."""

    def __init__(self, file: GgufFile) -> None:
        self._file = file

    def bad(self, key: str, found: Any, expected: str) -> FormatError:
        return FormatError(
            say(
                "{name}: llama.{key} is {found}, expected {expected}. "
                "Take another conversion of the model",
                name=self._file.source_name,
                key=key,
                found=_short(found),
                expected=expected,
            )
        )

    def whole(self, key: str, default: int | None = None) -> int:
        value = self._file.metadata.get(f"llama.{key}", default)
        if type(value) is not int or not 0 < value < 2**31:
            raise self.bad(key, value, say("one whole number above 0"))
        return value

    def real(self, key: str, default: float | None, limit: float) -> float:
        value: Any = self._file.metadata.get(f"llama.{key}", default)
        if type(value) not in (int, float) or not isfinite(value) or not 0 < value <= limit:
            raise self.bad(key, value, say("a number above 0, up to {limit}", limit=f"{limit:g}"))
        return float(value)


def _check_kind(file: GgufFile) -> None:
    """Refuse what is not a whole Llama model."""
    kind = _plain(file, "general.type", "model")
    if kind != "model":
        raise FormatError(
            say(
                "{name} is a GGUF of type {kind}, expected a model. Load the base "
                "model here; an adapter is dropped as .safetensors",
                name=file.source_name,
                kind=_short(kind),
            )
        )
    architecture = _plain(file, "general.architecture", None)
    if architecture != "llama":
        raise FormatError(
            say(
                "{name} holds a model of architecture {architecture}, and only "
                "'llama' is supported (SmolLM2, TinyLlama, Llama 2). Choose such a GGUF file",
                name=file.source_name,
                architecture=_short(architecture),
            )
        )
    parts = _plain(file, "split.count", 0)
    if parts not in (0, 1):
        raise FormatError(
            say(
                "{name} is one part of a model split over {parts} files: merge "
                "them into one GGUF file first",
                name=file.source_name,
                parts=_short(parts),
            )
        )


def _check_variant(file: GgufFile, numbers: _Numbers) -> None:
    """Refuse Llama variants whose mathematics are not those of the engine."""
    scaling = _plain(file, "llama.rope.scaling.type", "none")
    linear = _plain(file, "llama.rope.scale_linear", 1.0)
    if scaling != "none" or linear != 1.0 or "rope_freqs.weight" in file.tensors:
        found = say(
            "type {scaling}, factor {factor}", scaling=_short(scaling), factor=_short(linear)
        )
        if "rope_freqs.weight" in file.tensors:
            found = say("Llama 3's, tensor rope_freqs.weight")
        raise FormatError(
            say(
                "{name} stretches its positions (RoPE scaling: {found}), which is not "
                "supported: choose a model without RoPE scaling, such as SmolLM2 or TinyLlama",
                name=file.source_name,
                found=found,
            )
        )
    experts = _plain(file, "llama.expert_count", 0)
    if experts != 0:
        raise numbers.bad("expert_count", experts, say("no experts"))


def _vocab_size(file: GgufFile, numbers: _Numbers) -> int:
    """Return the rows of the embedding, which all other counts must equal."""
    embedding = file.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise FormatError(
            say(
                "{name}: tensor token_embd.weight is {found}, expected "
                "(vocabulary, hidden size). The file is not a whole model",
                name=file.source_name,
                found=shape_found(embedding),
            )
        )
    vocab_size = embedding.shape[0]
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or len(tokens) != vocab_size:
        found = (
            say("{number} tokens", number=len(tokens))
            if isinstance(tokens, list)
            else say("no token list")
        )
        raise FormatError(
            say(
                "{name}: its tokenizer has {found} and its embedding {vocab_size} rows; "
                "they must be equal. Take another conversion of the model",
                name=file.source_name,
                found=found,
                vocab_size=vocab_size,
            )
        )
    claimed = numbers.whole("vocab_size", vocab_size)
    if claimed != vocab_size:
        raise numbers.bad(
            "vocab_size",
            claimed,
            say("{vocab_size}, the rows of token_embd.weight", vocab_size=vocab_size),
        )
    return vocab_size


def expected_tensors(config: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and row-major shape of every tensor of a Llama GGUF file."""
    table = (config.vocab_size, config.hidden_size)
    yield "token_embd.weight", table
    for layer in range(config.num_hidden_layers):
        for norm in GGUF_NORMS:
            yield f"blk.{layer}.{norm}.weight", (config.hidden_size,)
        for name, module in GGUF_PROJECTIONS.items():
            yield f"blk.{layer}.{name}.weight", config.projection_shape(module)
    yield "output_norm.weight", (config.hidden_size,)
    if not config.tie_word_embeddings:
        yield "output.weight", table


def shape_found(tensor: StoredTensor | None) -> str:
    """Return what there is of a tensor, for a message."""
    if tensor is None:
        return say("missing")
    return say("of shape {shape}", shape=tensor.shape)


def _check_tensors(file: GgufFile, config: ModelConfig) -> None:
    expected = dict(expected_tensors(config))
    for name, shape in expected.items():
        tensor = file.tensors.get(name)
        if tensor is None or tensor.shape != shape:
            raise FormatError(
                say(
                    "{name}: tensor {tensor} is {found}, expected shape {shape}. The file "
                    "is not a whole Llama model: take another conversion",
                    name=file.source_name,
                    tensor=name,
                    found=shape_found(tensor),
                    shape=shape,
                )
            )
        allowed = MATRIX_TYPES if len(shape) == 2 else NORM_TYPES
        if tensor.type not in allowed:
            raise FormatError(
                say(
                    "{name}: tensor {tensor} is stored as {type}, and only "
                    "{allowed} can be used here. Choose the Q4_0, Q4_1, Q8_0 or F16 file "
                    "of this model",
                    name=file.source_name,
                    tensor=name,
                    type=tensor.type,
                    allowed=", ".join(allowed),
                )
            )
    extra = [name for name in file.tensors if name not in expected]
    if extra:
        raise FormatError(
            say(
                "{name}: tensor {tensor} does not belong to a plain Llama model "
                "({number} such). This variant is not supported: choose another model",
                name=file.source_name,
                tensor=extra[0],
                number=len(extra),
            )
        )


def _plain(file: GgufFile, key: str, default: Any) -> Any:
    """Return a metadata value that must not be an array."""
    value = file.metadata.get(key, default)
    if value is not None and not isinstance(value, str | int | float):
        raise FormatError(
            say(
                "{name}: {key} is an array, expected a single value", name=file.source_name, key=key
            )
        )
    return value


def _short(value: Any) -> str:
    """Return a value for a message, cut where a file brings something huge."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
