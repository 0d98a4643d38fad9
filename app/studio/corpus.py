"""The text on the page as tokens: read, checked and tokenized once, however often asked for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from app.config import Packing
from app.errors import CorpusError, Problems, StudioError
from app.messages import say
from app.models.loader import Model
from app.studio.protocol import Corpus
from app.text.corpus import check_corpus_size, check_corpus_text, decode_corpus
from app.text.dataset import CorpusFile, encode_files, goes_by_documents
from app.text.documents import Documents

PASTED = say("your text")
KEPT = 2
"""Tokenized forms that are kept: of the running text, and by documents."""


class SupersededError(StudioError):
    """Something newer was asked for while this was on its way."""


@dataclass(frozen=True)
class TokenizedCorpus:
    """A text, its length and its tokens; `by_documents` says whether documents are told apart."""

    files: tuple[CorpusFile, ...]
    documents: Documents
    by_documents: bool

    @property
    def num_characters(self) -> int:
        """Characters of all files."""
        return sum(len(file.text) for file in self.files)


@dataclass(eq=False)
class _Encoding:
    """Tokenizing that is under way; a pinned one is not given up for a newer text."""

    key: bytes
    task: asyncio.Task[TokenizedCorpus]
    is_pinned: bool


class CorpusDesk:
    """Keeps the last text's tokens, because counting, planning and training share them."""

    def __init__(self) -> None:
        self._kept: dict[bytes, TokenizedCorpus] = {}
        self._running: _Encoding | None = None

    def forget(self) -> None:
        """Drop the tokens: another model has another tokenizer."""
        self._kept.clear()
        if self._running is not None:
            self._running.task.cancel()
            self._running = None

    async def tokenize(
        self, corpus: Corpus, model: Model, *, packing: Packing = "none", pinned: bool = False
    ) -> TokenizedCorpus:
        """Return the tokens of a text or of files; a newer text gives up one that is not pinned.

        Raises:
            CorpusError: empty, too large, binary, not UTF-8, or records with mistakes.
            FormatError: the model's chat template refuses a conversation.
            SupersededError: a newer text came first.
        """
        files = await read_files(corpus)
        by_documents = goes_by_documents(files, packing)
        key = _key(files, by_documents)
        if key in self._kept:
            return self._kept[key]
        if self._running is None or self._running.key != key:
            if self._running is not None and not self._running.is_pinned:
                self._running.task.cancel()
            task = asyncio.ensure_future(self._encode(files, key, model, by_documents))
            self._running = _Encoding(key, task, pinned)
        running = self._running
        running.is_pinned = running.is_pinned or pinned
        try:
            return await asyncio.shield(running.task)
        except asyncio.CancelledError:
            if running.task.cancelled():
                raise SupersededError(say("the text was changed meanwhile")) from None
            raise

    async def _encode(
        self, files: Sequence[CorpusFile], key: bytes, model: Model, by_documents: bool
    ) -> TokenizedCorpus:
        try:
            documents = await encode_files(
                files,
                model.tokenizer,
                chat_template=model.chat_template,
                by_documents=by_documents,
            )
        finally:
            if self._running is not None and self._running.key == key:
                self._running = None
        if not documents.num_tokens:
            raise CorpusError(say("your text has no tokens that this model knows: add some words"))
        self._kept[key] = tokenized = TokenizedCorpus(tuple(files), documents, by_documents)
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return tokenized


async def read_files(corpus: Corpus) -> list[CorpusFile]:
    """Return what was typed, or the chosen files, decoded.

    Raises:
        CorpusError: empty, too large all together, binary or not UTF-8.
    """
    chosen = corpus.get("files")
    if not chosen:
        return [CorpusFile(PASTED, check_corpus_text(corpus.get("text", ""), PASTED))]
    names = [file["name"] for file in chosen]
    together = names[0] if len(names) == 1 else say("{number} files together", number=len(names))
    check_corpus_size(sum(file["file"].size_bytes for file in chosen), together)
    files = []
    problems = Problems()
    for name, file in zip(names, chosen, strict=True):
        data = await file["file"].read(0, file["file"].size_bytes)
        with problems.gathered():
            files.append(CorpusFile(name, decode_corpus(data, name)))
    problems.raise_if_any()
    return files


def _key(files: Sequence[CorpusFile], by_documents: bool) -> bytes:
    digest = hashlib.blake2b(bytes([by_documents]))
    for file in files:
        for part in (file.name, file.text):
            data = part.encode(errors="surrogatepass")
            digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()
