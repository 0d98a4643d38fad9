"""Choose the next token from logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.config import GenerationConfig


class Sampler:
    """Seeded sampling; the same seed and logits give the same tokens.

    Order, as in HuggingFace: repetition penalty, temperature, top-k, top-p.
    """

    def __init__(self, config: GenerationConfig) -> None:
        self._config = config
        self._random = np.random.default_rng(config.seed)

    def sample(self, logits: NDArray[np.float32], seen: Sequence[int]) -> int:
        """Return a token id.

        Args:
            logits: (vocab_size,).
            seen: Tokens of the prompt and the answer so far, for the repetition penalty.
        """
        config = self._config
        scores = logits.astype(np.float64)
        if config.repetition_penalty != 1.0 and seen:
            ids = np.unique(np.asarray(seen, np.int64))
            kept = scores[ids]
            penalty = config.repetition_penalty
            scores[ids] = np.where(kept > 0, kept / penalty, kept * penalty)
        if config.temperature == 0:
            return int(scores.argmax())
        candidates, probabilities = candidate_probabilities(scores, config)
        return int(self._random.choice(candidates, p=probabilities))


def candidate_probabilities(
    scores: NDArray[np.float64], config: GenerationConfig
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the tokens that may be drawn, likeliest first, and their probabilities.

    top_k keeps that many; top_p then keeps the shortest run of them whose probabilities sum to
    at least top_p. At least one token is always kept.
    """
    scaled = scores / config.temperature
    count = config.top_k or len(scaled)
    if count < len(scaled):
        order = np.argpartition(-scaled, count)[:count]
        order = order[np.argsort(-scaled[order], kind="stable")]
    else:
        order = np.argsort(-scaled, kind="stable")
    with np.errstate(under="ignore"):  # a hopeless token has no share at all
        weights = np.exp(scaled[order] - scaled[order[0]])
    probabilities = weights / weights.sum()
    if config.top_p < 1.0:
        kept = int(np.searchsorted(np.cumsum(probabilities), config.top_p)) + 1
        order, probabilities = order[:kept], probabilities[:kept]
        probabilities = probabilities / probabilities.sum()
    return order.astype(np.int64), probabilities
