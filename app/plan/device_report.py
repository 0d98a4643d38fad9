"""A device as Markdown to paste into a bug report; the same for the page and the command line.

Everything in it comes from the device, from measurements and from the program itself: no text,
no file name and no address of a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.checks.selfcheck import CheckResult
from app.gpu.budget import format_bytes

TITLE = "# LoRA Lab: this device"

MAX_PROBLEM_LENGTH = 600
"""Of a compiler's message."""

Row = tuple[str, str]


def report_of(
    about: Iterable[Row],
    facts: Mapping[str, Any] | None,
    results: Sequence[CheckResult] | None,
    num_cases: int = 0,
) -> str:
    """Return the report.

    Args:
        about: What runs where: names and values.
        facts: What `describe_device` tells, and `peaks` where they were measured; None where
            there is no device.
        results: Of a self-check; None where there was none.
        num_cases: That the self-check had; more than its results where it was stopped.
    """
    lines = [TITLE, "", *_table(("Program", ""), about)]
    if facts is None:
        lines += ["", "There is no device."]
    else:
        for title, rows in sections_of(facts):
            lines += ["", f"## {title}", "", *_table(("", ""), rows)]
    lines += ["", "## Self-check", "", *_check_lines(results, num_cases)]
    return "\n".join(lines) + "\n"


def sections_of(facts: Mapping[str, Any]) -> list[tuple[str, list[Row]]]:
    """Return the facts in words, by section."""
    adapter, memory, peaks = facts["adapter"], facts["memory"], facts.get("peaks")
    chosen = "chosen by measuring" if facts["is_tuned"] else "the usual ones for such a device"
    subgroup = adapter["subgroup_size"]
    sections = [
        (
            "Adapter",
            [
                ("name", adapter["name"]),
                ("vendor", adapter["vendor"] or "not told"),
                ("interface", adapter["backend"]),
                ("driver or browser", adapter["version"] or "not told"),
                ("computes", "in software" if adapter["is_software"] else "on a GPU"),
                ("subgroup size", str(subgroup) if subgroup else "not used or not told"),
            ],
        ),
        ("Measured", _rates(peaks)),
        (
            "Memory",
            [
                ("held now", format_bytes(memory["allocated_bytes"])),
                ("for a run", format_bytes(memory["budget_bytes"])),
                ("for one buffer", format_bytes(memory["buffer_bytes"])),
                ("why", memory["source"]),
            ],
        ),
        (
            "Features",
            [
                *((name, "in use where it helps") for name in facts["features"]),
                *((name, "not offered") for name in facts["missing_features"]),
            ],
        ),
        ("Limits", [_limit(name, value) for name, value in facts["limits"].items()]),
        (f"Kernels, {chosen}", list(facts["variants"].items())),
    ]
    return [(title, rows) for title, rows in sections if rows]


def _rates(peaks: Mapping[str, float] | None) -> list[Row]:
    if peaks is None:
        return [("nothing", "the device was busy, or was not asked")]
    return [
        ("multiply-adds in f32", f"{peaks['fma_gflops']:.1f} GFLOP/s"),
        ("INT4 product", f"{peaks['int4_matmul_gflops']:.1f} GFLOP/s"),
        ("memory, read and written", f"{peaks['copy_gbytes_per_second']:.1f} GB/s"),
        ("one launch", f"{peaks['dispatch_us']:.1f} µs"),
    ]


def _limit(name: str, value: int) -> Row:
    return name, f"{value:,}" if value else "not told"


def _check_lines(results: Sequence[CheckResult] | None, num_cases: int) -> list[str]:
    if results is None:
        return ["Not run."]
    failed = [result for result in results if not result.ok]
    lines = [check_summary(results, num_cases), ""]
    for result in failed:
        if result.problem:
            lines += [f"- {result.op}, {result.case}: {_flat(result.problem)}", ""]
    rows = [
        (
            result.op,
            result.case,
            "agrees" if result.ok else "DIFFERS" if not result.problem else "FAILS",
            result.result,
            f"{result.error:.3g}",
            f"{result.allowed:.3g}",
            f"{result.seconds:.2f}",
        )
        for result in (*failed, *(result for result in results if result.ok))
    ]
    head = ("operation", "case", "result", "worst in", "error", "allowed", "seconds")
    return lines + _table(head, rows)


def check_summary(results: Sequence[CheckResult], num_cases: int) -> str:
    """Return how a self-check went, as a sentence."""
    failed = sum(not result.ok for result in results)
    seconds = sum(result.seconds for result in results)
    stopped = (
        f", stopped before {num_cases - len(results)} more" if num_cases > len(results) else ""
    )
    verdict = f"{failed} of {len(results)} cases differ from their reference"
    if not failed:
        verdict = f"all {len(results)} cases agree with their reference"
    return f"{verdict[0].upper()}{verdict[1:]}, in {seconds:.1f} s{stopped}."


def _flat(text: str) -> str:
    """Return a text in one line, not too long, that ends no cell of a table."""
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= MAX_PROBLEM_LENGTH else flat[:MAX_PROBLEM_LENGTH] + "…"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table whose columns line up as plain text too."""
    cells = [list(head), *([_flat(cell) for cell in row] for row in rows)]
    widths = [max(3, *(len(row[index]) for row in cells)) for index in range(len(head))]
    widths[-1] = 3  # it may be long: it is not filled up
    cells.insert(1, ["-" * width for width in widths])
    return [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in cells
    ]
