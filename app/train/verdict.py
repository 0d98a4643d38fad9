"""Whether an adapter has learnt: its losses beside the base's, passage by passage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["learned", "overfit", "unchanged", "worse", "unclear"]

MIN_CHANGE = 0.01
"""Nats a token that are called a change at all: one percent of perplexity."""

UNSURE_CHANGE = 0.05
"""The same where there is a single passage, which says nothing of how passages differ."""

TOKEN_DEVIATION = 1.0
"""How much the gain differs from token to token, assumed where there is a single passage."""

UNCLEAR_MARGIN = 0.2
"""Where not even this many nats a token are told from chance, nothing can be said of a text."""

STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""What 95 % of Student's t lie within, by degrees of freedom from 1."""


@dataclass(frozen=True)
class Passage:
    """A piece of text and what its tokens cost, in nats, with the base and with the adapter."""

    start: int
    num_tokens: int
    num_predicted: int
    base: float
    lora: float

    @property
    def gain(self) -> float:
        """Nats a token that the adapter spares; negative where it costs more."""
        return (self.base - self.lora) / self.num_predicted


@dataclass(frozen=True)
class Judgement:
    """A verdict and its numbers.

    Attributes:
        gain: Nats a token that the adapter spares on the text.
        margin: Changes smaller than this are not told from chance: 95 % of Student's t times the
            standard error of the gain over passages, at least MIN_CHANGE.
        train_gain: The gain on text that was learnt from, where both were read.
        num_better: Passages that the adapter finds easier, of `num_passages`.
    """

    verdict: Verdict
    gain: float
    margin: float
    train_gain: float | None
    num_better: int
    num_passages: int


def judge(passages: Sequence[Passage], train_gain: float | None = None) -> Judgement:
    """Return what losses on a text say of an adapter.

    gain = Σ(baseᵢ − loraᵢ) / Σnᵢ, with the standard error of a ratio estimator over passages:
    √(N / (N − 1) · Σ(dᵢ − gain·nᵢ)²) / Σnᵢ, dᵢ = baseᵢ − loraᵢ (Cochran, Sampling Techniques, §6).

    More than the margin spared is "learned". Where the margin is wide and the gain within it, the
    text is too little: "unclear". Nothing spared on text that it has not seen, but on text that it
    has, is "overfit". Else the text became "worse", or it is "unchanged".

    Args:
        passages: At least one with a predicted token.
        train_gain: Nats a token spared on text that was learnt from, if these passages were not.
    """
    total = sum(item.num_predicted for item in passages)
    gain = sum(item.base - item.lora for item in passages) / total
    count = len(passages)
    margin = max(UNSURE_CHANGE, 2 * TOKEN_DEVIATION / math.sqrt(total))
    if count > 1:
        squares = sum((item.base - item.lora - gain * item.num_predicted) ** 2 for item in passages)
        error = math.sqrt(count / (count - 1) * squares) / total
        margin = max(MIN_CHANGE, _student(count - 1) * error)
    if gain > margin:
        verdict: Verdict = "learned"
    elif abs(gain) <= margin and margin > UNCLEAR_MARGIN:
        verdict = "unclear"
    elif train_gain is not None and train_gain > margin:
        verdict = "overfit"
    else:
        verdict = "worse" if gain < -margin else "unchanged"
    better = sum(item.gain > 0 for item in passages)
    return Judgement(verdict, gain, margin, train_gain, better, count)


def _student(freedom: int) -> float:
    """Return what 95 % of Student's t lie within; the tail is its expansion in 1 / freedom."""
    return STUDENT[freedom - 1] if freedom <= len(STUDENT) else 1.96 + 2.4 / freedom
