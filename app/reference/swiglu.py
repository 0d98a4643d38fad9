"""SwiGLU, the gated activation of Llama's MLP (arXiv:2002.05202)."""

from __future__ import annotations

import numpy as np

from app.reference.arrays import Float64Array, RealArray, as_float64


def swiglu(gate_up: RealArray) -> Float64Array:
    """Gate the second half of each row by SiLU of the first.

    y = gate · σ(gate) · up,  σ(z) = 1 / (1 + e⁻ᶻ)

    Args:
        gate_up: (T, 2·F), columns [gate | up].

    Returns:
        y, (T, F).
    """
    gate, up = np.split(as_float64(gate_up), 2, axis=-1)
    return gate * _sigmoid(gate) * up


def swiglu_backward(dy: RealArray, gate_up: RealArray) -> Float64Array:
    """Gradient of `swiglu` with respect to gate_up.

    dgate = dy · up · σ(gate) · (1 + gate · (1 - σ(gate))),  dup = dy · gate · σ(gate)

    Args:
        dy: (T, F), gradient of y.
        gate_up: (T, 2·F), as given to `swiglu`.

    Returns:
        d_gate_up, (T, 2·F), columns [dgate | dup].
    """
    dy = as_float64(dy)
    gate, up = np.split(as_float64(gate_up), 2, axis=-1)
    sigmoid = _sigmoid(gate)
    dgate = dy * up * sigmoid * (1 + gate * (1 - sigmoid))
    return np.concatenate([dgate, dy * gate * sigmoid], axis=-1)


def _sigmoid(x: Float64Array) -> Float64Array:
    # exp of a negative number only: no overflow, full relative precision on both sides.
    with np.errstate(under="ignore"):
        small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1 + small))
