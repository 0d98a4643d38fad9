"""Read a HuggingFace model's files: config, tokenizer, and where each weight lies.

Weights are F32, F16 or BF16 in model.safetensors, or in the shards that
model.safetensors.index.json lists. Rows of q and k are in HuggingFace order.
Source: huggingface.co/docs/transformers (config.json, sharded checkpoints).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from app.config import ModelConfig
from app.errors import FormatError, json_problem
from app.io.folder import FILE_STRIDE, JoinedSource, ModelFolder
from app.io.gguf_model import GGUF_PROJECTIONS, expected_tensors, shape_found
from app.io.huggingface_config import model_config_from_json
from app.io.safetensors import locate_safetensors
from app.io.source import ByteSource
from app.io.stored_tensor import StoredTensor
from app.io.strict_json import parse_json
from app.messages import say

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
CHAT_TEMPLATE = "chat_template.jinja"

MAX_JSON_BYTES = 64 << 20
MAX_JSON_DEPTH = 32
MAX_SHARDS = 1024

_TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    **{
        name: f"{'self_attn' if name.startswith('attn') else 'mlp'}.{module}"
        for name, module in GGUF_PROJECTIONS.items()
    },
}


@dataclass(frozen=True)
class HuggingFaceFile:
    """What a model's files hold; the weights stay where they are.

    Attributes:
        tensors: By the names that they have in GGUF files, which the loader goes by.
        source: Where the tensors' offsets count.
        token_ids: Of beginning and end of text, where the config names one.
        has_interleaved_heads: Rows of q and k are permuted for interleaved RoPE.
    """

    config: ModelConfig
    tensors: dict[str, StoredTensor]
    source: ByteSource
    tokenizer_json: str
    token_ids: dict[str, int | None]
    chat_template: str | None
    has_interleaved_heads: ClassVar[bool] = False


async def read_huggingface(folder: ModelFolder) -> HuggingFaceFile:
    """Read everything but the weights.

    Raises:
        FormatError: a file is missing, truncated or corrupted, the model is of another kind,
            or a tensor is missing, of an unexpected shape or dtype.
    """
    settings = await _read_json(folder, CONFIG)
    config = model_config_from_json(settings, folder.name)
    tokenizer = await _read_text(folder, TOKENIZER)
    sources = await _weight_sources(folder)
    found: dict[str, StoredTensor] = {}
    for index, source in enumerate(sources):
        for name, tensor in (await locate_safetensors(source)).items():
            if name in found:
                raise FormatError(
                    say(
                        "{name}: tensor {tensor} is in two of its files: give one model's files",
                        name=folder.name,
                        tensor=name,
                    )
                )
            found[name] = replace(tensor, offset=tensor.offset + index * FILE_STRIDE)
    tensors = _pick_tensors(folder.name, config, found)
    token_ids = {name: _token_id(settings, f"{name}_token_id") for name in ("bos", "eos")}
    joined = JoinedSource(folder.name, sources)
    template = await _chat_template(folder)
    return HuggingFaceFile(config, tensors, joined, tokenizer, token_ids, template)


def huggingface_name(gguf_name: str) -> str:
    """Return the name that a GGUF tensor has in a HuggingFace model."""
    if gguf_name in _TOP_NAMES:
        return _TOP_NAMES[gguf_name]
    _, layer, name, _ = gguf_name.split(".")
    return f"model.layers.{layer}.{_LAYER_NAMES[name]}.weight"


async def _weight_sources(folder: ModelFolder) -> list[ByteSource]:
    """Return the files that hold the weights, in order of name."""
    if WEIGHTS in folder.files:
        return [folder.files[WEIGHTS]]
    if INDEX in folder.files:
        index = await _read_json(folder, INDEX)
        weight_map = index.get("weight_map") if isinstance(index, dict) else None
        shards = set(weight_map.values()) if isinstance(weight_map, dict) and weight_map else None
        if shards is None or not all(isinstance(name, str) for name in shards):
            raise FormatError(
                say(
                    "{name}: {index} has no weight_map: fetch the model again",
                    name=folder.name,
                    index=INDEX,
                )
            )
        if len(shards) > MAX_SHARDS:
            raise FormatError(
                say(
                    "{name}: {index} lists {number} files, more than any",
                    name=folder.name,
                    index=INDEX,
                    number=len(shards),
                )
            )
        return [_file(folder, name) for name in sorted(shards)]
    candidates = [name for name in folder.files if name.endswith(".safetensors")]
    if len(candidates) == 1:
        return [folder.files[candidates[0]]]
    found = (
        say("{number} .safetensors files", number=len(candidates))
        if candidates
        else say("no .safetensors file")
    )
    raise FormatError(
        say(
            "{name} has {found} and no {index}: give {weights}, or all its parts and the index",
            name=folder.name,
            found=found,
            index=INDEX,
            weights=WEIGHTS,
        )
    )


def _pick_tensors(
    source_name: str, config: ModelConfig, found: dict[str, StoredTensor]
) -> dict[str, StoredTensor]:
    """Return the model's tensors by GGUF name after checking names and shapes."""
    tensors = {}
    for name, shape in expected_tensors(config):
        stored = found.pop(huggingface_name(name), None)
        if stored is None or stored.shape != shape:
            raise FormatError(
                say(
                    "{name}: tensor {tensor} is {found}, expected shape "
                    "{shape} as config.json says. Give all files of one model",
                    name=source_name,
                    tensor=huggingface_name(name),
                    found=shape_found(stored),
                    shape=shape,
                )
            )
        tensors[name] = stored
    for name in _not_needed(config, found):
        del found[name]
    if found:
        raise FormatError(
            say(
                "{name}: tensor {tensor} does not belong to a plain Llama model "
                "({number} such). This variant is not supported: choose another model",
                name=source_name,
                tensor=min(found),
                number=len(found),
            )
        )
    return tensors


def _not_needed(config: ModelConfig, found: dict[str, StoredTensor]) -> Iterator[str]:
    """Yield names that transformers ignores too: a tied head again, and old RoPE tables."""
    for name in list(found):
        is_tied_head = config.tie_word_embeddings and name == "lm_head.weight"
        if is_tied_head or name.endswith(".rotary_emb.inv_freq"):
            yield name


async def _chat_template(folder: ModelFolder) -> str | None:
    """Return the template of a file of its own, or of tokenizer_config.json."""
    if CHAT_TEMPLATE in folder.files:
        return await _read_text(folder, CHAT_TEMPLATE)
    if TOKENIZER_CONFIG not in folder.files:
        return None
    settings = await _read_json(folder, TOKENIZER_CONFIG)
    template = settings.get("chat_template") if isinstance(settings, dict) else None
    if isinstance(template, list):
        named = {item.get("name"): item for item in template if isinstance(item, dict)}
        template = named.get("default", {}).get("template")
    return template if isinstance(template, str) else None


def _token_id(settings: Any, key: str) -> int | None:
    """Return a token id of config.json, the first where it lists several."""
    value = settings.get(key)
    if isinstance(value, list) and value:
        value = value[0]
    return value if type(value) is int and value >= 0 else None


def _file(folder: ModelFolder, name: str) -> ByteSource:
    if name not in folder.files:
        there = ", ".join(sorted(folder.files)[:8]) or say("nothing that is read here")
        raise FormatError(
            say(
                "{folder} lacks {name} (it has {there}): a HuggingFace model is given as a whole "
                "folder, or as {config}, {tokenizer} and all its .safetensors files together",
                folder=folder.name,
                name=name,
                there=there,
                config=CONFIG,
                tokenizer=TOKENIZER,
            )
        )
    return folder.files[name]


async def _read_text(folder: ModelFolder, name: str) -> str:
    source = _file(folder, name)
    if source.size_bytes > MAX_JSON_BYTES:
        raise FormatError(
            say(
                "{folder}: {name} has {size_bytes} bytes, more than any model's: the "
                "limit is {limit}",
                folder=folder.name,
                name=name,
                size_bytes=source.size_bytes,
                limit=MAX_JSON_BYTES,
            )
        )
    try:
        return (await source.read(0, source.size_bytes)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            say("{folder}: {name} is not UTF-8: fetch it again", folder=folder.name, name=name)
        ) from error


async def _read_json(folder: ModelFolder, name: str) -> Any:
    text = await _read_text(folder, name)
    try:
        return parse_json(text.encode(), max_depth=MAX_JSON_DEPTH)
    except ValueError as error:
        raise FormatError(
            say(
                "{folder}: {name} is not valid JSON ({error}): fetch it again",
                folder=folder.name,
                name=name,
                error=json_problem(error),
            )
        ) from error
