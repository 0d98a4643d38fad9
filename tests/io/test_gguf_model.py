"""From a GGUF header to a ModelConfig, or to the exact reason why not."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.config import ModelConfig
from app.errors import FormatError
from app.io.gguf import model_config_from_gguf, read_gguf
from app.io.source import FileSource
from app.io.stored_tensor import StoredTensor
from app.reference.gguf_blocks import dequantize_blocks
from tests.tiny_model import SPECIAL_TOKENS, byte_tokens, make_tiny_gguf, parse_gguf

TOKENS = parse_gguf(make_tiny_gguf()).metadata["tokenizer.ggml.tokens"]


def config_of(**settings: Any) -> ModelConfig:
    return model_config_from_gguf(parse_gguf(make_tiny_gguf(**settings)))


def with_tensors(change: Callable[[dict[str, StoredTensor]], object]) -> ModelConfig:
    file = parse_gguf(make_tiny_gguf())
    tensors = dict(file.tensors)
    change(tensors)
    return model_config_from_gguf(replace(file, tensors=tensors))


def test_reads_the_bundled_models_shape(real_model: Path) -> None:
    config = model_config_from_gguf(asyncio.run(read_gguf(FileSource(real_model))))
    assert replace(config, rms_norm_eps=0.0, name="") == ModelConfig(
        architecture="llama",
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        vocab_size=49152,
        max_position_embeddings=8192,
        rms_norm_eps=0.0,
        rope_theta=100000.0,
        tie_word_embeddings=True,
    )
    assert config.rms_norm_eps == np.float32(1e-5)


def test_reads_the_bundled_models_weights(real_model: Path) -> None:
    """Four values and the sum of three tensors, as the gguf package dequantizes them."""
    source = FileSource(real_model)
    file = asyncio.run(read_gguf(source))
    golden = {
        "token_embd.weight": (
            [-0.00799560546875, -0.03997802734375, -0.031982421875, 0.0159912109375],
            -15353.04449415207,
        ),
        "blk.0.attn_q.weight": (
            [0.076171875, -0.274658203125, -0.040771484375, 0.894775390625],
            59.22322082519531,
        ),
        "blk.29.ffn_down.weight": (
            [-0.3515625, -0.08441162109375, -0.217987060546875, -0.1734619140625],
            49.83570861816406,
        ),
    }
    for name, (values, total) in golden.items():
        tensor = file.tensors[name]
        data = asyncio.run(source.chunk(tensor.offset, tensor.size_bytes))
        weights = dequantize_blocks(data, tensor.type, tensor.shape)
        assert weights[5, :4].tolist() == values
        # float64 sums of half a million terms in whatever order numpy likes
        assert np.sum(weights, dtype=np.float64) == pytest.approx(total, rel=1e-12)


def test_untied_models_and_odd_shapes() -> None:
    config = config_of(tied=False, heads=6, kv_heads=3, head_dim=32, layers=3, vocab=512)
    assert not config.tie_word_embeddings
    assert config.projection_shape("q_proj") == (192, 64)
    assert config.projection_shape("k_proj") == (96, 64)
    assert (config.num_hidden_layers, config.vocab_size) == (3, 512)


@pytest.mark.parametrize("projection", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0"])
@pytest.mark.parametrize("embedding", ["F32", "F16", "Q8_0"])
def test_takes_every_supported_type(projection: str, embedding: str) -> None:
    types = {"projection": projection, "embedding": embedding, "head": projection}
    assert config_of(types=types, tied=False).hidden_size == 64


def test_optional_numbers_have_llamas_defaults() -> None:
    config = config_of(
        metadata={
            "llama.rope.freq_base": None,
            "llama.rope.dimension_count": None,
            "llama.attention.key_length": None,
            "llama.attention.value_length": None,
            "llama.attention.head_count_kv": None,
            "llama.vocab_size": None,
            "general.type": None,
            "general.name": None,
            "llama.rope.scaling.type": "none",
        },
        kv_heads=4,
    )
    assert (config.rope_theta, config.head_dim, config.num_key_value_heads) == (10000.0, 16, 4)
    assert config.name == ""


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"general.architecture": "gemma3"}, "architecture 'gemma3', and only 'llama'"),
        ({"general.architecture": None}, "architecture None"),
        ({"general.architecture": ["llama"]}, "general.architecture is an array"),
        ({"general.type": "adapter"}, "GGUF of type 'adapter'"),
        ({"split.count": 3}, "split over 3 files"),
        ({"llama.rope.scaling.type": "yarn"}, "RoPE scaling: type 'yarn'"),
        ({"llama.rope.scaling.type": "linear"}, "choose a model without RoPE scaling"),
        ({"llama.rope.scale_linear": 4.0}, "factor 4.0"),
        ({"llama.expert_count": 8}, "llama.expert_count is 8, expected no experts"),
        ({"llama.block_count": None}, "llama.block_count is None"),
        ({"llama.block_count": 0}, "llama.block_count is 0"),
        ({"llama.block_count": 4_000_000_000}, "llama.block_count is 4000000000"),
        ({"llama.block_count": 2_000_000_000}, "no more than its 20 tensors"),
        ({"llama.block_count": 1}, "blk.1.attn_norm.weight does not belong"),
        ({"llama.block_count": 3}, "blk.2.attn_norm.weight is missing"),
        ({"llama.embedding_length": -64}, "llama.embedding_length is -64"),
        ({"llama.embedding_length": 64.0}, "one whole number"),
        ({"llama.embedding_length": 96}, "token_embd.weight is of shape"),
        ({"llama.feed_forward_length": 64}, "ffn_gate.weight is of shape"),
        ({"llama.context_length": 0}, "llama.context_length is 0"),
        ({"llama.attention.head_count": 3}, "expected a divisor of 3 heads"),
        ({"llama.attention.head_count": 4, "llama.attention.head_count_kv": 3}, "divisor of 4"),
        ({"llama.attention.head_count_kv": [2, 2]}, "llama.attention.head_count_kv is array"),
        ({"llama.attention.head_count": 6, "llama.attention.key_length": None}, "divisor of 64"),
        ({"llama.attention.value_length": 8}, "expected 16, the size of a head"),
        ({"llama.rope.dimension_count": 8}, "rope.dimension_count is 8, expected 16"),
        ({"llama.rope.freq_base": float("nan")}, "rope.freq_base is nan"),
        ({"llama.rope.freq_base": float("inf")}, "rope.freq_base is inf"),
        ({"llama.rope.freq_base": 0.0}, "rope.freq_base is 0.0"),
        ({"llama.attention.layer_norm_rms_epsilon": None}, "layer_norm_rms_epsilon is None"),
        ({"llama.attention.layer_norm_rms_epsilon": 1.0}, "up to 0.1"),
        ({"llama.vocab_size": 321}, "llama.vocab_size is 321, expected 320"),
        ({"tokenizer.ggml.tokens": None}, "no token list"),
        ({"tokenizer.ggml.tokens": ["a"]}, "1 tokens and its embedding 320 rows"),
    ],
)
def test_refuses_other_models_with_the_reason(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        config_of(metadata=metadata)


def test_odd_heads_are_refused() -> None:
    with pytest.raises(FormatError, match=r"key_length is 15, expected an even number"):
        config_of(head_dim=15, types={"projection": "F32"})


def test_missing_and_foreign_tensors_are_named() -> None:
    with pytest.raises(FormatError, match=r"blk\.1\.ffn_up\.weight is missing, expected shape"):
        with_tensors(lambda tensors: tensors.pop("blk.1.ffn_up.weight"))
    with pytest.raises(FormatError, match=r"token_embd\.weight is missing"):
        with_tensors(lambda tensors: tensors.pop("token_embd.weight"))
    with pytest.raises(FormatError, match=r"output_norm\.weight is missing"):
        with_tensors(lambda tensors: tensors.pop("output_norm.weight"))
    with pytest.raises(FormatError, match=r"blk\.0\.attn_q\.bias does not belong"):
        with_tensors(
            lambda tensors: tensors.update({"blk.0.attn_q.bias": tensors["output_norm.weight"]})
        )
    with pytest.raises(FormatError, match=r"Llama 3's, tensor rope_freqs\.weight"):
        with_tensors(
            lambda tensors: tensors.update({"rope_freqs.weight": tensors["output_norm.weight"]})
        )


def test_unsupported_types_are_named_with_the_way_out() -> None:
    def requantize(tensors: dict[str, StoredTensor]) -> None:
        name = "blk.0.attn_v.weight"
        tensors[name] = replace(tensors[name], type="Q6_K")

    with pytest.raises(
        FormatError, match=r"blk\.0\.attn_v\.weight is stored as Q6_K.*Choose the Q4_0"
    ):
        with_tensors(requantize)


def test_norms_are_not_quantized() -> None:
    def requantize(tensors: dict[str, StoredTensor]) -> None:
        tensors["output_norm.weight"] = replace(tensors["output_norm.weight"], type="Q8_0")

    with pytest.raises(FormatError, match="only F32, F16, BF16 can be used"):
        with_tensors(requantize)


def test_tiny_models_vocabulary_is_complete() -> None:
    assert len(set(TOKENS)) == len(TOKENS) == 320
    assert tuple(TOKENS[:3]) == SPECIAL_TOKENS
    assert TOKENS[3:259] == byte_tokens()
    assert byte_tokens()[byte_tokens().index("Ġ")] == chr(256 + 32)
    small = parse_gguf(make_tiny_gguf(vocab=288)).metadata
    assert len(small["tokenizer.ggml.merges"]) == 288 - 259


def test_tiny_models_are_reproducible() -> None:
    assert make_tiny_gguf(seed=3) == make_tiny_gguf(seed=3)
    assert make_tiny_gguf(seed=3) != make_tiny_gguf(seed=4)
