"""Where a command's results and its progress go."""

from __future__ import annotations

import json
import math
import sys
from typing import Any


class Output:
    """Results on stdout, as JSON lines or for reading; progress on stderr."""

    def __init__(self, *, is_json: bool) -> None:
        self._is_json = is_json

    def result(self, values: dict[str, Any], text: str) -> None:
        """Print one result in the form that was asked for."""
        print(json.dumps(finite(values)) if self._is_json else text, flush=True)

    def progress(self, text: str) -> None:
        """Say what is going on."""
        print(text, file=sys.stderr, flush=True)


def finite(values: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN and infinities by null: JSON has no words for them."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
