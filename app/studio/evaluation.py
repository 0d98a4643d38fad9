"""Judging the chosen adapter on text: the same passages read with the base and with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.errors import CorpusError
from app.messages import say_count
from app.models.loader import Model
from app.nn.adapter import Adapter
from app.studio.corpus import TokenizedCorpus
from app.studio.protocol import EvaluateProgressEvent, Message
from app.studio.provenance import LearntTexts, text_hash
from app.text.dataset import Dataset, goes_by_documents, make_dataset
from app.text.windows import MIN_TOKENS, Windows
from app.train.control import RunControl
from app.train.evaluate import EvalResult, evaluate
from app.train.verdict import Passage, judge

EVALUATE_SECONDS = 12.0
"""How long each reading may take; what can be read in that time is what counts."""

EXAMPLES = 3
"""Passages shown of those that gained most, and of those that lost most."""

EXCERPT_TOKENS = 24

Source = Literal["held-out", "learnt", "pasted", "other", "unknown"]
"""What is read: text kept out of training, text learnt from, text put in for this; the corpus on
the page where it is not the one learnt from, or where nobody knows whether it is."""


def check_enough(corpus: TokenizedCorpus) -> None:
    """Raise CorpusError where there is nothing to predict."""
    count = corpus.documents.num_tokens
    if count < MIN_TOKENS:
        raise CorpusError(
            say_count(
                count,
                "the text to evaluate on has {count} token and needs at least {least}: add more",
                "the text to evaluate on has {count} tokens and needs at least {least}: add more",
                least=MIN_TOKENS,
            )
        )


def what_to_read(
    dataset: Dataset, corpus: TokenizedCorpus, texts: LearntTexts | None, *, is_pasted: bool
) -> tuple[Windows, Windows | None, Source]:
    """Return what is evaluated on, beside it what was learnt from, and what the first is.

    A text that was learnt from is split as its run did: only then was the part that is kept aside
    really kept out. No other text has such a part.

    Args:
        dataset: The corpus as the next run would cut it.
        corpus: The text.
        texts: That were trained on; None where nothing has been trained yet.
        is_pasted: It was put in for this, beside the corpus on the page.
    """
    if texts is None:
        if is_pasted:
            return dataset.train, None, "pasted"  # by the base alone: there is nothing else yet
        if dataset.evaluation is not None:
            return dataset.evaluation, dataset.train, "held-out"
        return dataset.train, None, "learnt"
    text = text_hash(corpus.files)
    standing = texts.standing(text)
    if standing != "learnt":
        return dataset.train, None, standing
    split = texts.split(text)
    if split is not None and goes_by_documents(corpus.files, split["packing"]) == (
        corpus.by_documents
    ):
        dataset = make_dataset(corpus.documents, by_documents=corpus.by_documents, **split)
        if dataset.evaluation is not None:
            return dataset.evaluation, dataset.train, "held-out"
    return dataset.train, None, "learnt"


class Evaluation:
    """One evaluation: of the base, and of what was trained where there is something."""

    def __init__(
        self,
        model: Model,
        adapter: Adapter | None,
        strength: float,
        control: RunControl,
        post: Callable[[Any], None],
        tuned: Model | None = None,
    ) -> None:
        """Compare `model` with the same under an adapter, or with the `tuned` one instead."""
        self._model = model
        self._tuned = tuned
        self._adapter = None if tuned is not None else adapter
        self._strength = strength
        self._control = control
        self._post = post

    async def run(self, windows: Windows, learnt: Windows | None, source: Source) -> Message:
        """Read windows, and some that were learnt from where these were not, and judge.

        Both read the same windows: as many as the base can within EVALUATE_SECONDS.

        Returns:
            `base` and `lora` (losses), and where both were read: `verdict` and its numbers, and
            `passages`, those that gained and lost most.
        """
        chosen = await self._affordable(windows)
        result: Message = {
            "base": None,
            "lora": None,
            "source": source,
            "shortened": chosen.num_windows < windows.num_windows,
            "stopped": True,
            "judgement": None,
            "passages": [],
        }
        base = await self._read(chosen, "base")
        if base is None:
            return result
        result["base"] = asdict(base[0])
        if self._adapter is None and self._tuned is None:
            return result | {"stopped": False}
        lora = await self._read(chosen, "lora")
        if lora is None:
            return result
        result["lora"] = asdict(lora[0])
        train_gain = None
        if learnt is not None:
            train_gain = await self._gain_on(learnt, chosen.num_windows)
            if train_gain is None:
                return result
        passages = passages_of(chosen, base[1], lora[1])
        judgement = judge(passages, train_gain)
        return result | {
            "stopped": False,
            "judgement": asdict(judgement),
            "passages": [self._shown(chosen, item) for item in extremes(passages)],
        }

    async def _gain_on(self, windows: Windows, count: int) -> float | None:
        """Return the gain on some windows, evenly spread; None where it was stopped."""
        picks = np.unique(np.linspace(0, windows.num_windows - 1, count).astype(np.int64))
        some = windows.subset([int(index) for index in picks])
        base = await self._read(some, "base")
        lora = await self._read(some, "lora") if base else None
        return base[0].loss - lora[0].loss if base and lora else None

    async def _affordable(self, windows: Windows) -> Windows:
        """Return the first windows, as many as this device reads in time; one is timed."""
        started = time.perf_counter()
        first = windows.subset([0])
        await evaluate(self._model, None, first, self._control)
        each = (time.perf_counter() - started) * max(1.0, windows.max_seq_len / first.num_tokens)
        count = max(1, min(windows.num_windows, int(EVALUATE_SECONDS / each)))
        return windows.subset(range(count))

    async def _read(
        self, windows: Windows, which: Literal["base", "lora"]
    ) -> tuple[EvalResult, dict[int, NDArray[np.float32]]] | None:
        self._post(EvaluateProgressEvent(which, 0.0))
        losses: dict[int, NDArray[np.float32]] = {}
        is_base = which == "base"
        result = await evaluate(
            self._model if is_base or self._tuned is None else self._tuned,
            None if is_base else self._adapter,
            windows,
            self._control,
            lambda part: self._post(EvaluateProgressEvent(which, part)),
            strength=self._strength,
            on_window=losses.__setitem__,
        )
        return None if result is None else (result, losses)

    def _shown(self, windows: Windows, passage: Passage) -> Message:
        start, count = passage.start, min(passage.num_tokens, EXCERPT_TOKENS)
        text = self._model.tokenizer.decode([int(t) for t in windows.token_ids[start:][:count]])
        return {
            "text": " ".join(text.split()),
            "is_cut": count < passage.num_tokens,
            "base": passage.base / passage.num_predicted,
            "lora": passage.lora / passage.num_predicted,
        }


def passages_of(
    windows: Windows,
    base: dict[int, NDArray[np.float32]],
    lora: dict[int, NDArray[np.float32]],
) -> list[Passage]:
    """Return the windows' segments (documents, or pieces of running text) and what they cost.

    Args:
        windows: What was read.
        base: Losses of each window's positions with the base, by window.
        lora: The same with the adapter.
    """
    found = []
    learned = np.concatenate([[0], np.cumsum(windows.is_learned)])
    for index in range(windows.num_windows):
        at = 0
        for start, length in windows.segments(index):
            num_predicted = int(learned[start + length] - learned[start + 1])
            part = slice(at, at + length)
            costs = [float(each[index][part].sum(dtype=np.float64)) for each in (base, lora)]
            if num_predicted:
                found.append(Passage(int(start), int(length), num_predicted, costs[0], costs[1]))
            at += length
    return found


def extremes(passages: list[Passage]) -> list[Passage]:
    """Return those that gained most, then those that lost most or gained least, none twice."""
    ordered = sorted(passages, key=lambda item: -item.gain)
    if len(ordered) <= 2 * EXAMPLES:
        return ordered
    return ordered[:EXAMPLES] + ordered[-EXAMPLES:]
