"""JSON from files that may be hostile.

Python's parser recurses: under CPython 100,000 brackets raise RecursionError, in the browser
they overflow the WebAssembly stack and end the whole interpreter. So depth is measured first.
"""

from __future__ import annotations

import json
import re
from typing import Any

from app.messages import say

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?+', re.DOTALL)
"""A string, or the rest of the text where one is not closed: every byte is looked at once."""

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_EMPTY_PAIR = re.compile(rb"\[\]|\{\}")


class NestingError(ValueError):
    """Brackets that do not match, or too many of them; `problems` as in app.errors."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problems = (problem,)


def parse_json(raw: bytes, *, max_depth: int, **hooks: Any) -> Any:
    """Parse UTF-8 JSON of at most `max_depth` nested arrays and objects.

    `hooks` are those of `json.loads`.

    Raises:
        ValueError: not UTF-8, not JSON, or nested deeper.
    """
    brackets = _STRING.sub(b"", raw).translate(None, _NOT_BRACKETS)
    for _ in range(max_depth):
        if not brackets:
            break
        # Each pass takes away the innermost level.
        brackets = _EMPTY_PAIR.sub(b"", brackets)
    if brackets:
        raise NestingError(
            say("brackets do not match or are nested deeper than {max_depth}", max_depth=max_depth)
        )
    return json.loads(raw.decode("utf-8"), **hooks)
