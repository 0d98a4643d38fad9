"""The text on the page as tokens: read, checked and tokenized once, however often asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.errors import CorpusError
from app.studio.protocol import Corpus
from app.text.corpus import check_corpus_size, check_corpus_text, decode_corpus
from app.text.tokenizer import Tokenizer

PASTED = "your text"


@dataclass(frozen=True)
class TokenizedCorpus:
    """A text and its tokens, int32."""

    text: str
    token_ids: npt.NDArray[np.int32]


class CorpusDesk:
    """Keeps the last text with its tokens, because counting, planning and training share it."""

    def __init__(self) -> None:
        self._key: object = None
        self._kept: TokenizedCorpus | None = None

    def forget(self) -> None:
        """Drop the tokens: another model has another tokenizer."""
        self._key, self._kept = None, None

    async def tokenize(self, corpus: Corpus, tokenizer: Tokenizer) -> TokenizedCorpus:
        """Return the tokens of a text or file.

        Raises:
            CorpusError: empty, too large, binary or not UTF-8.
        """
        file = corpus.get("file")
        key: object
        if file is None:
            text = corpus.get("text", "")
            key = text
        else:
            name = corpus.get("name", file.name)
            check_corpus_size(file.size_bytes, name)
            data = await file.read(0, file.size_bytes)
            key = data
        if self._kept is not None and key == self._key:
            return self._kept
        text = decode_corpus(data, name) if file is not None else check_corpus_text(text, PASTED)
        token_ids = np.asarray(tokenizer.encode(text), dtype=np.int32)
        if not token_ids.size:
            raise CorpusError("your text has no tokens that this model knows: add some words")
        self._key, self._kept = key, TokenizedCorpus(text, token_ids)
        return self._kept
