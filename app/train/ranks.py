"""Which ranks of each module are trained, and how that changes through a run.

An adapter is allocated at its largest rank. A rank that is not in use has a zero column of B
and gets no gradient, so it adds nothing; taking it into use changes nothing at that moment
either, because its column is still zero. The scale alpha / rank is that of the largest rank
throughout, so that the function does not jump, and the export is an ordinary adapter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.config import RankScheduleName
from app.nn.adapter import AdapterLayout, AdapterTensors

PROGRESSIVE_SHARES = (0.25, 0.5, 1.0)
"""Of the largest rank, in equal parts of the run."""

ADAPTIVE_SHARE = 0.5
"""Of the largest rank, what a module has on average."""

ADAPTIVE_START, ADAPTIVE_END = 0.2, 0.8
"""Rank moves between these shares of the run: first it must show, then settle."""

ADAPTIVE_MOVES = 4
MOVED_SHARE = 0.125
"""Of all ranks in use, at most this part moves at a time."""

ActiveRanks = Mapping[str, tuple[int, ...]]
"""Module path → indices of its ranks that are in use."""


@dataclass(frozen=True)
class RankSchedule:
    """When the ranks in use change.

    Attributes:
        name: fixed, progressive or adaptive ("hardware" is fixed once it has chosen).
        rank: The largest rank: that of the adapter.
        num_steps: Updates of the run.
    """

    name: RankScheduleName
    rank: int
    num_steps: int

    @property
    def is_fixed(self) -> bool:
        """Whether all ranks are in use from the first step to the last."""
        return self.name in ("fixed", "hardware") or self.rank == 1

    def changes_before(self, step: int) -> bool:
        """Whether the ranks in use may change before this step; steps count from 1."""
        return step in self._steps()

    def _steps(self) -> list[int]:
        if self.name == "progressive":
            parts = len(PROGRESSIVE_SHARES)
            return [1 + self.num_steps * part // parts for part in range(1, parts)]
        span = ADAPTIVE_END - ADAPTIVE_START
        shares = [ADAPTIVE_START + span * i / (ADAPTIVE_MOVES - 1) for i in range(ADAPTIVE_MOVES)]
        return [1 + int(self.num_steps * share) for share in shares]

    def first(self, tensors: AdapterTensors) -> ActiveRanks:
        """Return the ranks in use at the start; of a trained adapter all that add something."""
        share = {"progressive": PROGRESSIVE_SHARES[0], "adaptive": ADAPTIVE_SHARE}
        count = max(1, int(self.rank * share.get(self.name, 1.0)))
        return {
            path: tuple(sorted({*range(count), *np.flatnonzero(importance(a, b)).tolist()}))
            for path, (a, b) in tensors.items()
        }

    def next(self, step: int, active: ActiveRanks, tensors: AdapterTensors) -> ActiveRanks:
        """Return the ranks in use from this step on.

        Args:
            step: The step that comes next.
            active: Ranks in use so far.
            tensors: The adapter as it is, by which "adaptive" judges.
        """
        if self.name == "progressive":
            part = sum(at <= step for at in self._steps())
            grown = range(max(1, int(self.rank * PROGRESSIVE_SHARES[part])))
            return {path: tuple(sorted({*ranks, *grown})) for path, ranks in active.items()}
        return move_ranks(active, tensors, self.rank)


def importance(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return (rank,) ‖B[:, k]‖ · ‖A[k, :]‖: the singular value of each rank's own update."""
    norms = np.linalg.norm(a.astype(np.float64), axis=1)
    return np.asarray(norms * np.linalg.norm(b.astype(np.float64), axis=0))


def move_ranks(active: ActiveRanks, tensors: AdapterTensors, rank: int) -> ActiveRanks:
    """Take the least important ranks out of use and give as many to the modules that need them.

    Modules keep at least one rank and never have more than `rank`; the sum stays what it was.
    A module that lost a rank gets none back in the same move.

    Args:
        active: Ranks in use.
        tensors: The adapter.
        rank: The largest rank of a module.
    """
    scores = {path: importance(*tensors[path]) for path in active}
    total = sum(len(ranks) for ranks in active.values())
    moved = max(1, int(MOVED_SHARE * total))
    kept = {path: list(ranks) for path, ranks in active.items()}
    means = {path: float(np.mean(scores[path][list(ranks)])) for path, ranks in active.items()}
    # The most important modules take first, one rank each, while there is one to be had.
    takers = [
        path for path in sorted(means, key=lambda p: (-means[p], p)) if len(kept[path]) < rank
    ]
    givers = sorted(
        (float(scores[path][index]), path, index) for path in kept for index in kept[path]
    )
    lost: set[str] = set()
    gained: set[str] = set()
    for taker in takers[:moved]:
        usable = (
            (score, path, index)
            for score, path, index in givers
            if index in kept[path] and len(kept[path]) > 1 and path not in {taker, *gained}
        )
        score, path, index = next(usable, (np.inf, "", 0))
        if taker in lost or score >= means[taker]:
            continue
        kept[path].remove(index)
        kept[taker].append(min(set(range(rank)) - set(active[taker])))
        lost.add(path)
        gained.add(taker)
    return {path: tuple(sorted(ranks)) for path, ranks in kept.items()}


def masks_of(
    layout: AdapterLayout, active: ActiveRanks
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which elements of the flat array get a gradient, and which may be other than zero.

    Both (size,): A's rows and B's columns of the ranks in use; all of A and those columns of B.
    """
    trained = np.zeros(layout.size, np.bool_)
    present = np.ones(layout.size, np.bool_)
    for path, (a_slice, b_slice) in layout.module_slices().items():
        in_use = np.zeros(layout.lora.rank, np.bool_)
        in_use[list(active[path])] = True
        trained[a_slice] = np.repeat(in_use, (a_slice.stop - a_slice.start) // in_use.size)
        trained[b_slice] = np.tile(in_use, (b_slice.stop - b_slice.start) // in_use.size)
        present[b_slice] = trained[b_slice]
    return trained, present
