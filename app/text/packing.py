"""Which documents share a window.

A window holds whole documents, or pieces of those that are longer than it; each keeps to
itself: its positions start at zero and it is attended to by its own tokens only.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING

from app.text.windows import MIN_TOKENS, Windows

if TYPE_CHECKING:
    from app.config import Packing
    from app.text.documents import Documents

Piece = tuple[int, int]
"""Start in the token sequence and length, in tokens."""


def pack(documents: Documents, max_seq_len: int, packing: Packing) -> Windows:
    """Return windows of whole documents.

    "none" gives each document (or piece) a window of its own; "dual" puts two together where
    they fit; "best-fit" puts each where the least room is left over (best-fit decreasing).
    Windows come in the order of the first document that each holds.

    Args:
        documents: What to pack.
        max_seq_len: Room of a window, in tokens.
        packing: How.

    Raises:
        CorpusError: no document has two tokens of which the second is learnt.
    """
    pieces = _pieces(documents, max_seq_len)
    groups = {"none": _alone, "dual": _pairs, "best-fit": _best_fit}[packing](pieces, max_seq_len)
    groups = sorted(sorted(group) for group in groups)
    return Windows.of_segments(
        documents.token_ids, groups, max_seq_len, is_learned=documents.is_learned
    )


def _pieces(documents: Documents, max_seq_len: int) -> list[Piece]:
    """Cut documents that are longer than a window; drop pieces that predict nothing."""
    pieces = []
    for start, stop in zip(documents.bounds[:-1], documents.bounds[1:], strict=True):
        for at in range(int(start), int(stop), max_seq_len):
            length = min(max_seq_len, int(stop) - at)
            if length >= MIN_TOKENS and documents.is_learned[at + 1 : at + length].any():
                pieces.append((at, length))
    return pieces


def _alone(pieces: list[Piece], max_seq_len: int) -> list[list[Piece]]:
    return [[piece] for piece in pieces]


def _pairs(pieces: list[Piece], max_seq_len: int) -> list[list[Piece]]:
    """Give each piece, the longest first, the longest of the shorter ones that still fits."""
    rest = sorted((length, -start) for start, length in pieces)
    groups = []
    while rest:
        length, start = rest.pop()
        group = [(-start, length)]
        at = bisect_left(rest, (max_seq_len - length + 1,)) - 1
        if at >= 0:
            length, start = rest.pop(at)
            group.append((-start, length))
        groups.append(group)
    return groups


def _best_fit(pieces: list[Piece], max_seq_len: int) -> list[list[Piece]]:
    """Put each piece, the longest first, into the window that it fills best.

    Windows are kept by the room they have left, so that a search takes log time.
    """
    groups: list[list[Piece]] = []
    rooms: list[tuple[int, int]] = []  # (room left, window), sorted
    for start, length in sorted(pieces, key=lambda piece: (-piece[1], piece[0])):
        at = bisect_left(rooms, (length,))
        if at < len(rooms):
            room, index = rooms.pop(at)
            groups[index].append((start, length))
        else:
            room, index = max_seq_len, len(groups)
            groups.append([(start, length)])
        if room - length >= MIN_TOKENS:
            insort(rooms, (room - length, index))
    return groups


def occupancy(windows: Windows) -> float:
    """Return the share of the windows' room that holds tokens."""
    return windows.num_tokens / (windows.num_windows * windows.max_seq_len)
