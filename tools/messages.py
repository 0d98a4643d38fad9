"""Sort the catalogues of the page's messages.

    python3 -m tools.messages

Add a translation anywhere in static/messages/<language>.json, then run this; the tests say what
is missing.
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CATALOGUES = ROOT / "static" / "messages"


def sort_catalogue(path: Path) -> None:
    """Write a catalogue anew, its messages in the order of their characters."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    ordered = dict(sorted(entries.items(), key=lambda item: item[0].encode("utf-16-be")))
    path.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for path in sorted(CATALOGUES.glob("*.json")):
        sort_catalogue(path)
