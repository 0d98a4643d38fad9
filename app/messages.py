"""Sentences for people, which another language can say as well.

A message is its English text, with `{name}` where values go. `say` fills it in: the result is a
plain string to whoever prints or writes it, and remembers what it was made of. The page gets
that along (`told_in`) and looks the message up in its catalogue: docs/decisions/0016-messages.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any


class Sentence(str):
    """English text that knows the message and the values it was made of.

    Attributes:
        template: The message, with `{name}` where values go; the key in every catalogue.
        values: What goes there: strings, numbers, other sentences.
        is_whole: A capital letter and a full stop were added to the message.
    """

    template: str
    values: Mapping[str, Any]
    is_whole: bool

    def with_values(self, **values: Any) -> Sentence:
        """Return the same message with some other values."""
        return _made(self.template, {**self.values, **values})


def say(template: str, /, **values: Any) -> Sentence:
    """Return a message with its values filled in.

    Args:
        template: English text as a literal, so that it can be found for translation.
        values: Strings are shown as they are, numbers as the reader's language writes them:
            in English with commas between thousands.
    """
    return _made(template, values)


def say_count(count: int, one: str, other: str, /, **values: Any) -> Sentence:
    """Return a message that depends on a number, `{count}` in it; the catalogues know `other`."""
    known = _plain_numbers({"count": count, **values})
    sentence = Sentence((one if count == 1 else other).format(**_written(known)))
    sentence.template, sentence.values = other, known
    sentence.is_whole = False
    return sentence


def whole(text: str) -> str:
    """Return a text as a sentence: full stop last, capital first unless it is a name."""
    sentence = text.strip() or "Something failed without saying why: try again."
    if sentence.split(" ", 1)[0].isalpha():
        sentence = sentence[0].upper() + sentence[1:]
    if sentence[-1] not in ".!?":
        sentence += "."
    if not isinstance(text, Sentence):
        return sentence
    made = Sentence(sentence)
    made.template, made.values, made.is_whole = text.template, text.values, True
    return made


def listed(texts: Iterable[str]) -> str:
    """Return texts with commas between; what they were made of is kept."""
    first, *more = texts
    for text in more:
        first = say("{words}, {word}", words=first, word=text)
    return first


def told_in(message: Any) -> list[dict[str, Any]]:
    """Return what the sentences anywhere in a message were made of, each once."""
    found: dict[str, dict[str, Any]] = {}
    _gather(message, found)
    return list(found.values())


def _made(template: str, values: Mapping[str, Any]) -> Sentence:
    known = _plain_numbers(values)
    sentence = Sentence(template.format(**_written(known)) if known else template)
    sentence.template, sentence.values, sentence.is_whole = template, known, False
    return sentence


def _plain_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with numpy's numbers as Python's own: the page writes only those."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, bool | int | float | str) or not isinstance(value, Real):
            found[name] = value
        else:
            found[name] = int(value) if isinstance(value, Integral) else float(value)
    return found


def _written(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as English writes them: as `Intl.NumberFormat` does in the page."""
    return {name: f"{value:,}" if _is_long(value) else value for name, value in values.items()}


def _is_long(value: Any) -> bool:
    """Return whether a number has thousands to keep apart."""
    return type(value) in (int, float) and 1000 <= abs(value) < 1e15


def _gather(value: Any, found: dict[str, dict[str, Any]]) -> None:
    if isinstance(value, Sentence):
        found.setdefault(str(value), _plain(value))
    elif isinstance(value, Mapping):
        for item in value.values():
            _gather(item, found)
    elif isinstance(value, list | tuple):
        for item in value:
            _gather(item, found)


def _plain(value: Any) -> Any:
    """Return a sentence as JSON holds it; a value that is none stays as it is."""
    problems: tuple[str, ...] = getattr(
        value, "problems", ()
    )  # an error that is told within another sentence
    if len(problems) == 1:
        value = problems[0]
    if not isinstance(value, Sentence):
        return value if isinstance(value, int | float) else str(value)
    return {
        "text": str(value),
        "template": value.template,
        "values": {name: _plain(item) for name, item in value.values.items()},
        "whole": value.is_whole,
    }
