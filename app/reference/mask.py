"""Zero what a mask leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.reference.arrays import Float64Array, RealArray, as_float64

if TYPE_CHECKING:
    import numpy.typing as npt


def mask(values: RealArray, is_kept: npt.NDArray[np.bool_]) -> Float64Array:
    """Values where `is_kept`, else 0; both (size,)."""
    return np.where(is_kept, as_float64(values), 0.0)
