"""Records of a corpus as tokens, with a mark on those that are learnt.

Plain text is tokenized as it stands. A completion follows its prompt with nothing between
them and ends with the end-of-text token, so that the model learns to stop. A conversation is
written by the model's own chat template; what the template adds when an assistant's message
is appended to the conversation so far, less the opening of the answer, is learnt.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.errors import CorpusError
from app.messages import say
from app.text.chat_template import ChatRenderer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from app.text.records import Record
    from app.text.tokenizer import Tokenizer

    IntArray = npt.NDArray[np.int32]
    BoolArray = npt.NDArray[np.bool_]

PAUSE_EVERY = 64
"""Records between two pauses in which other tasks run."""


@dataclass(frozen=True)
class Documents:
    """Tokenized documents, one after the other.

    Attributes:
        token_ids: (num_tokens,) int32.
        is_learned: (num_tokens,) bool: whether a token may be predicted for the loss.
        bounds: (num_documents + 1,) int64: document d is token_ids[bounds[d] : bounds[d + 1]].
        places: Where each came from, for messages.
    """

    token_ids: IntArray
    is_learned: BoolArray
    bounds: npt.NDArray[np.int64]
    places: tuple[str, ...]

    @property
    def num_documents(self) -> int:
        """Number of documents."""
        return len(self.places)

    @property
    def num_tokens(self) -> int:
        """Tokens of all documents."""
        return len(self.token_ids)

    def subset(self, indices: Sequence[int]) -> Documents:
        """Return some of the documents, in this order."""
        parts = [np.arange(self.bounds[index], self.bounds[index + 1]) for index in indices]
        chosen = np.concatenate([np.zeros(0, np.int64), *parts])
        return Documents(
            self.token_ids[chosen],
            self.is_learned[chosen],
            np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64),
            tuple(self.places[index] for index in indices),
        )


async def encode_documents(
    records: Sequence[Record],
    tokenizer: Tokenizer,
    chat_template: str | None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Documents:
    """Tokenize records; cancel the task to stop.

    Args:
        records: In the order of the corpus.
        tokenizer: The model's.
        chat_template: The model's, for conversations; ChatML without one.
        on_progress: Called with the records done and their number.

    Raises:
        CorpusError: nothing is left to learn.
        FormatError: the template refuses a conversation.
    """
    ids: list[int] = []
    learned: list[bool] = []
    bounds = [0]
    async with ChatRenderer(chat_template, tokenizer) as renderer:
        for number, record in enumerate(records, start=1):
            for text, is_learned in await _passages(record, renderer):
                found = tokenizer.encode(text) if text else []
                ids += found
                learned += [is_learned] * len(found)
            if record.completion and tokenizer.eos_token_id is not None:
                ids.append(tokenizer.eos_token_id)
                learned.append(True)
            bounds.append(len(ids))
            if number % PAUSE_EVERY == 0:
                if on_progress is not None:
                    on_progress(number, len(records))
                await asyncio.sleep(0)
    documents = Documents(
        np.array(ids, np.int32),
        np.array(learned, np.bool_),
        np.array(bounds, np.int64),
        tuple(record.place for record in records),
    )
    if not documents.is_learned.any():
        raise CorpusError(say("the corpus has no tokens to learn: add some text"))
    return documents


async def _passages(record: Record, renderer: ChatRenderer) -> list[tuple[str, bool]]:
    """Return the pieces of a record's text and whether each is learnt."""
    if record.text:
        return [(record.text, True)]
    if not record.messages:
        return [(record.prompt, False), (record.completion, True)]
    messages = [{"role": role, "content": content} for role, content in record.messages]
    passages: list[tuple[str, bool]] = []
    written = ""
    for count, message in enumerate(messages, start=1):
        if message["role"] != "assistant":
            continue
        opened = await renderer.render(messages[: count - 1], add_generation_prompt=True)
        answered = await renderer.render(messages[:count], add_generation_prompt=False)
        if not opened.startswith(written) or not answered.startswith(opened):
            raise CorpusError(
                say(
                    "{place}: the model's chat template rewrites earlier turns when one is "
                    "added, so what the assistant said cannot be told apart: give prompt and "
                    "completion instead",
                    place=record.place,
                )
            )
        passages += [(opened[len(written) :], False), (answered[len(opened) :], True)]
        written = answered
    return passages
