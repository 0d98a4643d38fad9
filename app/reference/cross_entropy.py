"""Cross-entropy of the head's logits, in chunks of rows: tokens × V is never held."""

from __future__ import annotations

import numpy as np

from app.reference.arrays import Float64Array, IntArray, RealArray, as_float64

IGNORE_INDEX = -100
"""Target of a position that predicts nothing: no loss, no gradient."""

_ROWS_PER_CHUNK = 64


def cross_entropy(
    hidden: RealArray, head: RealArray, targets: IntArray, *, normalizer: float
) -> tuple[float, Float64Array]:
    """Loss of the predicted tokens and its gradient with respect to the hidden states.

    loss = (1/normalizer) · Σₜ (logsumexp(zₜ) - zₜ[targets[t]]) in nats,  zₜ = hidden[t]·headᵀ
    dhidden[t] = (1/normalizer) · (softmax(zₜ) - onehot(targets[t]))·head

    over the positions whose target is not -100; the others get a zero gradient.

    Args:
        hidden: (T, C), after the last norm.
        head: (V, C).
        targets: (T,) token ids, or -100 for a position that predicts nothing.
        normalizer: Number of predicted tokens of the step.

    Returns:
        The loss and dhidden, (T, C).
    """
    hidden, head = as_float64(hidden), as_float64(head)
    dhidden = np.zeros_like(hidden)
    total = 0.0
    predicted = np.flatnonzero(targets != IGNORE_INDEX)
    for start in range(0, len(predicted), _ROWS_PER_CHUNK):
        rows = predicted[start : start + _ROWS_PER_CHUNK]
        picked = np.arange(len(rows)), targets[rows]
        logits = hidden[rows] @ head.T
        logits -= logits.max(axis=-1, keepdims=True)
        target_logits = logits[picked]
        with np.errstate(under="ignore"):
            softmax = np.exp(logits, out=logits)
            sums = softmax.sum(axis=-1)
            softmax /= sums[:, None]
            total += float(np.sum(np.log(sums) - target_logits))
            softmax[picked] -= 1
            dhidden[rows] = softmax @ head / normalizer
    return total / normalizer, dhidden
