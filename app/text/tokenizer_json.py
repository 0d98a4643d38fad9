"""Build a HuggingFace `tokenizer.json` from the metadata of a GGUF file.

A GGUF file brings the vocabulary, the merges and the name of the pre-tokenizer
(`tokenizer.ggml.pre`), not its rules; the rules of the names known here are those of the
tokenizer.json files the models were published with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.errors import FormatError
from app.messages import say

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTROL, USER_DEFINED = 3, 4
"""`tokenizer.ggml.token_type` of special tokens and of whole words added by the model's author."""

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3_PATTERN = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
QWEN2_PATTERN = rf"{_CONTRACTIONS}|{_WORDS}|\p{{N}}|{_REST}"


def _byte_level(use_regex: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _split(pattern: str) -> dict[str, Any]:
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    return {"type": "Sequence", "pretokenizers": [split, _byte_level(use_regex=False)]}


_SMOLLM: dict[str, Any] = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        _byte_level(use_regex=True),
    ],
}
_PRE_TOKENIZERS: dict[str, dict[str, Any]] = {
    "smollm": _SMOLLM,
    "gpt-2": _byte_level(use_regex=True),
    # Files converted without a known name; GPT-2's rule, as transformers reads them.
    "default": _byte_level(use_regex=True),
    "llama-bpe": _split(LLAMA3_PATTERN),
    "qwen2": _split(QWEN2_PATTERN),
}
_NORMALIZERS: dict[str, dict[str, Any]] = {"qwen2": {"type": "NFC"}}
_IGNORES_MERGES = frozenset({"llama-bpe"})
"""Llama 3 takes a word that is a token as it stands, even where no merges lead to it."""


def tokenizer_json_from_gguf(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contents of a tokenizer.json for a byte-level BPE vocabulary.

    Control tokens become special added tokens, user-defined ones plain added tokens. No token
    is added around a text.

    Raises:
        FormatError: another kind of tokenizer, an unknown pre-tokenizer, or lists that are
            missing or do not fit together; names what was found.
    """
    model = metadata.get("tokenizer.ggml.model")
    if model != "gpt2":
        raise FormatError(_wrong_model(model))
    # Files of before mid-2024 have no such key; they were split as "default".
    pre = metadata.get("tokenizer.ggml.pre", "default")
    if pre not in _PRE_TOKENIZERS:
        raise FormatError(
            say(
                "the model's pre-tokenizer (tokenizer.ggml.pre) is {pre} and only {repr} are "
                "known: choose another model, since guessing would split the text otherwise "
                "than the model learnt it",
                pre=f"{pre!r}",
                repr=", ".join(map(repr, _PRE_TOKENIZERS)),
            )
        )
    tokens = _strings(metadata, "tokenizer.ggml.tokens")
    merges = _strings(metadata, "tokenizer.ggml.merges")
    types = [int(kind) for kind in metadata.get("tokenizer.ggml.token_type", ())]
    if types and len(types) != len(tokens):
        raise FormatError(
            say(
                "the model lists {num_tokens} tokens but {num_types} token types: the file "
                "is damaged, fetch it again",
                num_tokens=len(tokens),
                num_types=len(types),
            )
        )
    vocab = {token: index for index, token in enumerate(tokens)}
    _check_vocabulary(tokens, vocab, merges)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added_token(index, tokens[index], special=kind == CONTROL)
            for index, kind in enumerate(types)
            if kind in (CONTROL, USER_DEFINED)
        ],
        "normalizer": _NORMALIZERS.get(pre),
        "pre_tokenizer": _PRE_TOKENIZERS[pre],
        "post_processor": None,
        "decoder": _byte_level(use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre in _IGNORES_MERGES,
            "vocab": vocab,
            "merges": merges,
        },
    }


def _wrong_model(model: object) -> str:
    if model is None:
        return say("the model file brings no tokenizer (tokenizer.ggml.model is missing)")
    is_llama = model == "llama"
    kind = say("a SentencePiece vocabulary") if is_llama else say("another kind of tokenizer")
    return say(
        "the model's tokenizer (tokenizer.ggml.model) is {model}, {kind}, which is not "
        "supported yet: choose a model with a byte-level BPE vocabulary ('gpt2')",
        model=f"{model!r}",
        kind=kind,
    )


def _strings(metadata: Mapping[str, Any], key: str) -> list[str]:
    values = metadata.get(key)
    if not isinstance(values, list) or not values or not isinstance(values[0], str):
        if values is None:
            raise FormatError(
                say(
                    "{key} is missing, expected a list of strings: fetch the model again",
                    key=key,
                )
            )
        raise FormatError(
            say(
                "{key} is a {type} without any text, expected a list of strings: fetch the "
                "model again",
                key=key,
                type=type(values).__name__,
            )
        )
    return values


def _check_vocabulary(tokens: list[str], vocab: dict[str, int], merges: list[str]) -> None:
    if len(vocab) != len(tokens):
        twice = next(token for index, token in enumerate(tokens) if vocab[token] != index)
        raise FormatError(
            say(
                "the model lists the token {twice} twice: the vocabulary is damaged",
                twice=f"{twice!r}",
            )
        )
    for merge in merges:
        left, space, right = merge.partition(" ")
        if not space or left not in vocab or right not in vocab or left + right not in vocab:
            raise FormatError(
                say(
                    "the merge {merge} does not join two tokens of the vocabulary into a third: "
                    "the model's tokenizer is damaged, fetch the file again",
                    merge=f"{merge!r}",
                )
            )


def _added_token(index: int, content: str, *, special: bool) -> dict[str, Any]:
    return {
        "id": index,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }
