"""The text on the page as tokens: read, checked and tokenized once, however often asked for."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.errors import CorpusError, StudioError
from app.studio.protocol import Corpus
from app.text.corpus import check_corpus_size, check_corpus_text, decode_corpus
from app.text.encode import encode_corpus
from app.text.tokenizer import Tokenizer

PASTED = "your text"


class SupersededError(StudioError):
    """Something newer was asked for while this was on its way."""


@dataclass(frozen=True)
class TokenizedCorpus:
    """A text's length and its tokens, int32."""

    num_characters: int
    token_ids: npt.NDArray[np.int32]


@dataclass(eq=False)
class _Encoding:
    """Tokenizing that is under way; a pinned one is not given up for a newer text."""

    key: bytes
    task: asyncio.Task[TokenizedCorpus]
    is_pinned: bool


class CorpusDesk:
    """Keeps the last text's tokens, because counting, planning and training share them."""

    def __init__(self) -> None:
        self._key = b""
        self._kept: TokenizedCorpus | None = None
        self._running: _Encoding | None = None

    def forget(self) -> None:
        """Drop the tokens: another model has another tokenizer."""
        self._key, self._kept = b"", None
        if self._running is not None:
            self._running.task.cancel()
            self._running = None

    async def tokenize(
        self, corpus: Corpus, tokenizer: Tokenizer, *, pinned: bool = False
    ) -> TokenizedCorpus:
        """Return the tokens of a text or file; a newer text gives up one that is not pinned.

        Raises:
            CorpusError: empty, too large, binary or not UTF-8.
            SupersededError: a newer text came first.
        """
        text = await _read(corpus)
        key = hashlib.blake2b(text.encode(errors="surrogatepass")).digest()
        if self._kept is not None and key == self._key:
            return self._kept
        if self._running is None or self._running.key != key:
            if self._running is not None and not self._running.is_pinned:
                self._running.task.cancel()
            task = asyncio.ensure_future(self._encode(text, key, tokenizer))
            self._running = _Encoding(key, task, pinned)
        running = self._running
        running.is_pinned = running.is_pinned or pinned
        try:
            return await asyncio.shield(running.task)
        except asyncio.CancelledError:
            if running.task.cancelled():
                raise SupersededError("the text was changed meanwhile") from None
            raise

    async def _encode(self, text: str, key: bytes, tokenizer: Tokenizer) -> TokenizedCorpus:
        try:
            token_ids = await encode_corpus(tokenizer, text)
        finally:
            if self._running is not None and self._running.key == key:
                self._running = None
        if not token_ids.size:
            raise CorpusError("your text has no tokens that this model knows: add some words")
        self._key, self._kept = key, TokenizedCorpus(len(text), token_ids)
        return self._kept


async def _read(corpus: Corpus) -> str:
    file = corpus.get("file")
    if file is None:
        return check_corpus_text(corpus.get("text", ""), PASTED)
    name = corpus.get("name", file.name)
    check_corpus_size(file.size_bytes, name)
    return decode_corpus(await file.read(0, file.size_bytes), name)
