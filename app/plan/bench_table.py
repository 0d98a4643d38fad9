"""The benchmark's lines for reading: the same words in a terminal, on the page, in a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Figure = dict[str, Any]

BOUND_BY_ARITHMETIC = "Operations bound by arithmetic"
BOUND_BY_MEMORY = "Operations bound by memory, beside a copy of as many bytes"

TITLES = {
    "device": "Device",
    "fma_peak": "Device",
    "copy": "Device",
    "model_load": "Model",
    "attention_forward": BOUND_BY_ARITHMETIC,
    "attention_backward": BOUND_BY_ARITHMETIC,
    "train_step": "Training",
    "decode": "Answers",
    "prefill": "Answers",
    "adapter_switch": "Answers",
    "adapter_swap": "Answers",
    "curve": "Scaling of a training step",
    "profile": "Kernels of a training step",
    "tuning": "Tuning",
    "autotune": "Tuning, beside the best of all choices",
    "autotune_total": "Tuning, beside the best of all choices",
    "skipped": "Left out",
}

NAMES = {
    "fma_peak": "multiply-add peak, f32",
    "copy": "copy, large",
    "model_load": "load the model",
    "train_step": "training step",
    "adapter_switch": "switch Base/LoRA",
    "adapter_swap": "replace the adapter",
}

UNITS = (
    ("tokens_per_second", "tokens/s"),
    ("gbytes_per_second", "GB/s"),
    ("gflops", "GFLOP/s"),
    ("ms", "ms"),
)
"""Fields that are the figure itself: the first of them that a line has."""

COLUMNS = ("what", "shape", "figure", "slowest – fastest", "share of the peak")
WIDTHS = (36, 22, 16, 20, 17)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        section: Heading it belongs under.
        share: Of the peak, 0 … 1, or None where there is none to compare with.
        note: What else the figure tells.
    """

    section: str
    what: str
    shape: str
    value: str
    spread: str
    share: float | None
    note: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts of COLUMNS."""
        share = "" if self.share is None else f"{100 * self.share:.1f} %"
        return (self.what, self.shape, self.value, self.spread, share)


def row_of(figure: Figure) -> Row:
    """Return a figure in words."""
    name = figure["bench"]
    model = figure.get("model", "")
    section = TITLES.get(name)
    if section is None:
        is_product = "gflops" in figure
        section = BOUND_BY_ARITHMETIC if is_product else BOUND_BY_MEMORY
    if model and name != "model_load":
        section = f"{model}: {section[0].lower()}{section[1:]}"
    value, spread = _value(figure)
    return Row(
        section, _what(figure), _shape(figure), value, spread, figure.get("share"), _note(figure)
    )


def _what(figure: Figure) -> str:
    name = figure["bench"]
    match name:
        case "device":
            return str(figure["name"])
        case "decode":
            return f"write, {'LoRA' if figure['lora'] else 'base'}"
        case "prefill":
            adapter = "LoRA" if figure["lora"] else "base"
            return f"read {figure['num_tokens']} tokens, {adapter}"
        case "curve":
            return f"{figure['axis']} {figure['value']}"
        case "profile":
            return str(figure["kernel"]).split("(")[0]
        case "tuning":
            return f"choices: {figure['source']}"
        case "autotune":
            return str(figure["operation"])
        case "autotune_total":
            return "tuning, all operations"
        case "skipped":
            return ", ".join(figure["what"])
    words = NAMES.get(name, name.replace("_", " ").replace("matmul", "product"))
    return f"{words}, {figure['part']}" if "part" in figure else words


def _shape(figure: Figure) -> str:
    shape = figure.get("shape") or figure.get("writes") or ()
    return " × ".join(str(size) for size in shape)


def _value(figure: Figure) -> tuple[str, str]:
    """Return a figure with its unit, and the range it varied in."""
    match figure["bench"]:
        case "autotune":
            return f"{figure['pick_over_best']:.2f} × the best", ""
        case "tuning" | "autotune_total":
            return (f"{figure['seconds']:.2f} s" if "seconds" in figure else ""), ""
    for field, unit in UNITS:
        if field not in figure or (figure["bench"] in ("profile", "curve") and field != "ms"):
            continue
        low, high = figure.get(f"{field}_low"), figure.get(f"{field}_high")
        known = [_number(value) for value in (low, high) if value is not None]
        spread = " – ".join(known) if len(known) == 2 else f"≥ {known[0]}" if known else ""
        return f"{_number(figure[field])} {unit}", spread
    return "", ""


def _note(figure: Figure) -> str:
    parts: list[str] = []
    match figure["bench"]:
        case "tuning":
            parts = [f"{name} {choice}" for name, choice in dict(figure["variants"]).items()]
        case "device":
            parts = [
                figure["backend"],
                "software" if figure["is_software"] else "",
                figure["version"],
                f"features: {', '.join(figure['features']) or 'none'}",
            ]
        case "train_step":
            parts = [
                f"{figure['dispatches']} dispatches",
                f"host {100 * figure['host_share']:.1f} % of the time",
                f"{figure['allocated_bytes'] / 1e6:.0f} MB allocated",
                f"{figure['prepare_ms'] / 1e3:.2f} s to prepare",
                f"first step {figure['first_step_ms'] / 1e3:.2f} s",
            ]
        case "adapter_switch":
            parts = [f"and {figure['refill_ms']:.0f} ms to read the conversation again"]
        case "curve":
            parts = [f"rank {figure['rank']}, {figure['layers']} layers"]
        case "profile":
            parts = [
                f"{100 * figure['share_of_step']:.1f} % of the step",
                f"{figure['dispatches']} of this launch",
                figure["kernel"].partition("(")[2].rstrip(")"),
            ]
        case "autotune":
            parts = [
                f"took {figure['pick']}, best {figure['best']}",
                f"without tuning {figure['prior_over_best']:.2f} ×",
                f"{figure['candidates']} candidates",
            ]
        case "skipped":
            parts = [figure["reason"]]
    if "processor_share" in figure:
        parts.append(f"{100 * figure['processor_share']:.1f} % by processor time")
    return "; ".join(part for part in parts if part)


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


class TextTable:
    """Aligned lines, each made as its figure arrives; headings where sections begin."""

    def __init__(self) -> None:
        self._section = ""

    def lines(self, figure: Figure) -> list[str]:
        """Return the lines that one more figure adds."""
        row = row_of(figure)
        added: list[str] = []
        if row.section != self._section:
            added = ["", row.section] if self._section else ["  " + _aligned(COLUMNS), row.section]
            self._section = row.section
        text = "  " + _aligned(row.cells)
        return [*added, f"{text.ljust(sum(WIDTHS) + 10)}  {row.note}" if row.note else text]


def report_of(figures: Sequence[Figure]) -> str:
    """Return a whole benchmark as text."""
    table = TextTable()
    return "\n".join(line for figure in figures for line in table.lines(figure)) + "\n"


def _aligned(cells: Sequence[str]) -> str:
    """Return cells in columns: words to the left, figures to the right."""
    return "  ".join(
        cell.ljust(width) if index < 2 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    ).rstrip()
