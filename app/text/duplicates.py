"""Lines that a corpus has more than once, word for word or nearly.

Repeated lines are learnt by heart before anything else is; a person wants to know of them
before training. Nothing is removed.

Near duplicates: Jaccard similarity of the sets of word triples, candidates found by MinHash
(Broder 1997) in bands, each candidate then compared exactly.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

NEAR_SIMILARITY = 0.8
"""Share of word triples in common from which two lines count as nearly the same."""

MIN_WORDS = 8
"""Shorter lines are alike by chance: only equal ones are reported."""

MAX_LINES = 20_000
"""Beyond this many different lines only equal ones are looked for."""

BANDS, ROWS = 12, 4
"""P(found | similarity 0.8) = 1 − (1 − 0.8⁴)¹² = 0.998."""

_WORD = re.compile(r"\w+")
_PRIME = (1 << 31) - 1


@dataclass(frozen=True)
class Repeat:
    """Lines that say the same.

    Attributes:
        example: The first of them.
        lines: Their numbers, from 1, rising.
        is_exact: They differ in case, spaces and punctuation at the most.
    """

    example: str
    lines: tuple[int, ...]
    is_exact: bool


@dataclass(frozen=True)
class Repeats:
    """All repeated lines of a text.

    Attributes:
        groups: Exact ones first, then near ones; the largest groups first.
        num_exact: Lines that repeat an earlier one.
        num_near: Lines that nearly repeat an earlier one.
    """

    groups: tuple[Repeat, ...]
    num_exact: int
    num_near: int


def find_repeats(lines: Iterable[str]) -> Repeats:
    """Return the repeated lines; empty ones do not count."""
    by_words: dict[str, list[int]] = defaultdict(list)
    examples: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        key = " ".join(_WORD.findall(line.casefold()))
        if key:
            by_words[key].append(number)
            examples.setdefault(key, line.strip())
    groups = [
        Repeat(examples[key], tuple(numbers), is_exact=True)
        for key, numbers in by_words.items()
        if len(numbers) > 1
    ]
    near = [
        Repeat(examples[keys[0]], tuple(by_words[key][0] for key in keys), is_exact=False)
        for keys in _near_groups(list(by_words))
    ]
    for found in (groups, near):
        found.sort(key=lambda group: (-len(group.lines), group.lines))
    return Repeats(
        (*groups, *near),
        num_exact=sum(len(group.lines) - 1 for group in groups),
        num_near=sum(len(group.lines) - 1 for group in near),
    )


def _near_groups(keys: list[str]) -> list[list[str]]:
    """Return groups of nearly equal lines, each in the order of the text."""
    shingles = {}
    for index, key in enumerate(keys):
        words = key.split()
        if len(words) >= MIN_WORDS:
            shingles[index] = {
                zlib.crc32(" ".join(words[at : at + 3]).encode()) for at in range(len(words) - 2)
            }
    if len(shingles) > MAX_LINES:
        return []
    leader = {index: index for index in shingles}

    def find(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for bucket in _buckets(shingles):
        # A line is compared with the next in its bucket only: similar ones form a chain.
        for first, second in combinations(bucket, 2) if len(bucket) < 8 else pairwise(bucket):
            if find(first) != find(second) and _similarity(shingles[first], shingles[second]):
                leader[max(find(first), find(second))] = min(find(first), find(second))
    groups: dict[int, list[str]] = defaultdict(list)
    for index in shingles:
        groups[find(index)].append(keys[index])
    return [group for group in groups.values() if len(group) > 1]


def _similarity(first: set[int], second: set[int]) -> bool:
    return len(first & second) >= NEAR_SIMILARITY * len(first | second)


def _buckets(shingles: dict[int, set[int]]) -> Iterable[list[int]]:
    """Return lists of lines that agree in all rows of a band of their MinHash signatures."""
    random = np.random.default_rng(0)
    scale = random.integers(1, _PRIME, BANDS * ROWS, dtype=np.int64)
    shift = random.integers(0, _PRIME, BANDS * ROWS, dtype=np.int64)
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for index, found in shingles.items():
        values = np.fromiter(found, np.int64, len(found)) % _PRIME
        signature: npt.NDArray[np.int64] = ((values[:, None] * scale + shift) % _PRIME).min(axis=0)
        for band in range(BANDS):
            buckets[band, signature[band * ROWS : (band + 1) * ROWS].tobytes()].append(index)
    return [bucket for bucket in buckets.values() if len(bucket) > 1]
