"""Classes of characters as the `tokenizers` wheel knows them, and the JavaScript table of them.

    python -m tests.text.unicode_classes > static/text/unicode-classes.js

A browser's own \\p{L} and \\p{N} follow its Unicode version, and so does the wheel's regex
engine; its normalizer (NFC) knows no character newer than Unicode 9. Pinning the wheel's
classes keeps both hosts equal whatever the browser.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable
from functools import cache

from tokenizers import Regex
from tokenizers.normalizers import NFD
from tokenizers.pre_tokenizers import Split

SURROGATES = range(0xD800, 0xE000)
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def code_points() -> list[int]:
    """All code points that a text can hold."""
    return [point for point in range(0x110000) if point not in SURROGATES]


@cache
def ranges_of(pattern: str) -> list[tuple[int, int]]:
    """First and last code point of each range that the wheel's regex puts in the class."""
    points = code_points()
    text = "".join(map(chr, points))
    outside = Split(Regex(f"{pattern}+"), "removed").pre_tokenize_str(text)
    edges = [0, *(edge for _, span in outside for edge in span), len(points)]
    inside = zip(edges[0::2], edges[1::2], strict=True)
    return as_ranges(point for start, end in inside for point in points[start:end])


def normalized_ranges() -> list[tuple[int, int]]:
    """Ranges of all characters that take part in the wheel's NFC: every other one stands apart.

    A character takes part if it decomposes, if it is part of a longer decomposition (so it may
    compose), or if it has a combining class: then it changes places with U+0345 (class 240)
    before it or with U+0334 (class 1) after it.
    """
    chars = [chr(point) for point in code_points() if chr(point) != " "]
    decomposed = _nfd(chars)
    before = _nfd(["\u0345" + char for char in chars])
    after = _nfd([char + "\u0334" for char in chars])
    active: set[int] = set()
    for char, parts, first, second in zip(chars, decomposed, before, after, strict=True):
        if parts != char:
            active.update(map(ord, char + parts if len(parts) > 1 else char))
        elif first != "\u0345" + char or second != char + "\u0334":
            active.add(ord(char))
    return as_ranges(sorted(active))


def _nfd(texts: list[str]) -> list[str]:
    """Decompose each text; a space keeps them apart, since it takes part in nothing."""
    return str(NFD().normalize_str(" ".join(texts))).split(" ")


def as_ranges(points: Iterable[int]) -> list[tuple[int, int]]:
    """Join ascending code points to ranges (first, last)."""
    found: list[tuple[int, int]] = []
    for point in points:
        if found and found[-1][1] + 1 == point:
            found[-1] = (found[-1][0], point)
        else:
            found.append((point, point))
    return found


def base36(value: int) -> str:
    """Write a number as JavaScript's parseInt(text, 36) reads it."""
    digits = ""
    while True:
        value, rest = divmod(value, 36)
        digits = DIGITS[rest] + digits
        if not value:
            return digits


def packed(ranges: list[tuple[int, int]]) -> str:
    """Gap before and length less one of each range, base 36, separated by spaces."""
    position, numbers = 0, []
    for first, last in ranges:
        numbers += [base36(first - position), base36(last - first)]
        position = last + 1
    return " ".join(numbers)


def javascript() -> str:
    """The contents of static/text/unicode-classes.js."""
    lines = [
        "// What the native tokenizer counts as letters and numbers, and what its NFC touches:",
        "// with these, every browser splits text alike. Made by tests/text/unicode_classes.py.",
        "// Base 36: the gap before each range and its length less one.",
    ]
    tables = {
        "LETTERS": ranges_of(r"\p{L}"),
        "NUMBERS": ranges_of(r"\p{N}"),
        "NORMALIZED": normalized_ranges(),
    }
    for name, ranges in tables.items():
        rows = textwrap.wrap(packed(ranges), 92)
        body = " +\n".join(f'  "{row} "' for row in rows[:-1])
        lines.append(f'\nexport const {name} =\n{body} +\n  "{rows[-1]}";')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(javascript())
