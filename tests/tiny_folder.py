"""The tiny model of tests/tiny_model.py as HuggingFace files, written with numpy alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.io.folder import ModelFolder
from app.io.gguf_types import GgufFile
from app.io.source import MemorySource
from app.reference.gguf_blocks import to_bfloat16
from app.text.tokenizer_json import tokenizer_json_from_gguf
from tests.tiny_model import dequantized_weights, parse_gguf

NUMPY_DTYPES = {"F32": np.float32, "F16": np.float16}


def make_tiny_folder(
    gguf: bytes,
    *,
    dtype: str = "F32",
    shards: int = 1,
    config: Mapping[str, Any] | None = None,
    path: Path | None = None,
) -> dict[str, bytes]:
    """Return the files of a GGUF model in HuggingFace's form, and write them to `path`, if given.

    `dtype` is that of all weights: F32, F16 or BF16. `config` replaces or adds keys of
    config.json; a value of None removes one.
    """
    file = parse_gguf(gguf)
    weights = dequantized_weights(gguf)
    names = sorted(weights)
    parts = [names[index::shards] for index in range(shards)]
    files: dict[str, bytes] = {}
    weight_map = {}
    for index, part in enumerate(parts):
        name = "model.safetensors"
        if shards > 1:
            name = f"model-{index + 1:05}-of-{shards:05}.safetensors"
        files[name] = write_tensors({key: (dtype, weights[key]) for key in part})
        weight_map |= dict.fromkeys(part, name)
    if shards > 1:
        files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
    settings = tiny_config(file, is_tied="lm_head.weight" not in weights) | dict(config or {})
    files["config.json"] = json.dumps(
        {key: value for key, value in settings.items() if value is not None}
    ).encode()
    files["tokenizer.json"] = json.dumps(tokenizer_json_from_gguf(file.metadata)).encode()
    template = file.metadata["tokenizer.chat_template"]
    files["tokenizer_config.json"] = json.dumps({"chat_template": template}).encode()
    if path is not None:
        path.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (path / name).write_bytes(data)
    return files


def as_folder(files: Mapping[str, bytes], name: str = "tiny-folder") -> ModelFolder:
    """Return files in memory as the loader takes them."""
    return ModelFolder(name, {key: MemorySource(data, key) for key, data in files.items()})


def tiny_config(file: GgufFile, *, is_tied: bool) -> dict[str, Any]:
    """Return the contents of config.json."""
    metadata = file.metadata
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": metadata["llama.embedding_length"],
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "head_dim": metadata["llama.rope.dimension_count"],
        "vocab_size": metadata["llama.vocab_size"],
        "max_position_embeddings": metadata["llama.context_length"],
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "hidden_act": "silu",
        "tie_word_embeddings": is_tied,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def write_tensors(tensors: Mapping[str, tuple[str, npt.NDArray[np.float32]]]) -> bytes:
    """Return a safetensors file; each tensor comes with the dtype to store it in."""
    header, body = {}, b""
    for name, (dtype, values) in tensors.items():
        if dtype == "BF16":
            raw = to_bfloat16(values).tobytes()
        else:
            raw = values.astype(NUMPY_DTYPES[dtype]).tobytes()
        span = [len(body), len(body) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": span}
        body += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body
