"""A model as it lies in its files, whichever kind they are of: GGUF or HuggingFace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.config import ModelConfig
from app.errors import FormatError
from app.io.folder import ModelFolder, ModelSource
from app.io.gguf import model_config_from_gguf, read_gguf
from app.io.huggingface import HuggingFaceFile, read_huggingface
from app.io.source import ByteSource
from app.io.stored_tensor import StoredTensor
from app.messages import say
from app.text.tokenizer import Tokenizer, load_tokenizer, tokenizer_from_gguf

BASE_NAMES = {"Smollm2 135M 8k Lc100K Mix1 Ep2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Names that converters wrote into GGUF files, and the repository an adapter should name."""


class TensorTable(Protocol):
    """Where a checked Llama model's tensors lie, by the names that they have in GGUF files."""

    @property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """Name → place."""
        ...

    @property
    def has_interleaved_heads(self) -> bool:
        """Whether rows of q and k are permuted for interleaved RoPE."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """Everything about a model but its weights' values.

    Attributes:
        source: Where the offsets of `table` count.
        make_tokenizer: Builds the tokenizer, which takes a while. Raises FormatError.
    """

    config: ModelConfig
    table: TensorTable
    source: ByteSource
    make_tokenizer: Callable[[], Tokenizer]
    chat_template: str | None
    base_name: str


async def open_checkpoint(source: ModelSource) -> Checkpoint:
    """Read the headers of a model's files.

    Raises:
        FormatError: a file is missing, truncated, corrupted, or of an architecture or type that
            is not supported.
    """
    if isinstance(source, ModelFolder):
        return _from_huggingface(source, await read_huggingface(source))
    file = await read_gguf(source)
    config = model_config_from_gguf(file)
    name = str(file.metadata.get("general.name") or source.name)
    template = file.metadata.get("tokenizer.chat_template")
    return Checkpoint(
        config,
        file,
        source,
        lambda: tokenizer_from_gguf(file.metadata),
        str(template) if template is not None else None,
        BASE_NAMES.get(name, name),
    )


def _from_huggingface(folder: ModelFolder, file: HuggingFaceFile) -> Checkpoint:
    def make_tokenizer() -> Tokenizer:
        tokenizer = load_tokenizer(
            file.tokenizer_json,
            bos_token_id=file.token_ids["bos"],
            eos_token_id=file.token_ids["eos"],
        )
        if tokenizer.vocab_size > file.config.vocab_size:
            raise FormatError(
                say(
                    "{name}: tokenizer.json has {vocab_size} tokens and the model only "
                    "{vocab_size_2}: give the tokenizer that came with the model",
                    name=folder.name,
                    vocab_size=tokenizer.vocab_size,
                    vocab_size_2=file.config.vocab_size,
                )
            )
        return tokenizer

    config, name = file.config, file.config.name
    return Checkpoint(config, file, file.source, make_tokenizer, file.chat_template, name)
