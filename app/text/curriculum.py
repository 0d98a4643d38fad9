"""Order of the windows from easy to hard, by how rare their words are.

A window's difficulty is the mean TF-IDF weight of its tokens: common words in common company
are easy, rare words are hard. The order is cut into bands; inside a band it is random, so that
neighbouring windows differ, and the same for the same seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from app.config import Curriculum
    from app.text.windows import Windows

BANDS = 8


def order_windows(
    windows: Windows, curriculum: Curriculum, seed: int, bands: int = BANDS
) -> npt.NDArray[np.int64]:
    """Return (num_windows,) int64: the order in which an epoch visits the windows.

    Args:
        windows: What is ordered.
        curriculum: "none" keeps their order; "tfidf" goes from easy to hard.
        seed: Of the shuffling inside a band.
        bands: How many bands; at most one a window.
    """
    order = np.arange(windows.num_windows, dtype=np.int64)
    if curriculum == "none":
        return order
    easy_to_hard = np.argsort(difficulties(windows), kind="stable")
    random = np.random.default_rng(seed)
    parts = np.array_split(easy_to_hard, min(bands, windows.num_windows))
    return np.concatenate([random.permutation(part) for part in parts])


def difficulties(windows: Windows) -> npt.NDArray[np.float64]:
    """Return (num_windows,) float64: Σ_t tf(t)·idf(t), tf the share of the window's tokens.

    idf(t) = ln((1 + N) / (1 + df(t))) + 1 over the N windows (scikit-learn's smooth_idf).
    """
    counts = [
        np.unique(windows.inputs(index), return_counts=True) for index in range(windows.num_windows)
    ]
    vocab_size = max(int(ids.max()) for ids, _ in counts) + 1
    frequency = np.zeros(vocab_size, np.int64)
    for ids, _ in counts:
        frequency[ids] += 1
    idf = np.log((1 + windows.num_windows) / (1 + frequency)) + 1
    return np.array([float(idf[ids] @ n) / int(n.sum()) for ids, n in counts])
