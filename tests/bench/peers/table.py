"""A markdown table of figures: a row a contender, a column a part, GFLOP/s as median (extremes)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Figure = dict[str, Any]

TITLES = {
    "product_forward": "Y = X·Wᵀ",
    "product_backward": "dX = dY·W",
    "lora_step": "A matrix with a rank-4 adapter: y, dx, dA, dB",
}


def markdown(figures: Sequence[Figure]) -> str:
    """Return the tables of some figures: products first, then what has a line of its own."""
    pieces = []
    for bench, title in TITLES.items():
        lines = [f for f in figures if f["bench"] == bench]
        for rows in dict.fromkeys(f["shape"][0] for f in lines if f["part"] != "head"):
            chosen = [f for f in lines if f["part"] == "head" or f["shape"][0] == rows]
            if chosen:
                pieces.append(_products(f"{title}, {rows} rows", chosen))
        if lines and all(f["part"] == "head" for f in lines):
            pieces.append(_products(title, lines))
    rates = [f for f in figures if "tokens_per_second" in f]
    if rates:
        pieces.append(_rates(rates))
    failures = [f for f in figures if "error" in f]
    pieces += [f"{f['name']} could not run {f['bench']}: {f['error']}" for f in failures]
    return "\n\n".join(pieces)


def _products(title: str, lines: Sequence[Figure]) -> str:
    parts = {f["part"]: f["shape"] for f in lines}
    heads = [f"{part} {rows}×{n}×{k}" for part, (rows, n, k) in parts.items()]
    table = [
        f"{title}: GFLOP/s, median (slowest–fastest), share of the FMA peak of the same round",
        "",
        "| | " + " | ".join(heads) + " |",
        "|---" * (len(parts) + 1) + "|",
    ]
    for name in dict.fromkeys(f["name"] for f in lines if "gflops" in f):
        cells = []
        for part in parts:
            found = [f for f in lines if f["part"] == part and f["name"] == name]
            cells.append(_cell(found[-1]) if found else "–")
        table.append(f"| {name} | " + " | ".join(cells) + " |")
    peaks = [
        max((f["peak_gflops"] for f in lines if f["part"] == part), default=0.0) for part in parts
    ]
    table.append("| FMA peak | " + " | ".join(f"{peak:.0f}" for peak in peaks) + " |")
    errors: dict[str, float] = {}
    for f in lines:
        if "relative_error" in f:
            errors[f["name"]] = max(errors.get(f["name"], 0.0), f["relative_error"])
    if errors:
        told = "; ".join(f"{name} {error:.1e}" for name, error in errors.items())
        table += ["", f"Largest relative errors: {told}."]
    return "\n".join(table)


def _cell(figure: Figure) -> str:
    low, high = figure["gflops_low"], figure["gflops_high"]
    return f"{figure['gflops']:.2f} ({low:.2f}–{high:.2f}), {100 * figure['share']:.1f} %"


def _rates(lines: Sequence[Figure]) -> str:
    table = ["| | what | tokens/s, median (slowest–fastest) |", "|---|---|---|"]
    for f in lines:
        low, high = (f[f"tokens_per_second_{side}"] for side in ("low", "high"))
        rate = f"{f['tokens_per_second']:.1f} ({low:.1f}–{high:.1f})"
        table.append(f"| {f['name']} | {f['what']} | {rate} |")
    return "\n".join(table)
