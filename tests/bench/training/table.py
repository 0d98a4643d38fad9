"""Markdown tables of the runs: a row a method, beside the first row of the same seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean
from typing import Any

from tests.bench.training.methods import METHODS

Figure = dict[str, Any]
BASELINE = "baseline"


def markdown(figures: Sequence[Figure]) -> str:
    """Return the tables; methods nobody ran are left out.

    Losses are of the text kept aside, in nats a token. The difference is the mean over the seeds
    that both the method and the baseline have. Methods with a base of their own have a second
    table, with what the base knows before training.
    """
    table = [
        "| method | held-out loss, by seed | mean | beside the baseline | tokens learnt from "
        "| optimizer's part of the plan |",
        "|---|---|---|---|---|---|",
    ]
    based = [
        "| method | loss before | held-out loss, by seed | mean | beside the baseline "
        "| perplexity before → after | weights | the whole plan |",
        "|---|---|---|---|---|---|---|---|",
    ]
    heads = len(based)
    for name, method in METHODS.items():
        runs = runs_of(figures, name)
        if not runs:
            continue
        losses = {run["seed"]: final_loss(run) for run in runs}
        others = {run["seed"]: final_loss(run) for run in runs_of(figures, BASELINE)}
        differences = [losses[seed] - others[seed] for seed in losses if seed in others]
        beside = "" if name == BASELINE or not differences else f"{mean(differences):+.3f}"
        after = mean(losses.values())
        result = (", ".join(f"{loss:.3f}" for loss in losses.values()), f"{after:.3f}", beside)
        parts = runs[0]["parts_bytes"]
        if method.base is None:
            tokens = f"{mean(run['num_tokens'] for run in runs):.0f}"
            table.append(row(name, *result, tokens, mebibytes(parts["optimizer"])))
        else:
            before = first_loss(runs[0])
            change = f"{perplexity(before)} → {perplexity(after)}"
            sizes = mebibytes(parts["weights"]), mebibytes(sum(parts.values()))
            based.append(row(name, f"{before:.3f}", *result, change, *sizes))
    return "\n".join(table if len(based) == heads else [*table, "", *based])


def row(*cells: str) -> str:
    """Return a row of a markdown table."""
    return f"| {' | '.join(cells)} |"


def mebibytes(size_bytes: int) -> str:
    """Return a size to a tenth of a MiB."""
    return f"{size_bytes / 2**20:.1f} MiB"


def perplexity(loss: float) -> str:
    """Return e to the loss with three digits at least."""
    value = math.exp(loss)
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def runs_of(figures: Sequence[Figure], name: str) -> list[Figure]:
    """Return a method's runs by seed; of two with the same seed the later one counts."""
    found = {figure["seed"]: figure for figure in figures if figure["method"] == name}
    return [found[seed] for seed in sorted(found)]


def final_loss(figure: Figure) -> float:
    """Return a run's last held-out loss."""
    return float(figure["eval"][-1][1])


def first_loss(figure: Figure) -> float:
    """Return a run's held-out loss before training."""
    return float(figure["eval"][0][1])
