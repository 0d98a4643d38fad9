"""A markdown table of the runs: a row a method, beside the first row of the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean
from typing import Any

from tests.bench.training.methods import METHODS

Figure = dict[str, Any]
BASELINE = "baseline"


def markdown(figures: Sequence[Figure]) -> str:
    """Return the table; methods nobody ran are left out.

    Losses are of the text kept aside, in nats a token. The difference is the mean over the seeds
    that both the method and the baseline have.
    """
    lines = [
        "| method | held-out loss, by seed | mean | beside the baseline | tokens learnt from "
        "| optimizer's part of the plan |",
        "|---|---|---|---|---|---|",
    ]
    for name in METHODS:
        runs = runs_of(figures, name)
        if not runs:
            continue
        losses = {run["seed"]: final_loss(run) for run in runs}
        others = {run["seed"]: final_loss(run) for run in runs_of(figures, BASELINE)}
        differences = [losses[seed] - others[seed] for seed in losses if seed in others]
        beside = "" if name == BASELINE or not differences else f"{mean(differences):+.3f}"
        cells = (
            name,
            ", ".join(f"{loss:.3f}" for loss in losses.values()),
            f"{mean(losses.values()):.3f}",
            beside,
            f"{mean(run['num_tokens'] for run in runs):.0f}",
            f"{runs[0]['parts_bytes']['optimizer'] / 2**20:.1f} MiB",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def runs_of(figures: Sequence[Figure], name: str) -> list[Figure]:
    """Return a method's runs by seed; of two with the same seed the later one counts."""
    found = {figure["seed"]: figure for figure in figures if figure["method"] == name}
    return [found[seed] for seed in sorted(found)]


def final_loss(figure: Figure) -> float:
    """Return a run's last held-out loss."""
    return float(figure["eval"][-1][1])
