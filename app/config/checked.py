"""Strict construction of settings: all that is wrong is told at once."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field, fields
from reprlib import repr as shown
from typing import Any, Self

from app.config.choices import ADAPTER_BITS, TARGET_MODULES
from app.errors import ConfigError
from app.messages import Sentence, say, say_count

GROUPED = re.compile(r"[+-]?\d{1,3}([.,'’\s]\d{3})+([.,]\d*)?")
"""Numbers whose thousands are kept apart, in any of the ways that people do."""


def is_whole(value: Any, low: int, high: float = float("inf")) -> bool:
    """Whether a value, of whatever type it was given as, is a whole number in range."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether a value, of whatever type it was given as, is a finite number from low to high."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and low <= value <= high and abs(value) != math.inf


def is_flag(value: Any) -> bool:
    """Whether a value, of whatever type it was given as, is true or false."""
    return isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Whether a value, of whatever type it was given as, is text."""
    return isinstance(value, str)


def setting(default: Any, help: str) -> Any:
    """Return a dataclass field with a default and its explanation."""
    return field(default=default, metadata={"help": help})


def refusal(name: str, value: Any, wanted: str) -> Sentence:
    """Return the sentence on a setting out of range."""
    if isinstance(value, str) and GROUPED.fullmatch(value.strip()):
        wanted = say("{wanted}, without a sign between the thousands", wanted=wanted)
    return say("{setting} is {given}: {wanted}", setting=name, given=shown(value), wanted=wanted)


def whole_number(low: int, high: int) -> Sentence:
    """Say what is allowed of a whole number."""
    return say("give a whole number from {low} to {high}", low=low, high=high)


def above_zero(high: float) -> Sentence:
    """Say what is allowed of a number that is above zero."""
    return say("give a number above 0, up to {high}", high=f"{high}")


def choose(choices: Iterable[str]) -> Sentence:
    """Say what there is to choose from."""
    return say("choose from {choices}", choices=", ".join(choices))


class Checked:
    """Validation and strict construction shared by the settings below."""

    def problems(self) -> list[str]:
        """Return one sentence for each setting out of range; values of any type may be held."""
        raise NotImplementedError

    def check(self) -> Self:
        """Return self, or raise ConfigError that lists every setting out of range."""
        problems = self.problems()
        if problems:
            raise ConfigError(*problems)
        return self

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of the settings, in the order of the form."""
        return tuple(item.name for item in fields(cls))  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; unknown keys and bad values are all reported at once."""
        known = cls.names()
        whole = whole_names(cls)
        built = cls(
            **{key: tidied(key, value, whole) for key, value in values.items() if key in known}
        )
        problems = unknown_settings(values, known) + built.problems()
        if problems:
            raise ConfigError(*problems)
        return built


def unknown_settings(values: Mapping[str, Any], known: tuple[str, ...]) -> list[str]:
    """Return one sentence on all the keys that are no settings, or nothing."""
    unknown = [shown(key) for key in values if key not in known]
    if not unknown:
        return []
    names, choices = ", ".join(unknown), ", ".join(sorted(known))
    return [
        say_count(
            len(unknown),
            "unknown setting {names}: choose from {choices}",
            "unknown settings {names}: choose from {choices}",
            names=names,
            choices=choices,
        )
    ]


def whole_names(config: type) -> frozenset[str]:
    """Return which settings are whole numbers; alpha is wherever it can be, as PEFT wants it."""
    return frozenset(
        item.name
        for item in fields(config)
        if str(item.type) in ("int", "int | None") or item.name == "alpha"
    )


def tidied(name: str, value: Any, whole: Collection[str]) -> Any:
    """Return a value in the form that the settings hold; what cannot be one stays as it is.

    JSON and JavaScript write 4 as 4.0 at times, and know lists only; modules may also be
    written as the command line takes them: with commas, or "all" (PEFT: "all-linear").

    Args:
        name: Of the setting.
        value: As it was given.
        whole: Names of the settings that are whole numbers.
    """
    if isinstance(value, float) and value.is_integer() and name in whole:
        return int(value)
    if name == "adapter_bits" and value in map(str, ADAPTER_BITS):
        return int(value)
    if name != "target_modules":
        return value
    if value in ("all", "all-linear"):
        return TARGET_MODULES
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return tuple(value) if isinstance(value, list) else value
