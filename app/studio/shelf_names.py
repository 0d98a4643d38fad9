"""What may be changed of an adapter on the shelf: its name, its strength."""

from __future__ import annotations

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
