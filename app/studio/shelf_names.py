"""What may be changed of an adapter on the shelf: its name, its strength."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.config import is_number
from app.errors import AdapterError
from app.messages import say

MAX_NAME_LENGTH = 80
MAX_STRENGTH = 2.0


def run_name(number: int) -> str:
    """Return what an adapter is called until a person names it."""
    return f"Run {number}"


def run_number(name: str) -> int:
    """Return the number in such a name, 0 where it is another one."""
    word, _, number = name.partition(" ")
    return int(number) if word == "Run" and number.isdecimal() else 0


def checked_name(value: Any) -> str:
    """Return a name as it can be shown in one line. Raises AdapterError where nothing is left."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    if not text:
        raise AdapterError(say("an adapter needs a name: give it one"))
    return text[:MAX_NAME_LENGTH]


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name that nothing else on the shelf has: "a", then "a (2)", "a (3)"."""
    number, free = 1, name
    while free in taken:
        number += 1
        ending = f" ({number})"
        free = name[: MAX_NAME_LENGTH - len(ending)] + ending
    return free


def checked_strength(value: Any) -> float:
    """Return a strength. Raises AdapterError where it is none."""
    if not is_number(value, 0, MAX_STRENGTH):
        raise AdapterError(
            say(
                "strength is {value}: give a number from 0 (the base alone) to {max_strength}",
                value=f"{value!r}",
                max_strength=f"{MAX_STRENGTH:g}",
            )
        )
    return float(value)
