r"""Encode a long text piece by piece, with exactly the tokens of the whole.

Where may a text be cut? Between p - 1 and p, if no word of the pre-tokenizer and no added
token can span that place, and no rule looks across it. In all patterns here whitespace is
consumed by `\s+(?!\S)`, `\s+`, `\s*[\r\n]+` (which hold nothing else), as one leading
character of a word, or as the line ends after a run of marks. So take text[p] = space or
line feed:

- GPT-2's pattern (byte level, with or without single digits): text[p-1] is not whitespace.
  Every match that holds text[p-1] is a contraction or a run of letters, numbers or marks,
  none of which takes whitespace after its first character: it ends at p. Splitting digits off
  first only adds ends.
- Llama 3's and Qwen2's: text[p-1] is a letter or an ASCII digit. (After marks it would not do:
  `[^\s\p{L}\p{N}]+[\r\n]*` takes line ends along.) NFC changes nothing across p either: a
  space neither composes nor reorders.

Lookahead `\s+(?!\S)` is tried only within whitespace, so never up to p from the left; there
is no lookbehind. An added token that contains such a place (a non-space followed by a space
or line feed) or that swallows neighbouring spaces rules cutting out, as does any other
pre-tokenizer: those texts are encoded whole.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from app.text.tokenizer_json import LLAMA3_PATTERN, QWEN2_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    from app.text.tokenizer import Tokenizer

PIECE_CHARACTERS = 64_000
"""About 50 ms of JavaScript: between two pieces a worker takes its messages."""

_AFTER_NON_SPACE = re.compile(r"(?<=\S)(?=[ \n])")
# Letters whose class no Unicode version will change: ASCII, Cyrillic, Greek, kana, CJK, Hangul.
_AFTER_LETTER = re.compile(
    r"(?<=[A-Za-z0-9\u0430-\u044f\u03b1-\u03c9\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5\uac00-\ud7a3])"
    r"(?=[ \n])"
)


async def encode_corpus(
    tokenizer: Tokenizer,
    text: str,
    on_progress: Callable[[int, int], None] | None = None,
) -> npt.NDArray[np.int32]:
    """Return the ids of `text`, (num_tokens,) int32: exactly `tokenizer.encode(text)`.

    Works in pieces of about `PIECE_CHARACTERS` and lets other tasks run between them;
    `on_progress(done, total)` counts characters. Cancel the task to stop.
    """
    parts: list[npt.NDArray[np.int32]] = []
    done = 0
    for piece in split_exactly(text, tokenizer.settings):
        parts.append(np.array(tokenizer.encode(piece), dtype=np.int32))
        done += len(piece)
        if on_progress is not None:
            on_progress(done, len(text))
        await asyncio.sleep(0)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)


def split_exactly(
    text: str, settings: Mapping[str, Any], piece_characters: int = PIECE_CHARACTERS
) -> Iterator[str]:
    """Yield pieces, each as short as possible from `piece_characters` on, whose ids join up."""
    boundary = boundary_pattern(settings)
    start = 0
    while start < len(text):
        found = boundary and boundary.search(text, start + piece_characters)
        end = found.start() if found else len(text)
        yield text[start:end]
        start = end


def boundary_pattern(settings: Mapping[str, Any]) -> re.Pattern[str] | None:
    """Return the places where text may be cut under a tokenizer.json; None where none is sure."""
    pattern = _pattern_of(settings)
    if pattern is None:
        return None
    for token in settings.get("added_tokens") or ():
        swallows = token.get("lstrip") or token.get("rstrip") or token.get("single_word")
        if swallows or token.get("normalized") or pattern.search(token["content"]):
            return None
    return pattern


def _pattern_of(settings: Mapping[str, Any]) -> re.Pattern[str] | None:
    spec = settings.get("pre_tokenizer") or {}
    steps = spec.get("pretokenizers", [spec]) if spec.get("type") == "Sequence" else [spec]
    kinds = [step.get("type") for step in steps]
    last = steps[-1] if steps else {}
    if settings.get("model") != "BPE" or kinds[-1:] != ["ByteLevel"]:
        return None
    if last.get("add_prefix_space", True):
        return None
    normalizer = settings.get("normalizer")
    if kinds in (["ByteLevel"], ["Digits", "ByteLevel"]):
        gpt2 = last.get("use_regex", True) and normalizer is None
        return _AFTER_NON_SPACE if gpt2 else None
    if kinds == ["Split", "ByteLevel"] and not last.get("use_regex", True):
        source = steps[0].get("pattern", {}).get("Regex")
        known = source in (LLAMA3_PATTERN, QWEN2_PATTERN)
        plain = steps[0].get("behavior") == "Isolated" and not steps[0].get("invert")
        if known and plain and normalizer in (None, {"type": "NFC"}):
            return _AFTER_LETTER
    return None
