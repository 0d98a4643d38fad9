"""The form that everything between the page and its worker takes."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Literal

Message = dict[str, Any]

Status = Literal[
    "booting", "loading", "ready", "training", "paused", "generating", "checking", "error"
]


def to_message(event: Any) -> Message:
    """Return an event or a result as a plain dict; an event's has its `type`."""
    message = {item.name: _plain(getattr(event, item.name)) for item in fields(event)}
    kind = getattr(type(event), "type", None)
    return message if kind is None else {"type": kind, **message}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_message(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
