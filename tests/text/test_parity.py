"""The browser's tokenizer (run under Node) against the `tokenizers` wheel, exactly."""

from __future__ import annotations

import json
import random
import subprocess
from typing import Any

import pytest

from app.text.tokenizer import Tokenizer, load_tokenizer
from app.text.tokenizer_json import tokenizer_json_from_gguf
from tests.text.conftest import ROOT, Page
from tests.text.strings import varied_strings
from tests.text.unicode_classes import javascript


@pytest.fixture(scope="module")
def strings() -> list[str]:
    texts = varied_strings()
    assert len(set(texts)) >= 2000
    return texts


def differences(wanted: list[Any], found: list[Any], texts: list[str]) -> list[str]:
    assert len(wanted) == len(found) == len(texts)
    return [
        f"{text!a}: {right} {left}"
        for text, right, left in zip(texts, wanted, found, strict=True)
        if right != left
    ]


def test_every_string_has_the_same_ids(
    page: Page, tokenizer: Tokenizer, tokenizer_json: dict[str, Any], strings: list[str]
) -> None:
    wanted = [tokenizer.encode(text) for text in strings]
    assert sum(map(len, wanted)) > 50_000
    assert differences(wanted, page.encode(tokenizer_json, strings), strings) == []


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "qwen2"])
def test_other_pre_tokenizers(
    pre: str, page: Page, metadata: dict[str, Any], strings: list[str]
) -> None:
    contents = tokenizer_json_from_gguf({**metadata, "tokenizer.ggml.pre": pre})
    tokenizer = load_tokenizer(contents)
    wanted = [tokenizer.encode(text) for text in strings]
    assert differences(wanted, page.encode(contents, strings), strings) == []


def test_user_defined_tokens_and_missing_bytes(
    page: Page, metadata: dict[str, Any], strings: list[str]
) -> None:
    """Plain added tokens, the longer of two; SmolLM2 lacks bytes, U+0004 among them."""
    tokens, types = list(metadata["tokenizer.ggml.tokens"]), [1] * 49152
    assert "Ą" not in tokens  # the byte 0x04
    tokens += ["<tool>", "<tool>x", "éé", "two words", "\n\n"]
    types += [3, 4, 4, 4, 4]
    contents = tokenizer_json_from_gguf(
        {**metadata, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
    )
    native = load_tokenizer(contents)
    texts = ["<tool>xy<tool>y", "caféé", "two words two  words", "a\n\n\nb", "x \x04. \x04\x04the"]
    texts += strings
    wanted = [native.encode(text) for text in texts]
    assert wanted[0] == [49153, *native.encode("y"), 49152, *native.encode("y")]
    assert differences(wanted, page.encode(contents, texts), texts) == []
    ids = [[49154], [49152, 49154, 81], [49156, 49155]]
    request = {"tokenizer": json.dumps(contents), "texts": [], "ids": ids}
    found = page.run("encode_with_js.mjs", request)["texts"]
    assert found == [[native.decode(i), native.decode(i, skip_special=True)] for i in ids]


def test_decoding(page: Page, tokenizer: Tokenizer, tokenizer_json: dict[str, Any]) -> None:
    rng = random.Random(7)
    lists = [[rng.randrange(49152) for _ in range(rng.randint(1, 12))] for _ in range(1500)]
    # Tokens that are single bytes: cut-off and broken UTF-8 of every kind; and unknown ids.
    low = range(0, 260)
    lists += [[rng.choice(low) for _ in range(rng.randint(1, 12))] for _ in range(1500)]
    lists += [[], [49152], [0, 10**6, 17], [2], [1, 2, 0]]
    request = {"tokenizer": json.dumps(tokenizer_json), "texts": [], "ids": lists}
    answer = page.run("encode_with_js.mjs", request)
    assert answer["vocabSize"] == tokenizer.vocab_size == 49152
    wanted = [[tokenizer.decode(ids), tokenizer.decode(ids, skip_special=True)] for ids in lists]
    assert differences(wanted, answer["texts"], [str(ids) for ids in lists]) == []
    assert any("\ufffd" in text for text, _ in wanted)


def test_class_table_is_that_of_the_wheel() -> None:
    assert (ROOT / "static/text/unicode-classes.js").read_text() == javascript()


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "Metaspace"}},
        {"decoder": {"type": "Fuse"}},
        {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": r"\w+"}, "behavior": "Isolated"}},
    ],
)
def test_the_browser_refuses_what_it_cannot_do_exactly(
    change: dict[str, Any], page: Page, tokenizer_json: dict[str, Any]
) -> None:
    with pytest.raises(AssertionError, match="support"):
        page.encode({**tokenizer_json, **change}, ["a"])


def test_node_is_there() -> None:
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    assert int(version.stdout[1:].split(".")[0]) >= 20
