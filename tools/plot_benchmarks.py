"""Draw the benchmark's figures: `python -m tools.plot_benchmarks docs/benchmarks/*.jsonl`.

Each file holds the lines of one run of `python -m app bench --json` (or of bench.html's "Save
.jsonl"). Writes shares.svg (what part of the peak each operation reaches, beside the targets) and
curves.svg (how a training step grows) beside the first file. Needs the `bench` extra.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.pictures import COLOURS, INK, MUTED, make_plain, open_pyplot, save

Figure = dict[str, Any]

GPU_TARGETS = {"forward": 0.65, "backward": 0.60, "train_step": 0.45}
SOFTWARE_TARGETS = {"forward": 0.40, "backward": 0.35}
"""Shares of the FMA peak that are aimed at: products by direction, and a training step."""

ARITHMETIC, MEMORY = "% of the f32 FMA peak", "% of a copy of as many bytes"

AXES = {
    "tokens": "tokens a step",
    "window": "tokens a window, as many a step",
    "rank": "rank",
    "layers": "layers",
}


@dataclass(frozen=True)
class Run:
    """One run of the benchmark.

    Attributes:
        name: Of the file, which says on what it ran.
        is_software: Whether the adapter computes on the processor.
        figures: All its lines.
    """

    name: str
    is_software: bool
    figures: list[Figure]

    @property
    def shares(self) -> list[Figure]:
        """The figures that are compared with a peak."""
        return [figure for figure in self.figures if "share" in figure]

    @property
    def curves(self) -> list[Figure]:
        """The points of the scaling curves."""
        return [figure for figure in self.figures if figure["bench"] == "curve"]


def read_run(path: Path) -> Run:
    """Read the lines of one run.

    Raises:
        ValueError: a line is not JSON, or none says what the device is.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    figures: list[Figure] = [json.loads(line) for line in lines if line.strip()]
    device = next((figure for figure in figures if figure["bench"] == "device"), None)
    if device is None:
        raise ValueError(f"{path}: no line says what the device is; is it from `bench --json`?")
    return Run(path.stem, bool(device["is_software"]), figures)


def target_of(figure: Figure, *, is_software: bool) -> float | None:
    """Return the share that a figure should reach, where one is set."""
    targets = SOFTWARE_TARGETS if is_software else GPU_TARGETS
    name = str(figure["bench"])
    return targets.get(name.rsplit("_", 1)[-1] if "_matmul_" in name else name)


def label_of(figure: Figure) -> str:
    """Return the words beside a bar: the same for all models of a run."""
    name = str(figure["bench"]).replace("_matmul", " product").replace("_", " ")
    return f"{name}, {figure['part']}" if "part" in figure else name


def order_of(figure: Figure) -> int:
    """Return where a figure stands: the step, what arithmetic bounds, what memory bounds."""
    if figure["bench"] == "train_step":
        return 0
    return 1 if "gflops" in figure else 2


def rows_of(runs: Sequence[Run]) -> list[str]:
    """Return the rows of the picture of shares: two headings, the labels below each."""
    rows: dict[str, None] = {}
    for figure in sorted((f for run in runs for f in run.shares), key=order_of):
        rows.setdefault(ARITHMETIC if "gflops" in figure else MEMORY)
        rows.setdefault(label_of(figure))
    return list(rows)


def plot_shares(plt: Any, runs: Sequence[Run]) -> Any:
    """Return a picture with one column of bars a run, one colour a model, a tick a target."""
    rows = rows_of(runs)
    width, height = 4.2 * len(runs) + 2.2, 0.34 * len(rows) + 1.5
    picture, panels = plt.subplots(
        1, len(runs), figsize=(width, height), sharey=True, squeeze=False
    )
    models = list(dict.fromkeys(f.get("model", "") for run in runs for f in run.shares))
    for panel, run in zip(panels[0], runs, strict=True):
        own = [model for model in models if any(f.get("model", "") == model for f in run.shares)]
        thickness = 0.78 / len(own)
        for figure in run.shares:
            row = rows.index(label_of(figure))
            model = figure.get("model", "")
            at = row - 0.39 + thickness * (own.index(model) + 0.5)
            colour = COLOURS[models.index(model) % len(COLOURS)]
            panel.barh(at, 100 * figure["share"], thickness * 0.92, color=colour)
            target = target_of(figure, is_software=run.is_software)
            if target is not None:
                panel.plot([100 * target] * 2, [row - 0.44, row + 0.44], color=INK, linewidth=1.6)
        panel.set_title(run.name, fontsize=10.5, color=INK, loc="left")
        panel.set_xlim(0, 100)  # some reads beat a copy, which writes as much as it reads
        panel.set_yticks(range(len(rows)), rows, fontsize=9)
        panel.set_ylim(len(rows) - 0.5, -0.5)
        make_plain(panel, "x")
        for row, text in enumerate(panel.get_yticklabels()):
            text.set_color(INK if rows[row] in (ARITHMETIC, MEMORY) else MUTED)
    keys = [
        plt.Rectangle((0, 0), 1, 1, color=COLOURS[i % len(COLOURS)]) for i in range(len(models))
    ]
    keys.append(plt.Line2D([0], [0], color=INK, linewidth=1.6))
    _legend(picture, keys, [*models, "target"])
    return picture


def plot_curves(plt: Any, runs: Sequence[Run]) -> Any:
    """Return a picture with a panel an axis, a line a run, and the spread as a band."""
    ticker: Any = importlib.import_module("matplotlib.ticker")
    picture, panels = plt.subplots(1, len(AXES), figsize=(12.5, 3.7), sharey=True, squeeze=False)
    for panel, (axis, words) in zip(panels[0], AXES.items(), strict=True):
        for index, run in enumerate(runs):
            points = sorted(
                (f for f in run.curves if f["axis"] == axis), key=lambda figure: figure["value"]
            )
            if not points:
                continue
            colour = COLOURS[index % len(COLOURS)]
            at = [point["value"] for point in points]
            low, high = ([point[f"ms_{end}"] for point in points] for end in ("low", "high"))
            panel.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
            panel.plot(at, [point["ms"] for point in points], "o-", color=colour, markersize=4)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.xaxis.set_major_formatter("{x:.0f}")
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_locator(ticker.NullLocator())
        panel.set_xlabel(words, color=MUTED, fontsize=9)
        make_plain(panel, "both")
    panels[0][0].set_ylabel("ms a step", color=MUTED, fontsize=9)
    with_curves = [run for run in runs if run.curves]
    keys = [
        plt.Line2D([0], [0], color=COLOURS[index % len(COLOURS)], marker="o", markersize=4)
        for index, run in enumerate(runs)
        if run.curves
    ]
    _legend(picture, keys, [run.name for run in with_curves])
    return picture


def _legend(picture: Any, keys: Sequence[Any], words: Sequence[str]) -> None:
    picture.legend(keys, words, loc="lower center", ncols=4, frameon=False, fontsize=9)
    picture.tight_layout(rect=(0, 0.4 / picture.get_figheight(), 1, 1))


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw both pictures; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.plot_benchmarks", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="JSON lines of one run each")
    parser.add_argument("--out", type=Path, help="folder; default: that of the first file")
    options = parser.parse_args(arguments)
    try:
        plt = open_pyplot()
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        runs = [read_run(path) for path in options.files]
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    folder: Path = options.out or options.files[0].parent
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"shares": plot_shares(plt, runs)}
    if any(run.curves for run in runs):
        pictures["curves"] = plot_curves(plt, runs)
    for name, picture in pictures.items():
        path = folder / f"{name}.svg"
        save(picture, path)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
