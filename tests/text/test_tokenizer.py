"""Building a tokenizer from GGUF metadata, and the tokenizer's own behaviour."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from app.errors import FormatError
from app.text.tokenizer import StreamDecoder, Tokenizer, load_tokenizer, tokenizer_from_gguf
from app.text.tokenizer_json import tokenizer_json_from_gguf
from tests.text.strings import varied_strings


def test_known_ids_of_smollm2(tokenizer: Tokenizer) -> None:
    """Computed with transformers and the published pre-tokenizer (digits, then byte level)."""
    assert tokenizer.encode("Hello 123 world<|im_end|>\n") == [
        19556, 216, 33, 34, 35, 905, 2, 198,
    ]  # fmt: skip
    assert tokenizer.encode("") == []
    assert tokenizer.vocab_size == 49152
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    assert tokenizer.token_id("<|im_end|>") == 2
    assert tokenizer.token_id("no such token") is None
    assert tokenizer.token(905) == "Ġworld"
    assert tokenizer.token(49152) is None


def test_special_tokens_are_left_out_on_request(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("<|im_start|>user\nhi<|im_end|>")
    assert (ids[0], ids[-1]) == (1, 2)
    assert tokenizer.decode(ids) == "<|im_start|>user\nhi<|im_end|>"
    assert tokenizer.decode(ids, skip_special=True) == "user\nhi"


def test_half_a_surrogate_pair_is_a_replacement_character(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("a\ud83db\udc00\ud83d\ude00") == tokenizer.encode("a\ufffdb\ufffd😀")


def test_json_text_and_object_give_the_same(tokenizer_json: dict[str, Any]) -> None:
    text = json.dumps(tokenizer_json)
    ids = load_tokenizer(text).encode("one two 34")
    assert ids == load_tokenizer(tokenizer_json).encode("one two 34")
    assert load_tokenizer(text, eos_token_id=7).eos_token_id == 7


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tokenizer.ggml.model": "llama"}, "'llama', a SentencePiece vocabulary, which is not"),
        ({"tokenizer.ggml.model": "bert"}, "'bert', another kind of tokenizer, which is not"),
        ({"tokenizer.ggml.model": None}, "brings no tokenizer"),
        ({"tokenizer.ggml.pre": "tekken"}, "is 'tekken' and only 'smollm', 'gpt-2', 'default'"),
        ({"tokenizer.ggml.tokens": None}, "tokenizer.ggml.tokens is missing, expected a list"),
        ({"tokenizer.ggml.merges": [1]}, "tokenizer.ggml.merges is a list without any text"),
        ({"tokenizer.ggml.token_type": [1, 1]}, "49,152 tokens but 2 token types"),
        ({"tokenizer.ggml.tokens": ["a", "a"]}, "lists 2 tokens but 49,152"),
        ({"tokenizer.ggml.merges": ["Ġ t", "qq xx"]}, "merge 'qq xx' does not join two tokens"),
        ({"tokenizer.ggml.merges": ["Ġt"]}, "merge 'Ġt' does not join two tokens"),
    ],
)
def test_what_is_wrong_is_named(
    change: dict[str, Any], sentence: str, metadata: dict[str, Any]
) -> None:
    with pytest.raises(FormatError, match=sentence.replace("(", r"\(")):
        tokenizer_from_gguf({**metadata, **change})


def test_a_token_listed_twice_is_named(metadata: dict[str, Any]) -> None:
    tokens = [*metadata["tokenizer.ggml.tokens"][:-1], "!"]
    with pytest.raises(FormatError, match="lists the token '!' twice"):
        tokenizer_json_from_gguf({**metadata, "tokenizer.ggml.tokens": tokens})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model": 3}', '{"model": {"type": "BPE"}}'])
def test_a_broken_tokenizer_json_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="tokenizer"):
        load_tokenizer(text)


def test_a_file_without_a_pre_tokenizer_is_split_as_default(metadata: dict[str, Any]) -> None:
    older = {key: value for key, value in metadata.items() if key != "tokenizer.ggml.pre"}
    default = tokenizer_json_from_gguf({**metadata, "tokenizer.ggml.pre": "default"})
    assert tokenizer_json_from_gguf(older) == default


@pytest.mark.parametrize("skip_special", [False, True])
def test_stream_gives_the_whole_text_and_no_half_characters(
    skip_special: bool, tokenizer: Tokenizer
) -> None:
    stream = StreamDecoder(tokenizer, skip_special=skip_special)
    for text in varied_strings()[::15]:
        ids = tokenizer.encode(text)
        pieces = [stream.push(token_id) for token_id in ids]
        whole = tokenizer.decode(ids, skip_special)
        if "\ufffd" not in whole:
            assert not any("\ufffd" in piece for piece in pieces)
        assert "".join(pieces) + stream.flush() == whole


def test_stream_of_broken_bytes_gives_the_whole_text(tokenizer: Tokenizer) -> None:
    rng = random.Random(5)
    stream = StreamDecoder(tokenizer)
    for _ in range(300):
        ids = [rng.randrange(17, 300) for _ in range(rng.randint(1, 20))]
        pieces = [stream.push(token_id) for token_id in ids]
        assert "".join(pieces) + stream.flush() == tokenizer.decode(ids)


def test_stream_holds_back_an_unfinished_emoji(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("hi 🦜!")
    stream = StreamDecoder(tokenizer)
    pieces = [stream.push(token_id) for token_id in ids]
    assert "" in pieces
    assert "".join(pieces) == "hi 🦜!"
    assert stream.push(ids[-2]) + stream.flush() == tokenizer.decode([ids[-2]])
