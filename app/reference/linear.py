"""Linear projection with a frozen weight and an optional LoRA update (arXiv:2106.09685)."""

from __future__ import annotations

from app.reference.arrays import Float64Array, RealArray, as_float64


def linear(
    x: RealArray,
    weight: RealArray,
    lora_a: RealArray | None = None,
    lora_b: RealArray | None = None,
    scaling: float = 0.0,
    residual: RealArray | None = None,
) -> Float64Array:
    """Project each row.

    y = x·Wᵀ + scaling · (x·Aᵀ)·Bᵀ + residual

    Args:
        x: (T, K).
        weight: W, (N, K).
        lora_a: A, (rank, K), or None for no adapter.
        lora_b: B, (N, rank), or None for no adapter.
        scaling: alpha / rank, dimensionless.
        residual: (T, N), or None for zero.

    Returns:
        y, (T, N).
    """
    x = as_float64(x)
    y = x @ as_float64(weight).T
    if lora_a is not None and lora_b is not None:
        y += scaling * ((x @ as_float64(lora_a).T) @ as_float64(lora_b).T)
    if residual is not None:
        y += as_float64(residual)
    return y


def linear_backward(
    dy: RealArray,
    weight: RealArray,
    lora_a: RealArray | None = None,
    lora_b: RealArray | None = None,
    scaling: float = 0.0,
) -> Float64Array:
    """Gradient of `linear` with respect to x (that of the residual is dy itself).

    dx = dy·W + scaling · (dy·B)·A

    Args:
        dy: (T, N), gradient of y.
        weight: W, (N, K).
        lora_a: A, (rank, K), or None for no adapter.
        lora_b: B, (N, rank), or None for no adapter.
        scaling: alpha / rank.

    Returns:
        dx, (T, K).
    """
    dy = as_float64(dy)
    dx = dy @ as_float64(weight)
    if lora_a is not None and lora_b is not None:
        dx += scaling * ((dy @ as_float64(lora_b)) @ as_float64(lora_a))
    return dx


def lora_backward(
    dy: RealArray, x: RealArray, lora_a: RealArray, lora_b: RealArray, scaling: float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Gradients of the LoRA part of `linear`, scaling · (x·Aᵀ)·Bᵀ.

    dx_part = scaling · (dy·B)·A,  da = scaling · (dy·B)ᵀ·x,  db = scaling · dyᵀ·(x·Aᵀ)

    Args:
        dy: (T, N), gradient of y.
        x: (T, K), as given to `linear`.
        lora_a: A, (rank, K).
        lora_b: B, (N, rank).
        scaling: alpha / rank.

    Returns:
        dx_part, (T, K), to be added to dy·W; da, (rank, K); db, (N, rank).
    """
    dy, x, lora_a = as_float64(dy), as_float64(x), as_float64(lora_a)
    d_low_rank = scaling * (dy @ as_float64(lora_b))
    return d_low_rank @ lora_a, d_low_rank.T @ x, scaling * (dy.T @ (x @ lora_a.T))


def weight_gradient(dy: RealArray, x: RealArray) -> Float64Array:
    """Gradient of `linear` with respect to W: dyᵀ·x.

    Args:
        dy: (T, N), gradient of y.
        x: (T, K), as given to `linear`.

    Returns:
        dW, (N, K).
    """
    return as_float64(dy).T @ as_float64(x)
