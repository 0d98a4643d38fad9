"""Encoding piece by piece gives exactly the ids of the whole."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import numpy as np
import pytest

from app.text.encode import PIECE_CHARACTERS, boundary_pattern, encode_corpus, split_exactly
from app.text.tokenizer import Tokenizer, load_tokenizer
from app.text.tokenizer_json import tokenizer_json_from_gguf
from tests.text.strings import varied_strings

KINDS = ("smollm", "gpt-2", "llama-bpe", "qwen2")


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """All strings, and 2,000 short mixtures of what meets at a boundary."""
    rng = random.Random(11)
    parts = [
        *" \n\r\t.'!9aZ漢éñ\u0301\u3000\u0085\ufeff½",
        "\n\n",
        "  ",
        "'s",
        "<|im_end|>",
        "\r\n",
    ]
    mixed = ["".join(rng.choices(parts, k=rng.randint(2, 30))) for _ in range(2000)]
    return [*varied_strings(), *mixed]


@pytest.mark.parametrize("pre", KINDS)
def test_pieces_join_up(pre: str, metadata: dict[str, Any], texts: list[str]) -> None:
    """Cut at every place that counts as safe: nothing may change."""
    contents = tokenizer_json_from_gguf({**metadata, "tokenizer.ggml.pre": pre})
    tokenizer = load_tokenizer(contents)
    num_pieces = 0
    for text in texts:
        pieces = list(split_exactly(text, tokenizer.settings, piece_characters=1))
        assert "".join(pieces) == text
        num_pieces += len(pieces)
        joined = [token_id for piece in pieces for token_id in tokenizer.encode(piece)]
        assert joined == tokenizer.encode(text), (text, pieces)
    assert num_pieces > 2 * len(texts)


@pytest.mark.parametrize("end", [".", "。", "!?", ")", "'"])
def test_marks_before_a_line_end_are_no_boundary_for_llama3(
    end: str, metadata: dict[str, Any]
) -> None:
    contents = tokenizer_json_from_gguf({**metadata, "tokenizer.ggml.pre": "llama-bpe"})
    tokenizer = load_tokenizer(contents)
    assert list(split_exactly(f"a{end}\nb", tokenizer.settings, 1)) == [f"a{end}\nb"]
    assert list(split_exactly(f"a{end} b\nc", tokenizer.settings, 1)) == [f"a{end} b", "\nc"]


def test_a_long_corpus_in_pieces(tokenizer: Tokenizer) -> None:
    text = "\n".join(varied_strings()) * 3
    seen: list[tuple[int, int]] = []
    turns = 0

    async def main() -> np.ndarray[Any, Any]:
        nonlocal turns

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        ids = await encode_corpus(tokenizer, text, lambda *now: seen.append(now))
        other.cancel()
        return ids

    ids = asyncio.run(main())
    assert ids.dtype == np.int32
    assert ids.tolist() == tokenizer.encode(text)
    assert len(seen) >= len(text) // PIECE_CHARACTERS // 2 > 1
    assert seen == sorted(seen)
    assert seen[-1] == (len(text), len(text))
    assert turns >= len(seen)


def test_nothing_gives_nothing(tokenizer: Tokenizer) -> None:
    assert asyncio.run(encode_corpus(tokenizer, "")).shape == (0,)


def test_a_task_is_cancelled_between_pieces(tokenizer: Tokenizer) -> None:
    seen: list[int] = []

    async def main() -> None:
        text = "word " * PIECE_CHARACTERS
        task = asyncio.create_task(
            encode_corpus(tokenizer, text, lambda done, _: seen.append(done))
        )
        while not seen:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert len(seen) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "Lowercase"}},
        {"pre_tokenizer": {"type": "Metaspace"}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}},
        {"model": "Unigram"},
        {"added_tokens": [{"content": "two words"}]},
        {"added_tokens": [{"content": "x", "rstrip": True}]},
        {"added_tokens": [{"content": "x", "lstrip": True}]},
        {"added_tokens": [{"content": "x", "single_word": True}]},
        {"added_tokens": [{"content": "x", "normalized": True}]},
    ],
    ids=json.dumps,
)
def test_where_no_cut_is_sure_the_text_is_whole(
    change: dict[str, Any], tokenizer: Tokenizer
) -> None:
    settings = {**tokenizer.settings, **change}
    assert boundary_pattern(settings) is None
    assert list(split_exactly("a b c d", settings, 1)) == ["a b c d"]
    assert list(split_exactly("a b c d", tokenizer.settings, 1)) == ["a", " b", " c", " d"]
