"""How the pictures of docs/ look: one palette, few lines, text that stays text."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

COLOURS = ("#4338ca", "#0f9d8a", "#c2701c", "#64748b", "#b4245d", "#2a7fb8")
INK, MUTED, GRID = "#16161d", "#585a6b", "#e1e1ea"


def open_pyplot() -> Any:
    """Return matplotlib's pyplot, set so that the same figures make the same SVG file.

    Raises:
        ImportError: matplotlib is not installed; the message says how to have it.
    """
    try:
        matplotlib: Any = importlib.import_module("matplotlib")
    except ImportError as error:
        raise ImportError("no matplotlib: pip install -e '.[bench]'") from error
    matplotlib.use("svg")
    matplotlib.rcParams |= {
        "svg.fonttype": "none",
        "svg.hashsalt": "lora-lab",
        "font.family": "sans-serif",
    }
    return importlib.import_module("matplotlib.pyplot")


def make_plain(panel: Any, grid: str) -> None:
    """Leave a panel its figures and a grid along `grid`: x, y or both."""
    panel.grid(axis=grid, color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=MUTED, length=0, labelsize=9)
    for side in ("top", "right", "left", "bottom"):
        panel.spines[side].set_visible(False)


def save(picture: Any, path: Path) -> None:
    """Write an SVG file without a date."""
    picture.savefig(path, metadata={"Date": None, "Creator": None})
