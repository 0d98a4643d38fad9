"""What samples of a run continue, and how far."""

from __future__ import annotations

from app.models.loader import Model
from app.text.dataset import Dataset

PROMPT_TOKENS = 8
"""Of the corpus, where no other words are given."""

SAMPLE_TOKENS = 32


def prompt_ids(model: Model, prompt: str, dataset: Dataset) -> list[int]:
    """Return the tokens that samples go on from.

    Args:
        model: Knows the tokens.
        prompt: Words; empty: the first ones of what is kept aside, or learnt.
        dataset: Where those are.
    """
    if prompt:
        return list(model.tokenizer.encode(prompt))
    windows = dataset.evaluation or dataset.train
    first: list[int] = windows.inputs(0)[:PROMPT_TOKENS].tolist()
    return first


def prompt_room(model: Model) -> int:
    """Return how many tokens a prompt may have, so that what is written fits the context."""
    return model.weights.rope_table.shape[0] - SAMPLE_TOKENS
