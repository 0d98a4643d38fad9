"""Gather the messages of the Python part, and sort the catalogues of the page.

    python3 -m tools.messages

Put a translation anywhere into static/messages/<language>.json, then run this; the tests of
tests/studio/page/messages.test.mjs say which ones are missing.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CATALOGUES = ROOT / "static" / "messages"
PYTHON = ROOT / "tests" / "studio" / "page" / "python.json"
"""What the tests of the catalogues, which are JavaScript, know of Python's messages."""


def python_messages(root: Path = ROOT) -> dict[str, bool]:
    """Return the messages of app/, and whether each depends on a number."""
    found: dict[str, bool] = {}
    for path in sorted((root / "app").rglob("*.py")):
        found |= dict(_said(ast.parse(path.read_text(encoding="utf-8"))))
    for text in _described():
        found.setdefault(text, False)
    return dict(sorted(found.items()))


def _said(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Yield what calls of `say` and `say_count` say."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        position = {"say": 0, "say_count": 2}.get(node.func.id)
        if position is None or len(node.args) <= position:
            continue
        text = node.args[position]
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield text.value, node.func.id == "say_count"


def _described() -> Iterator[str]:
    """Yield the words of forms and presets, which are data."""
    from app.studio.settings import describe_generation, describe_presets, describe_settings

    for item in (*describe_settings(), *describe_generation(), *describe_presets()):
        yield from (item[key] for key in ("label", "help") if item[key])


def _write(path: Path, data: dict[str, object]) -> None:
    ordered = dict(sorted(data.items(), key=lambda item: item[0].encode("utf-16-be")))
    path.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Write everything anew."""
    _write(PYTHON, dict(python_messages()))
    for path in sorted(CATALOGUES.glob("*.json")):
        _write(path, json.loads(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
