"""A tiny random Llama model as a GGUF file, and its weights as numpy sees them."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from app.io.gguf import read_gguf
from app.io.gguf_types import GgufFile
from app.io.gguf_writer import TensorData, write_gguf
from app.io.source import MemorySource
from app.reference.gguf_blocks import dequantize_blocks, quantize_blocks, unpermute_rows

Result = TypeVar("Result")

DEFAULT_TYPES = {"projection": "Q4_1", "embedding": "Q8_0", "head": "Q8_0"}

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

STD = np.float32(0.08)

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

# fmt: off
MERGES = (
    "Ġ t", "Ġ a", "i n", "h e", "Ġ Ġ", "r e", "o n", "e r", "Ġt he", "a t", "Ġ s", "Ġ o", "e n",
    "Ġ c", "e s", "Ġ w", "n d", "i t", "o r", "i s", "a l", "Ġ p", "in g", "Ġ f", "a n", "e d",
    "Ġ b", "o u", "a r", "Ġ in", "Ġo f", "Ġ m", "Ġa nd", "i on", "i c", "Ġ d", "Ġt o", "ĠĠ ĠĠ",
    "l e", "r o", "a s", "en t", "Ġ h", "Ġt h", "c t", "Ġ e", "Ġ re", "e l", "o m", "i l", "s t",
    "Ġ l", "Ġ n", "e t", "i m", "v e", "o l", "at ion", "Ġ g", "i d", "Ġ T",
)
# fmt: on

PROJECTIONS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}


def make_tiny_gguf(
    path: Path | None = None,
    *,
    seed: int = 0,
    layers: int = 2,
    hidden: int = 64,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 16,
    intermediate: int = 128,
    vocab: int = 320,
    context: int = 512,
    types: Mapping[str, str] | None = None,
    tied: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> bytes:
    """Return (and write to `path`, if given) a random model with a byte-level tokenizer.

    `types` chooses the tensor type of "projection", "embedding" and "head" (default Q4_1, Q8_0,
    Q8_0; the head exists only when `tied` is false). `metadata` replaces or adds keys; a value
    of None removes one. Weights are normal with std 0.08, norms near 1.
    """
    kinds = DEFAULT_TYPES | dict(types or {})
    rng = np.random.default_rng(seed)
    tensors = []

    def add(name: str, shape: tuple[int, ...], kind: str) -> None:
        values = rng.standard_normal(shape, dtype=np.float32)
        values = np.float32(1) + values / np.float32(10) if kind == "norm" else values * STD
        type_name = "F32" if kind == "norm" else kinds[kind]
        tensors.append(TensorData(name, shape, type_name, quantize_blocks(values, type_name)))

    query, key_value = heads * head_dim, kv_heads * head_dim
    add("token_embd.weight", (vocab, hidden), "embedding")
    for layer in range(layers):
        prefix = f"blk.{layer}"
        add(f"{prefix}.attn_norm.weight", (hidden,), "norm")
        add(f"{prefix}.ffn_down.weight", (hidden, intermediate), "projection")
        add(f"{prefix}.ffn_gate.weight", (intermediate, hidden), "projection")
        add(f"{prefix}.ffn_up.weight", (intermediate, hidden), "projection")
        add(f"{prefix}.ffn_norm.weight", (hidden,), "norm")
        add(f"{prefix}.attn_k.weight", (key_value, hidden), "projection")
        add(f"{prefix}.attn_output.weight", (hidden, query), "projection")
        add(f"{prefix}.attn_q.weight", (query, hidden), "projection")
        add(f"{prefix}.attn_v.weight", (key_value, hidden), "projection")
    add("output_norm.weight", (hidden,), "norm")
    if not tied:
        add("output.weight", (vocab, hidden), "head")

    values: dict[str, Any] = {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "Tiny Random",
        "general.basename": "tiny-random",
        "llama.block_count": layers,
        "llama.context_length": context,
        "llama.embedding_length": hidden,
        "llama.feed_forward_length": intermediate,
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": kv_heads,
        "llama.rope.freq_base": 10000.0,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": vocab,
        "llama.rope.dimension_count": head_dim,
        "llama.attention.key_length": head_dim,
        "llama.attention.value_length": head_dim,
        **_tokenizer_metadata(vocab),
        "general.quantization_version": 2,
    }
    values |= dict(metadata or {})
    data = write_gguf({key: item for key, item in values.items() if item is not None}, tensors)
    if path is not None:
        path.write_bytes(data)
    return data


def byte_tokens() -> list[str]:
    """Return the 256 characters that stand for bytes in byte-level BPE, in vocabulary order."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) for byte in visible] + [chr(256 + index) for index in range(len(hidden))]


def _tokenizer_metadata(vocab: int) -> dict[str, Any]:
    room = vocab - len(SPECIAL_TOKENS) - 256
    if room < 0:
        raise ValueError(f"vocab is {vocab}: the specials and bytes alone need {vocab - room}")
    merges = list(MERGES[:room])
    unused = [f"<|unused{index}|>" for index in range(room - len(merges))]
    tokens = [*SPECIAL_TOKENS, *byte_tokens(), *(merge.replace(" ", "") for merge in merges)]
    kinds = [3] * len(SPECIAL_TOKENS) + [1] * (256 + len(merges)) + [3] * len(unused)
    values: dict[str, Any] = {
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens + unused,
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.merges": merges or None,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }
    return values


def parse_gguf(data: bytes) -> GgufFile:
    """Read the header of a GGUF file in memory, inside or outside an event loop."""
    return run_now(read_gguf(MemorySource(data)))


def dequantized_weights(data: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Return every weight as float32 under its HuggingFace name, rows in HuggingFace order.

    `lm_head.weight` is there only when the file has its own head (untied).
    """
    file = parse_gguf(data)
    heads = int(file.metadata["llama.attention.head_count"])
    kv_heads = int(file.metadata["llama.attention.head_count_kv"])
    view = memoryview(data)
    weights = {}
    for tensor in file.tensors.values():
        end = tensor.offset + tensor.size_bytes
        weight = dequantize_blocks(view[tensor.offset : end], tensor.type, tensor.shape)
        if ".attn_q." in tensor.name:
            weight = unpermute_rows(weight, heads, weight.shape[0] // heads)
        elif ".attn_k." in tensor.name:
            weight = unpermute_rows(weight, kv_heads, weight.shape[0] // kv_heads)
        weights[_huggingface_name(tensor.name)] = weight
    return weights


def _huggingface_name(name: str) -> str:
    top = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    if name in top:
        return top[name]
    _, layer, module, _ = name.split(".")
    return f"model.layers.{layer}.{(PROJECTIONS | NORMS)[module]}.weight"


def run_now(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Finish a coroutine that never really waits (memory sources), with no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: Result = stop.value
        return result
    raise RuntimeError("the coroutine waits for something outside")
