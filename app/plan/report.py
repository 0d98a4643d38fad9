"""A plan as JSON holds it, the same for the page and the command line, and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.gpu.budget import MemoryBudget, format_bytes
from app.gpu.device import Device
from app.messages import say
from app.plan.coverage import coverage
from app.plan.durations import format_duration, format_range
from app.plan.mode_plan import Advice, ModePlan
from app.plan.run_input import settings_values
from app.plan.speed import CALIBRATION_STEPS, Basis, Speed
from app.plan.work import ModeName


@dataclass(frozen=True)
class UnavailableMode:
    """A mode that cannot be planned, and why."""

    mode: ModeName
    reason: str


def report_of(
    plan: ModePlan | UnavailableMode, device: Device, speed: Speed, *, is_selected: bool
) -> dict[str, Any]:
    """Return a plan by the names that docs and scripts use.

    `bytes` holds the memory by part and its `total`; `passes` is how often the text is read, below
    1 the share of it that is, and `coverage` the same in words; `warnings` have a `text` and,
    where settings remedy them, a `remedy` and those `settings`.
    """
    if isinstance(plan, UnavailableMode):
        return {
            "mode": plan.mode,
            "feasible": False,
            "selected": False,
            "reason": plan.reason,
            "bytes": None,
            "seconds": None,
            "seconds_low": None,
            "seconds_high": None,
            "passes": None,
            "coverage": "",
            "warnings": [],
        }
    settings, evaluation = plan.settings, plan.dataset.evaluation
    parts = {name: size for name, size in plan.outline.parts().items() if size}
    budget = MemoryBudget.of(device, settings.train.device_memory_gb)
    return {
        "mode": plan.mode,
        "feasible": plan.is_feasible,
        "selected": is_selected,
        "reason": plan.misfit,
        "bytes": {**parts, "total": plan.total_bytes},
        "seconds": plan.time.seconds,
        "seconds_low": plan.time.low,
        "seconds_high": plan.time.high,
        "passes": plan.passes,
        "coverage": coverage(plan.passes),
        "basis": plan.time.basis,
        "time_basis": time_basis(plan.time.basis, speed),
        "memory_basis": budget.source,
        "num_steps": plan.num_steps,
        "num_tokens": plan.dataset.train.num_tokens,
        "num_eval_tokens": evaluation.num_tokens if evaluation else 0,
        "tokens_per_step": plan.tokens_per_step,
        "num_trained": plan.outline.num_trained,
        "flops_per_token": plan.outline.flops_per_token,
        "is_checkpointing": plan.outline.is_checkpointing,
        "notes": list(plan.notes),
        "warnings": [advice_values(advice) for advice in plan.warnings],
        "settings": settings_values(settings.lora, settings.train),
    }


def advice_values(advice: Advice) -> dict[str, Any]:
    """Return a warning as JSON has it."""
    return {"text": advice.text, "remedy": advice.remedy, "settings": dict(advice.settings)}


def time_basis(basis: Basis, speed: Speed) -> str:
    """Return what an estimate stands on, as a sentence."""
    rate = f"{speed.gflops:.0f}" if speed.gflops >= 10 else f"{speed.gflops:.1f}"
    return {
        "probe": say(
            "From a quick measurement of this device ({rate} GFLOP/s); after {steps} steps the run "
            "itself corrects it.",
            rate=rate,
            steps=CALIBRATION_STEPS,
        ),
        "similar": say(
            "From how fast an earlier run with other settings was; after {steps} steps the run "
            "itself corrects it.",
            steps=CALIBRATION_STEPS,
        ),
        "calibration": say("From real steps with these very settings on this device."),
    }[basis]


def text_of(report: dict[str, Any]) -> str:
    """Return a report as lines for reading."""
    name = {"adapter": "Adapter", "full": "Full fine-tuning"}[report["mode"]]
    if report["bytes"] is None:
        return f"{name}: not available. {report['reason']}"
    verdict = "fits" if report["feasible"] else f"does not fit: {report['reason']}"
    if report["selected"]:
        verdict += ", the fastest that does" if report["feasible"] else ""
    span = format_range(report["seconds_low"], report["seconds_high"])
    parts = dict(report["bytes"])
    total = format_bytes(parts.pop("total"))
    lines = [
        f"{name}: {verdict}",
        f"  time    about {format_duration(report['seconds'])} ({span}) for "
        f"{report['num_steps']} steps of {report['tokens_per_step']} tokens",
        f"          {report['time_basis']}",
        f"  text    {report['coverage']}",
        f"  memory  {total}: "
        + ", ".join(f"{part} {format_bytes(size)}" for part, size in parts.items()),
        f"          {report['memory_basis']}",
    ]
    lines += [f"  note    {note}" for note in report["notes"]]
    for warning in report["warnings"]:
        lines.append(f"  beware  {warning['text']}")
        if warning["remedy"]:
            options = " ".join(
                f"--{key.replace('_', '-')} {value:g}"
                if isinstance(value, float)
                else f"--{key.replace('_', '-')} {value}"
                for key, value in warning["settings"].items()
                if value is not None
            )
            lines.append(f"          {warning['remedy']} ({options})")
    return "\n".join(lines)
