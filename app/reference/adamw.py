"""AdamW with decoupled weight decay (arXiv:1711.05101), by the rule of torch.optim.AdamW."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.reference.arrays import Float64Array, RealArray, as_float64

if TYPE_CHECKING:
    from collections.abc import Iterable


def adamw(
    param: RealArray,
    grad: RealArray,
    m: RealArray,
    v: RealArray,
    *,
    step: int,
    learning_rate: float | RealArray,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float,
    clip_scale: float = 1.0,
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """One update of one parameter.

    g = clip_scale · grad,  m ← β₁m + (1-β₁)g,  v ← β₂v + (1-β₂)g²
    param ← param·(1 - lr·weight_decay) - lr · (m/(1-β₁ᵗ)) / (√(v/(1-β₂ᵗ)) + eps)

    Args:
        param: Any shape; grad, m and v are shaped like it.
        grad: Gradient before clipping.
        m: First moment, zeros before step 1.
        v: Second moment, zeros before step 1.
        step: t, 1 for the first update.
        learning_rate: lr of this step, one for all elements or one each.
        beta1: Decay of the first moment.
        beta2: Decay of the second moment.
        eps: Added to the root of the second moment.
        weight_decay: Decoupled: not part of the moments.
        clip_scale: What `clip_scale` returns for the gradients of all parameters.

    Returns:
        The new param, m and v.
    """
    grad = clip_scale * as_float64(grad)
    m = beta1 * as_float64(m) + (1 - beta1) * grad
    v = beta2 * as_float64(v) + (1 - beta2) * grad * grad
    denominator = np.sqrt(v / (1 - beta2**step)) + eps
    decayed = as_float64(param) * (1 - learning_rate * weight_decay)
    return decayed - learning_rate * (m / (1 - beta1**step)) / denominator, m, v


def clip_scale(grads: Iterable[RealArray], max_norm: float) -> float:
    """Scale that brings the global norm of the gradients down to max_norm.

    min(1, max_norm / (norm + 1e-6)),  norm = √(Σ over all elements of grad²)

    as torch.nn.utils.clip_grad_norm_.

    Args:
        grads: The gradients of all parameters, any shapes.
        max_norm: Above 0; 0 turns clipping off and gives 1.

    Returns:
        A factor in (0, 1].
    """
    if max_norm == 0:
        return 1.0
    norm = np.sqrt(sum(float(np.sum(np.square(as_float64(grad)))) for grad in grads))
    return float(min(1.0, max_norm / (norm + 1e-6)))
