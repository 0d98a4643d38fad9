"""The picture of the comparison: held-out loss over the room computed, a panel a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from tests.bench.training.methods import FEW_BITS, METHODS
from tests.bench.training.table import BASELINE, Figure, runs_of
from tools.pictures import COLOURS, INK, MUTED, make_plain, open_pyplot, save

COLUMNS = 3


def plot(figures: Sequence[Figure], path: Path) -> None:
    """Draw the mean of the seeds of each method as a line, and the seeds' range as a band."""
    plt = open_pyplot()
    groups = list(
        dict.fromkeys(
            METHODS[f["method"]].group
            for f in figures
            if f["method"] in METHODS and f["method"] != BASELINE
        )
    )
    rows = -(-len(groups) // COLUMNS)
    picture, panels = plt.subplots(
        rows, COLUMNS, figsize=(12.5, 3.3 * rows), sharex=True, squeeze=False
    )
    losses = [
        loss
        for figure in figures
        if figure["method"] in METHODS and METHODS[figure["method"]].group != FEW_BITS
        for _, loss in figure["eval"]
    ]
    limits = min(losses) - 0.02, max(losses) + 0.02
    for panel in panels.flat[len(groups) :]:
        panel.set_visible(False)
    for group, panel in zip(groups, panels.flat, strict=False):
        of_group = [name for name, method in METHODS.items() if method.group == group]
        names = [name for name in of_group if runs_of(figures, name)]
        draw_method(panel, runs_of(figures, BASELINE), BASELINE, MUTED)
        for name, colour in zip(names, COLOURS, strict=False):
            draw_method(panel, runs_of(figures, name), name, colour)
        panel.set_title(group, fontsize=10.5, color=INK, loc="left")
        panel.legend(frameon=False, fontsize=8.5, loc="upper right")
        make_plain(panel, "both")
        if group != FEW_BITS:
            panel.set_ylim(*limits)
    for panel in panels[-1]:
        panel.set_xlabel("tokens of room computed", color=MUTED, fontsize=9)
    for line in panels:
        line[0].set_ylabel("held-out loss, nats a token", color=MUTED, fontsize=9)
    picture.tight_layout()
    save(picture, path)


def draw_method(panel: Any, runs: Sequence[Figure], name: str, colour: str) -> None:
    """Draw one method's line and band."""
    if not runs:
        return
    room = runs[0]["positions"] / runs[0]["steps"]
    at = [step * room for step, _ in runs[0]["eval"]]
    losses = [[run["eval"][index][1] for run in runs] for index in range(len(at))]
    panel.fill_between(at, [*map(min, losses)], [*map(max, losses)], color=colour, alpha=0.15, lw=0)
    panel.plot(at, [*map(mean, losses)], "o-", color=colour, markersize=3.5, lw=1.4, label=name)
