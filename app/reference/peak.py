"""What the kernel that measures multiply-adds computes; a copy needs no twin."""

from __future__ import annotations

from app.reference.arrays import Float64Array, RealArray, as_float64


def fma_peak(
    x: RealArray, *, chains: int, steps: int, factor: float, addend: float
) -> Float64Array:
    """Apply v ← v·factor + addend `steps` times to 1·x, 2·x, … and add the results up.

    Args:
        x: Any shape.
        chains: How many multiples of x are followed.
        steps: Applications of the map.
        factor: Below 1.
        addend: The fixed point is addend / (1 − factor).

    Returns:
        y, shaped like x.
    """
    seeds = as_float64(x)
    total = as_float64(x) * 0
    for chain in range(1, chains + 1):
        value = chain * seeds
        for _ in range(steps):
            value = value * factor + addend
        total = total + value
    return total
