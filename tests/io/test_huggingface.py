"""A HuggingFace model's files: what is read from them, and every way they can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.config import ModelConfig
from app.errors import FormatError
from app.io.folder import FILE_STRIDE, JoinedSource, ModelFolder, open_model_path
from app.io.gguf_model import expected_tensors, model_config_from_gguf
from app.io.huggingface import HuggingFaceFile, huggingface_name, read_huggingface
from app.io.source import FileSource, MemorySource
from tests.tiny_folder import as_folder, make_tiny_folder, write_tensors
from tests.tiny_model import CHAT_TEMPLATE, dequantized_weights, make_tiny_gguf, parse_gguf, run_now

GGUF = make_tiny_gguf(types={"projection": "F32", "embedding": "F32"})
FILES = make_tiny_folder(GGUF)
SHARDED = make_tiny_folder(GGUF, shards=3)
Files = dict[str, bytes]


def read(files: Files) -> HuggingFaceFile:
    return run_now(read_huggingface(as_folder(files)))


def config_of(**values: Any) -> ModelConfig:
    return read(make_tiny_folder(GGUF, config=values)).config


def test_config_equals_the_gguf_file_s() -> None:
    config = config_of(_name_or_path="Tiny Random", rms_norm_eps=float(np.float32(1e-5)))
    assert config == model_config_from_gguf(parse_gguf(GGUF))


def test_tensors_lie_where_they_are_said_to() -> None:
    weights = dequantized_weights(GGUF)
    for files in (FILES, SHARDED):
        file = read(files)
        assert len(file.tensors) == len(weights)
        for name, tensor in file.tensors.items():
            assert tensor.name == huggingface_name(name)
            raw = run_now(file.source.read(tensor.offset, tensor.size_bytes))
            assert raw == weights[tensor.name].tobytes()


def test_words_around_the_weights() -> None:
    file = read(FILES)
    assert file.chat_template == CHAT_TEMPLATE
    assert file.token_ids == {"bos": 1, "eos": 2}
    assert not file.has_interleaved_heads
    listed = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "y"}]
    changed = {"tokenizer_config.json": json.dumps({"chat_template": listed}).encode()}
    assert read(FILES | changed).chat_template == "y"
    assert read(FILES | {"chat_template.jinja": b"z"}).chat_template == "z"
    bare = {name: data for name, data in FILES.items() if name != "tokenizer_config.json"}
    assert read(bare).chat_template is None
    several = make_tiny_folder(GGUF, config={"eos_token_id": [7, 2], "bos_token_id": None})
    assert read(several).token_ids == {"bos": None, "eos": 7}


@pytest.mark.parametrize(
    ("values", "theta"),
    [
        ({"rope_theta": 1e5}, 1e5),
        ({"rope_theta": None}, 1e4),
        ({"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, 5e5),
        ({"rope_scaling": {"rope_type": "default"}}, 1e4),
    ],
)
def test_rotations(values: dict[str, Any], theta: float) -> None:
    assert config_of(**values).rope_theta == theta


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model_type": "mistral"}, "model_type in config.json is 'mistral', expected 'llama'"),
        ({"model_type": None}, "model_type in config.json is None"),
        ({"hidden_size": 0}, "hidden_size in config.json is 0, expected one whole number"),
        ({"hidden_size": "64"}, "hidden_size in config.json is '64'"),
        ({"num_hidden_layers": True}, "num_hidden_layers in config.json is True"),
        ({"num_hidden_layers": 2**30}, r"model\.layers\.2\..* is missing"),
        ({"num_key_value_heads": 3}, "num_key_value_heads in config.json is 3, expected a divisor"),
        ({"head_dim": 15}, "head_dim in config.json is 15, expected an even number"),
        ({"head_dim": None, "num_attention_heads": 6, "num_key_value_heads": 2}, "a divisor of 64"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps in config.json is nan"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings in config.json is 'yes'"),
        ({"tie_word_embeddings": False}, "tensor lm_head.weight is missing"),
        ({"attention_bias": True}, "attention_bias in config.json is True"),
        ({"hidden_act": "gelu"}, "hidden_act in config.json is 'gelu'"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling in config.json"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "expected no stretched positions"),
        ({"quantization_config": {"bits": 4}}, "quantization_config in config.json"),
        ({"vocab_size": 321}, r"embed_tokens.weight is of shape \(320, 64\), expected shape \(321"),
    ],
    ids=str,
)
def test_a_config_out_of_bounds_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        config_of(**values)


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: {key: data for key, data in files.items() if key != name}


def replaced(name: str, data: bytes) -> Callable[[Files], Files]:
    return lambda files: files | {name: data}


def weights_with(name: str, dtype: str, values: Any) -> Callable[[Files], Files]:
    tensors = {key: ("F32", value) for key, value in dequantized_weights(GGUF).items()}
    return replaced("model.safetensors", write_tensors(tensors | {name: (dtype, values)}))


def other_dtype(files: Files) -> Files:
    raw = files["model.safetensors"]
    return files | {"model.safetensors": raw.replace(b'"F32"', b'"I32"')}


ONE = np.zeros(1, np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("config.json"), r"tiny-folder lacks config.json \(it has model.safetensors"),
        (without("tokenizer.json"), "lacks tokenizer.json"),
        (without("model.safetensors"), "has no .safetensors file and no model.safetensors.index"),
        (replaced("config.json", b"[1, 2"), "config.json is not valid JSON"),
        (replaced("config.json", b"[1, 2]"), "config.json is no JSON object"),
        (replaced("config.json", b"\xff"), "config.json is not UTF-8"),
        (replaced("config.json", b"[" * 100_000), "config.json is not valid JSON"),
        (replaced("model.safetensors", FILES["model.safetensors"][:-1]), "it is truncated"),
        (replaced("model.safetensors", b"123"), "model.safetensors: .* it has 3 bytes"),
        (replaced("model.safetensors", b"GGUF" * 9), "its header claims"),
        (other_dtype, "has dtype I32, expected F32, F16 or BF16"),
        (weights_with("model.norm.weight", "F32", ONE), r"model.norm.weight is of shape \(1,\)"),
        (weights_with("model.norm.bias", "F32", ONE), "model.norm.bias does not belong"),
    ],
    ids=range(13),
)
def test_files_that_are_wrong_are_named(change: Callable[[Files], Files], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(change(FILES))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("model-00002-of-00003.safetensors"), "lacks model-00002-of-00003.safetensors"),
        (without("model.safetensors.index.json"), "has 3 .safetensors files and no model.safe"),
        (replaced("model.safetensors.index.json", b"{}"), "has no weight_map"),
        (replaced("model.safetensors.index.json", b'{"weight_map": {"a": 1}}'), "has no weight_"),
        (
            replaced("model.safetensors.index.json", b'{"weight_map": {"a": "../../etc/passwd"}}'),
            "lacks ../../etc/passwd",
        ),
        (
            replaced(
                "model-00002-of-00003.safetensors", SHARDED["model-00001-of-00003.safetensors"]
            ),
            "is in two of its files",
        ),
    ],
    ids=range(6),
)
def test_shards_that_are_wrong_are_named(change: Callable[[Files], Files], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(change(SHARDED))


def test_what_transformers_ignores_is_ignored() -> None:
    weights = dequantized_weights(GGUF)
    tensors = {key: ("F32", value) for key, value in weights.items()}
    tensors["lm_head.weight"] = ("F32", weights["model.embed_tokens.weight"])
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = ("F32", ONE)
    file = read(FILES | {"model.safetensors": write_tensors(tensors)})
    assert set(file.tensors) == {name for name, _ in expected_tensors(file.config)}


def test_one_safetensors_file_may_have_any_name() -> None:
    files = dict(FILES)
    files["weights.safetensors"] = files.pop("model.safetensors")
    assert read(files).tensors == read(FILES).tensors


def test_paths(tmp_path: Path) -> None:
    make_tiny_folder(GGUF, path=tmp_path)
    (tmp_path / "optimizer.pt").write_bytes(b"not opened")
    folder = open_model_path(tmp_path)
    assert isinstance(folder, ModelFolder)
    assert set(folder.files) == set(FILES)
    assert run_now(read_huggingface(folder)).config.name == tmp_path.name
    with pytest.raises(FormatError, match="give the folder that it is in"):
        open_model_path(tmp_path / "model.safetensors")
    with pytest.raises(FormatError, match=r"cannot read .*No such file"):
        open_model_path(tmp_path / "absent.gguf")
    (tmp_path / "model.gguf").write_bytes(GGUF)
    assert isinstance(open_model_path(tmp_path / "model.gguf"), FileSource)


def test_a_joined_source_keeps_to_its_files() -> None:
    joined = JoinedSource("both", [MemorySource(b"abc", "a"), MemorySource(b"defg", "b")])
    assert joined.size_bytes == 7
    assert run_now(joined.read(1, 2)) == b"bc"
    assert bytes(run_now(joined.chunk(FILE_STRIDE + 1, 3))) == b"efg"
    for offset, size, name in ((2, 2, "a"), (FILE_STRIDE, 5, "b"), (2 * FILE_STRIDE, 1, "both")):
        with pytest.raises(FormatError, match=f"^{name} ends after"):
            run_now(joined.read(offset, size))
