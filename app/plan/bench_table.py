"""The benchmark's lines for reading: the same words in a terminal, on the page, in a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.messages import say

Figure = dict[str, Any]

BOUND_BY_ARITHMETIC = say("Operations bound by arithmetic")
BOUND_BY_MEMORY = say("Operations bound by memory, beside a copy of as many bytes")

TITLES = {
    "device": say("Device"),
    "fma_peak": say("Device"),
    "copy": say("Device"),
    "model_load": say("Model"),
    "attention_forward": BOUND_BY_ARITHMETIC,
    "attention_backward": BOUND_BY_ARITHMETIC,
    "train_step": say("Training"),
    "decode": say("Answers"),
    "prefill": say("Answers"),
    "adapter_switch": say("Answers"),
    "adapter_swap": say("Answers"),
    "curve": say("Scaling of a training step"),
    "profile": say("Kernels of a training step"),
    "tuning": say("Tuning"),
    "autotune": say("Tuning, beside the best of all choices"),
    "autotune_total": say("Tuning, beside the best of all choices"),
    "skipped": say("Left out"),
}

OF_MODEL = {
    BOUND_BY_ARITHMETIC: say("{model}: operations bound by arithmetic", model=""),
    BOUND_BY_MEMORY: say(
        "{model}: operations bound by memory, beside a copy of as many bytes", model=""
    ),
    "Training": say("{model}: training", model=""),
    "Answers": say("{model}: answers", model=""),
    "Scaling of a training step": say("{model}: scaling of a training step", model=""),
    "Kernels of a training step": say("{model}: kernels of a training step", model=""),
    "Tuning": say("{model}: tuning", model=""),
    "Tuning, beside the best of all choices": say(
        "{model}: tuning, beside the best of all choices", model=""
    ),
    "Left out": say("{model}: left out", model=""),
}
"""The same headings of one model's figures."""

NAMES = {
    "fma_peak": say("multiply-add peak, f32"),
    "copy": say("copy, large"),
    "model_load": say("load the model"),
    "train_step": say("training step"),
    "adapter_switch": say("switch Base/LoRA"),
    "adapter_swap": say("replace the adapter"),
}

SOURCES = {
    "priors": say("those expected to be fastest"),
    "cache": say("measured earlier"),
    "measured": say("measured now"),
}

AXES = {
    "tokens": say("tokens {value}", value=0),
    "window": say("window {value}", value=0),
    "rank": say("rank {value}", value=0),
    "layers": say("layers {value}", value=0),
}

UNITS = (
    ("tokens_per_second", say("tokens/s")),
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
        share = "" if self.share is None else say("{percent} %", percent=f"{100 * self.share:.1f}")
        return (self.what, self.shape, self.value, self.spread, share)


def row_of(figure: Figure) -> Row:
    """Return a figure in words."""
    name = figure["bench"]
    model = figure.get("model", "")
    section = TITLES.get(name)
    if section is None:
        is_product = "gflops" in figure
        section = BOUND_BY_ARITHMETIC if is_product else BOUND_BY_MEMORY
    if model and section in OF_MODEL:
        section = OF_MODEL[section].with_values(model=model)
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
            return say("write, LoRA") if figure["lora"] else say("write, base")
        case "prefill":
            if figure["lora"]:
                return say("read {num_tokens} tokens, LoRA", num_tokens=figure["num_tokens"])
            return say("read {num_tokens} tokens, base", num_tokens=figure["num_tokens"])
        case "curve":
            return AXES[figure["axis"]].with_values(value=figure["value"])
        case "profile":
            return str(figure["kernel"]).split("(")[0]
        case "tuning":
            return say("choices: {source}", source=SOURCES.get(figure["source"], figure["source"]))
        case "autotune":
            return str(figure["operation"])
        case "autotune_total":
            return say("tuning, all operations")
        case "skipped":
            return ", ".join(figure["what"])
    words = NAMES.get(name) or _operation(name)
    return say("{what}, {part}", what=words, part=figure["part"]) if "part" in figure else words


def _operation(name: str) -> str:
    """Return an operation's name in words: which way it goes, and where it is a product."""
    stem, _, way = name.rpartition("_")
    if way not in ("forward", "backward"):
        return name.replace("_", " ").replace("matmul", "product")
    kind, _, last = stem.rpartition("_")
    words: str = stem.replace("_", " ")
    if last == "matmul":
        words = say("{kind} product", kind=kind.replace("_", " "))
    if way == "forward":
        return say("{operation} forward", operation=words)
    return say("{operation} backward", operation=words)


def _shape(figure: Figure) -> str:
    shape = figure.get("shape") or figure.get("writes") or ()
    return " × ".join(str(size) for size in shape)


def _value(figure: Figure) -> tuple[str, str]:
    """Return a figure with its unit, and the range it varied in."""
    match figure["bench"]:
        case "autotune":
            return say("{ratio} × the best", ratio=f"{figure['pick_over_best']:.2f}"), ""
        case "tuning" | "autotune_total":
            if "seconds" not in figure:
                return "", ""
            return say("{seconds} s", seconds=f"{figure['seconds']:.2f}"), ""
    for field, unit in UNITS:
        if field not in figure or (figure["bench"] in ("profile", "curve") and field != "ms"):
            continue
        low, high = figure.get(f"{field}_low"), figure.get(f"{field}_high")
        known = [_number(value) for value in (low, high) if value is not None]
        spread = ""
        if len(known) == 2:
            spread = say("{low} – {high}", low=known[0], high=known[1])
        elif known:
            spread = say("≥ {low}", low=known[0])
        return say("{number} {unit}", number=_number(figure[field]), unit=unit), spread
    return "", ""


def _note(figure: Figure) -> str:
    parts: list[str] = []
    match figure["bench"]:
        case "tuning":
            choices = dict(figure["variants"]).items()
            parts = ["; ".join(f"{name} {choice}" for name, choice in choices)]
        case "device":
            parts = [
                figure["backend"],
                "software" if figure["is_software"] else "",
                figure["version"],
                f"features: {', '.join(figure['features']) or 'none'}",
            ]
        case "train_step":
            parts = [
                say("{dispatches} dispatches", dispatches=figure["dispatches"]),
                say("host {percent} % of the time", percent=f"{100 * figure['host_share']:.1f}"),
                say("{megabytes} MB allocated", megabytes=f"{figure['allocated_bytes'] / 1e6:.0f}"),
                say("{seconds} s to prepare", seconds=f"{figure['prepare_ms'] / 1e3:.2f}"),
                say("first step {seconds} s", seconds=f"{figure['first_step_ms'] / 1e3:.2f}"),
            ]
        case "adapter_switch":
            refill_ms = f"{figure['refill_ms']:.0f}"
            parts = [say("and {refill_ms} ms to read the conversation again", refill_ms=refill_ms)]
        case "curve":
            rank, layers = figure["rank"], figure["layers"]
            parts = [say("rank {rank}, {layers} layers", rank=rank, layers=layers)]
        case "profile":
            parts = [
                say("{percent} % of the step", percent=f"{100 * figure['share_of_step']:.1f}"),
                say("{dispatches} of this launch", dispatches=figure["dispatches"]),
                figure["kernel"].partition("(")[2].rstrip(")"),
            ]
        case "autotune":
            parts = [
                say("took {pick}, best {best}", pick=figure["pick"], best=figure["best"]),
                say("without tuning {ratio} ×", ratio=f"{figure['prior_over_best']:.2f}"),
                say("{candidates} candidates", candidates=figure["candidates"]),
            ]
        case "skipped":
            parts = [figure["reason"]]
    if "share" in figure and "peak_gflops" in figure:
        peak = _number(figure["peak_gflops"])
        parts.append(say("share of {peak} GFLOP/s, the peak measured beside it", peak=peak))
    elif "share" in figure and "copy_gbytes_per_second" in figure:
        peak = _number(figure["copy_gbytes_per_second"])
        parts.append(say("share of {peak} GB/s, a copy measured beside it", peak=peak))
    if "processor_share" in figure:
        percent = f"{100 * figure['processor_share']:.1f}"
        parts.append(say("{percent} % by processor time", percent=percent))
    notes, *more = [part for part in parts if part] or [""]
    for note in more:
        notes = say("{notes}; {note}", notes=notes, note=note)
    return notes


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
