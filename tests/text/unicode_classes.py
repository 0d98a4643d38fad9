"""Letters and numbers as the `tokenizers` wheel knows them, and the JavaScript table of them.

    python -m tests.text.unicode_classes > static/unicode-classes.js

A browser's own \\p{L} and \\p{N} follow its Unicode version, and so does the wheel's regex
engine; pinning the wheel's classes keeps both hosts equal whatever the browser.
"""

from __future__ import annotations

import sys
import textwrap

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

SURROGATES = range(0xD800, 0xE000)
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def code_points() -> list[int]:
    """All code points that a text can hold."""
    return [point for point in range(0x110000) if point not in SURROGATES]


def ranges_of(pattern: str) -> list[tuple[int, int]]:
    """First and last code point of each range that the wheel's regex puts in the class."""
    points = code_points()
    text = "".join(map(chr, points))
    outside = Split(Regex(f"{pattern}+"), "removed").pre_tokenize_str(text)
    edges = [0, *(edge for _, span in outside for edge in span), len(points)]
    inside = zip(edges[0::2], edges[1::2], strict=True)
    found: list[tuple[int, int]] = []
    for start, end in inside:
        if start == end:
            continue
        first, last = points[start], points[end - 1]
        if first < SURROGATES.start <= last:
            found += [(first, SURROGATES.start - 1), (SURROGATES.stop, last)]
        else:
            found.append((first, last))
    return found


def base36(value: int) -> str:
    """Write a number as JavaScript's parseInt(text, 36) reads it."""
    digits = ""
    while True:
        value, rest = divmod(value, 36)
        digits = DIGITS[rest] + digits
        if not value:
            return digits


def packed(pattern: str) -> str:
    """Gap before and length less one of each range, base 36, separated by spaces."""
    position, numbers = 0, []
    for first, last in ranges_of(pattern):
        numbers += [base36(first - position), base36(last - first)]
        position = last + 1
    return " ".join(numbers)


def javascript() -> str:
    """The contents of static/unicode-classes.js."""
    lines = [
        "// The letters and numbers of Unicode as the native tokenizer counts them, so that every",
        "// browser splits text alike. Made by tests/text/unicode_classes.py; do not edit.",
        "// Base 36: the gap before each range and its length less one.",
    ]
    for name, pattern in (("LETTERS", r"\p{L}"), ("NUMBERS", r"\p{N}")):
        rows = textwrap.wrap(packed(pattern), 92)
        body = " +\n".join(f'  "{row} "' for row in rows[:-1])
        lines.append(f'\nexport const {name} =\n{body} +\n  "{rows[-1]}";')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(javascript())
