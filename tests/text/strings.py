"""Some 3,000 strings that tokenizers disagree on, the same in every run."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.text.unicode_classes import ranges_of

GIVEN: dict[str, list[str]] = json.loads(Path(__file__).with_name("strings.json").read_text())
"""Strings and parts written by hand, kept in JSON so that invisible characters are seen."""

LONG = [
    "x" * 700,
    "ab" * 500,
    "\u00e9" * 300,
    "supercalifragilistic" * 12,
    "!" * 200,
    " " * 200,
    "\n" * 200,
    "0" * 200,
    "=" * 80 + "\n",
    "\u4e00" * 300,
]


def _controls(rng: random.Random) -> str:
    return "".join(chr(rng.choice((*range(32), *range(127, 160), 65))) for _ in range(20))


def _spaces(rng: random.Random) -> str:
    return "".join(rng.choice(GIVEN["spaces"]) for _ in range(rng.randint(1, 24)))


def _sentence(rng: random.Random) -> str:
    return "".join(
        rng.choice(GIVEN["words"]) + rng.choice(GIVEN["gaps"]) for _ in range(rng.randint(1, 30))
    )


def _unicode(rng: random.Random) -> str:
    points = (rng.randrange(0x110000) for _ in range(rng.randint(1, 40)))
    return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)


def _plane(rng: random.Random) -> str:
    planes = (range(0xD7), range(0xF9, 0x130), range(0x1D0, 0x200))
    block = rng.choice([block for plane in planes for block in plane])
    points = (block * 256 + rng.randrange(256) for _ in range(rng.randint(1, 30)))
    return "".join(rng.choice(("", "", " ", "1")) + chr(point) for point in points)


def _ascii(rng: random.Random) -> str:
    return "".join(chr(rng.randrange(32, 127)) for _ in range(rng.randint(1, 60)))


def _marks(rng: random.Random) -> str:
    bases = "aeionuAEO \u0308"
    marks = [*range(0x300, 0x36F), *range(0x591, 0x5C0), 0x200D]
    return "".join(rng.choice(bases) + chr(rng.choice(marks)) for _ in range(rng.randint(1, 15)))


def _emoji(rng: random.Random) -> str:
    return "".join(rng.choice(GIVEN["emoji"]) for _ in range(rng.randint(1, 20)))


def _code(rng: random.Random) -> str:
    return "\n".join(
        " " * rng.randrange(12) + rng.choice(GIVEN["code"]) for _ in range(rng.randint(1, 4))
    )


def _class_edges() -> list[str]:
    """The first and last letters and numbers of every range, and their neighbours outside."""
    texts = []
    for pattern in (r"\p{L}", r"\p{N}"):
        for first, last in ranges_of(pattern):
            near = (first - 1, first, last, last + 1)
            chars = [chr(point) for point in near if not 0xD800 <= point < 0xE000]
            texts.append("".join(f"a{char}1 {char}{char}.'{char}" for char in chars))
    return texts


@cache
def varied_strings() -> list[str]:
    """Return the hand-written strings and seeded random ones of every kind."""
    rng = random.Random(20261121)
    kinds: dict[Callable[[random.Random], str], int] = {
        _controls: 150, _spaces: 350, _sentence: 400, _unicode: 250, _plane: 350, _ascii: 250,
        _marks: 150, _emoji: 150, _code: 150,
    }  # fmt: skip
    made = [kind(rng) for kind, count in kinds.items() for _ in range(count)]
    return [*GIVEN["plain"], *GIVEN["code"], *LONG, *made, *_class_edges()]
